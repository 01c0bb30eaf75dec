"""device retire, device lost: a device goes for good, and its key with it.

Both sign a revocation into the targets first (`revocations.json`, kind `device`): from then on no
console signs for the device or takes its word for a result, and the device itself does nothing any
more once it hears of it.  Then the relay retires it: its sessions end, its links are closed and its
key opens none.  Whoever was cut off in between gives the command again.

    retired   it goes to another owner or to waste; somebody can be at it still
    lost      nobody has it: stolen, left in a train; what it says from now on may be anybody's
"""

from __future__ import annotations

import click

from farhand_console.cli.base import Context, command
from farhand_console.output import hint, show_fields, warn
from farhand_console.relay import segments
from farhand_console.relay.answers import Device, TrustState
from farhand_console.trust.ceremonies import revoked
from farhand_console.trust.signing import publish
from farhand_protocol.errors import UsageError
from farhand_protocol.identity import is_device_id

__all__ = ["register"]

_MAX_REASON_CHARS = 500


def register(devices: click.Group) -> None:
    """Add `retire` and `lost` to the group `device`."""

    @command(devices)
    @click.argument("device")
    @click.option("--reason", default="retired", help="Kept in the signed revocations.")
    def retire(context: Context, device: str, reason: str) -> None:
        """Retire a device: its key is revoked, and it may not connect any more."""
        _go(context, device, reason)

    @command(devices)
    @click.argument("device")
    @click.option("--reason", default="lost", help="Kept in the signed revocations.")
    def lost(context: Context, device: str, reason: str) -> None:
        """Revoke a device that was stolen or lost: nothing that it says counts from now on."""
        _go(context, device, reason)
        hint("what is in its sessions' receipts and in tickets may be known to whoever has it")
        hint("passwords that people used on it are theirs to change")


def _go(context: Context, device: str, reason: str) -> None:
    if not reason.strip() or len(reason) > _MAX_REASON_CHARS or not reason.isprintable():
        raise UsageError("usage", f"a reason has 1 to {_MAX_REASON_CHARS} printable characters")
    given = device.strip().lower()
    found = context.relay.get(segments("devices", device), Device)
    # An id is the hash of the key, so nobody can put another device's there.
    chosen = given if is_device_id(given) else found.id
    has_key = found.kind == "agent"
    has_root = context.relay.get("/trust", TrustState).root_version > 0
    if has_key and has_root:
        publish(
            context.relay,
            context.fresh_trust,
            context.signer(),
            lambda verified: revoked(verified, "device", chosen, reason),
        )
    elif has_key:
        warn("there is no trust root, so nothing is signed: only this relay refuses the device")
    if not found.retired_at:
        context.relay.post(segments("devices", chosen, "retire"), Device)
    answer = {"device": chosen, "retired": True, "revoked": has_key and has_root}
    context.show(answer, lambda: show_fields(answer))
