"""device allows: what a session on a device may be asked for, before it is asked.

From the trust metadata that this console verified: the policy of the device's group, and what the
roster lets this operator open there.  The device's own policy can narrow it further, and says so
only when it is asked.
"""

from __future__ import annotations

from typing import Any

import click

from farhand_console.cli.base import Context, command
from farhand_console.output import show_fields, show_table
from farhand_console.relay import segments
from farhand_console.session.scopes import Limits, against, scope_words
from farhand_console.trust.devices import verify_device
from farhand_protocol.trust import SCOPES

__all__ = ["register"]


def register(devices: click.Group) -> None:
    """Add the command of this file to `farhand device`."""

    @command(devices)
    @click.argument("device")
    def allows(context: Context, device: str) -> None:
        """Show what a session on a device may be asked for, by policy and roster."""
        trust = context.trust()
        told = context.relay.get(segments("devices", device), dict[str, Any])
        known = verify_device(context.home, trust, told, asked=device)
        rules = trust.policy.for_group(known.group)
        operator = trust.roster.find(context.settings.account)
        limits = Limits(
            group=known.group,
            scopes=rules.scopes,
            forward_to=rules.forward_to,
            operator=operator,
        )
        missing = "" if operator is not None else "you are not on the roster"
        scopes = [{"scope": one, "reason": missing or against(one, limits)} for one in SCOPES]
        facts = {
            "device": known.id,
            "name": known.name,
            "group": known.group,
            "without_code": rules.unattended,
            "consent": rules.consent,
            "minutes_max": rules.minutes_max,
            "files_read_only": rules.files_read_only,
            "forward_to": rules.forward_to,
            "recording": rules.recording,
        }

        def readable() -> None:
            shown = {"without_code": "yes" if rules.unattended else "no"}
            shown |= {"files_read_only": "yes" if rules.files_read_only else "no"}
            show_fields(facts | shown | {"forward_to": ", ".join(rules.forward_to)})
            rows = [
                (scope_words(one["scope"]), one["reason"] or "may be asked for") for one in scopes
            ]
            show_table(("scope", "by policy and roster"), rows)

        context.show(facts | {"scopes": scopes}, readable)
