"""trust signatures, trust cosign: how many admins sign what devices believe, and the other one's.

`signatures N` is itself a change that the present number of admins signs.  With two or more, every
command that changes trust ends with `signatures-missing` and a file; another admin runs `cosign` on
it, sees the whole difference, signs, and the last one's console hands it to the relay.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.output import page_through, say_whole, show_fields
from farhand_console.relay.answers import Nothing
from farhand_console.trust.proposals import differences, read_proposal
from farhand_console.trust.signing import (
    Change,
    check_complete,
    check_may_sign,
    cosigned,
    publish,
    set_signatures,
)
from farhand_protocol.errors import RefusedError, UsageError

__all__ = ["register"]

_MOST_SIGNATURES = 9


def register(trust: click.Group) -> None:
    """Add the commands of this file to `farhand trust`."""

    @command(trust)
    @click.argument("count", type=click.IntRange(1, _MOST_SIGNATURES), required=False)
    def signatures(context: Context, count: int | None) -> None:
        """Show or change how many admins must sign each change of root and targets."""
        if count is not None:
            wanted = count
            publish(
                context.relay,
                context.fresh_trust,
                context.signer(),
                lambda verified: Change({}, set_signatures(verified, wanted)),
            )
        roles = context.fresh_trust().root.signed.roles
        answer = {
            "root": {"signatures": roles["root"].threshold, "keys": len(roles["root"].keyids)},
            "targets": {
                "signatures": roles["targets"].threshold,
                "keys": len(roles["targets"].keyids),
            },
        }
        words = {name: f"{one['signatures']} of {one['keys']} keys" for name, one in answer.items()}
        context.show(answer, lambda: show_fields(words))

    @command(trust)
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--yes", is_flag=True, help="Sign without asking once more.")
    def cosign(context: Context, file: Path, yes: bool) -> None:
        """Read what another admin proposes, sign it too, and publish it where that is enough."""
        verified = context.fresh_trust()
        proposal = read_proposal(file, verified)
        own = context.signer()
        check_may_sign(verified, own.public_key, "targets")
        text = "\n".join(differences(verified, proposal))
        if sys.stdin.isatty():
            page_through(text)
        else:
            say_whole(text)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    "usage", "there is no terminal to ask on", hint="read it, then add --yes"
                )
            if not click.confirm("Sign this?", err=True):
                raise RefusedError("approval-refused", "nothing was signed")
        signed = cosigned(proposal, own)
        check_complete(verified, signed)
        context.relay.post("/trust", Nothing, msgspec.structs.asdict(signed), wait_s=60)
        after = context.fresh_trust()
        answer = {
            "root_version": after.root.signed.version,
            "targets_version": after.targets_version,
            "published": True,
        }
        context.show(answer, lambda: show_fields(answer))
