"""trust status: who can do what, and what expires when, on one screen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from farhand_console.cli.base import Context, command
from farhand_console.output import say, show_fields, show_table, warn
from farhand_console.overview import overview
from farhand_protocol.identity import key_fingerprint
from farhand_protocol.instants import format_instant

__all__ = ["register", "show_status"]


def register(trust: click.Group) -> None:
    """Add the command of this file to `farhand trust`."""

    @command(trust)
    def status(context: Context) -> None:
        """Show who can do what, and what expires when."""
        show_status(context)


def show_status(context: Context) -> None:
    """Show everything that the trust root says, and what needs attention."""
    verified = context.trust()
    seen = overview(
        verified,
        now=datetime.now(UTC),
        recovery_here=(context.home.folder / "trust" / "recovery.key").exists(),
    )
    roles = verified.root.signed.roles
    answer: dict[str, Any] = {
        "root_version": verified.root.signed.version,
        "root_expires": format_instant(verified.root.signed.expires),
        "targets_version": verified.targets_version,
        "targets_expires": format_instant(verified.targets.signed.expires),
        "signatures": {role: roles[role].threshold for role in ("root", "targets")},
        "approvals": {
            risk: {"permission": one["permission"], "count": one["count"]}
            for risk, one in seen.approvals.items()
        },
        "risks": seen.approvals,
        "operators": [
            {
                "name": one.name,
                "permissions": one.permissions,
                "keys": [key_fingerprint(key) for key in one.keys],
            }
            for one in verified.roster.operators
        ],
        "people": seen.people,
        "groups": seen.groups,
        "expires": seen.expires,
        "scripts": len(verified.published()),
        "unapproved": seen.unapproved,
        "deprecated": len(verified.deprecations.deprecated),
        "floors": len(verified.floors.scripts),
        "revoked": len(verified.revocations.revoked),
        "warnings": seen.warnings,
    }
    context.show(answer, lambda: _show(answer))


def _show(answer: dict[str, Any]) -> None:
    signatures = answer["signatures"]
    show_fields(
        {
            "root": f"version {answer['root_version']}, {signatures['root']} to sign",
            "targets": f"version {answer['targets_version']}, {signatures['targets']} to sign",
            "scripts": f"{answer['scripts']} published, {answer['deprecated']} deprecated, "
            f"{answer['floors']} with a floor",
            "revoked": answer["revoked"],
        }
    )
    say("")
    show_table(
        ("who", "tier", "may", "keys"),
        [
            (one["name"], one["tier"], "; ".join(one["may"]), " ".join(one["keys"]))
            for one in answer["people"]
        ],
    )
    say("")
    show_table(
        ("risk", "needs", "who may approve"),
        [
            (risk, f"{one['count']} x {one['permission']}", ", ".join(one["who"]) or "nobody")
            for risk, one in answer["risks"].items()
        ],
    )
    say("")
    show_table(
        ("expires", "at", "in days", ""),
        [
            (one["what"], one["at"], one["days"], "" if one["state"] == "ok" else one["state"])
            for one in answer["expires"]
        ],
    )
    if answer["groups"]:
        say("")
        show_table(
            ("group", "scripts of", "without a code", "lab", "break-glass", "schedules"),
            [
                (
                    one["group"],
                    ", ".join(one["risks"]) or "none",
                    *(
                        "yes" if one[name] else "no"
                        for name in ("unattended", "lab", "break_glass")
                    ),
                    one["schedules"],
                )
                for one in answer["groups"]
            ],
        )
    for words in answer["warnings"]:
        warn(words)
