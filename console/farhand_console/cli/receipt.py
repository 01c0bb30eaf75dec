"""receipt verify: check an end user's receipt, offline."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from farhand_console.cli.base import Context, command, group
from farhand_console.output import show_fields
from farhand_console.trust.devices import pins
from farhand_protocol.envelopes import open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant, GrantApproval, Receipt
from farhand_protocol.identity import parse_public_key_line
from farhand_protocol.receipts import verify_receipt

__all__ = ["register"]

_MAX_RECEIPT_BYTES = 8 * 1024 * 1024


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    receipts = group(root, "receipt", "What end users keep of a session.")

    @command(receipts)
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--device-key", help="The device's key: hex, or an ssh-ed25519 line.")
    def verify(context: Context, file: Path, device_key: str | None) -> None:
        """Check every signature in a receipt; works without a relay."""
        with file.open("rb") as opened:
            data = opened.read(_MAX_RECEIPT_BYTES + 1)
        if len(data) > _MAX_RECEIPT_BYTES:
            raise FarhandError("receipt-malformed", "the file is too large for a receipt")
        key = _parse_key(device_key) if device_key else None
        checked = verify_receipt(data, device_key=key)
        receipt = checked.receipt
        pinned = checked.pinned
        if key is None and receipt.device in (known := pins(context.home)):
            checked = verify_receipt(data, device_key=_parse_key(known[receipt.device]))
            pinned = True
        answer = {
            "valid": True,
            "one_sided": checked.one_sided,
            "device_key_pinned": pinned,
            "id": receipt.id,
            "session": receipt.session,
            "device": receipt.device,
            "operator": receipt.operator,
            "organisation": receipt.organisation,
            "ticket": receipt.ticket,
            "scopes": receipt.scopes,
            "started_at": receipt.started_at,
            "ended_at": receipt.ended_at,
            "active_s": receipt.active_s,
            "reason": receipt.reason,
            "note": receipt.note,
            "actions": len(receipt.actions) + receipt.actions_omitted,
            "approved_by": [open_payload(one, GrantApproval).approver for one in receipt.approvals],
            "joined": [open_payload(one, Grant).operator for one in receipt.joined],
            "recording": msgspec.to_builtins(receipt.recording),
            "audit_head": receipt.audit_head or None,
        }
        context.show(answer, lambda: show_fields({**answer, "recording": _recording(receipt)}))


def _recording(receipt: Receipt) -> str | None:
    mark = receipt.recording
    if mark is None:
        return None
    return f"{mark.chunks} chunks, {'complete' if mark.complete else 'with gaps'}"


def _parse_key(text: str) -> bytes:
    text = text.strip()
    if len(text) == 64:
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise FarhandError("key-malformed", "the device key is not hex") from error
    return parse_public_key_line(text)
