"""Receipts as the end user lists them: read from the home, never from a relay."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.config import Home, read_limited
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES, decode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Receipt

__all__ = ["list_receipts"]

_SHOWN: Final = (
    "id",
    "session",
    "operator",
    "organisation",
    "ticket",
    "scopes",
    "started_at",
    "ended_at",
    "reason",
    "note",
)


def list_receipts(home: Home) -> list[dict[str, Any]]:
    """Return the receipts of a home, oldest first; one that cannot be read says so in `reason`."""
    items = []
    for path in sorted(home.receipts.glob("*.json")) if home.receipts.is_dir() else []:
        item: dict[str, Any] = dict.fromkeys(_SHOWN)
        try:
            data = read_limited(path, MAX_ENVELOPE_BYTES)
            receipt = open_payload(decode_envelope(data), Receipt)
            item = {name: getattr(receipt, name) for name in _SHOWN}
        except (OSError, FarhandError):
            item["session"], item["reason"] = path.stem, "receipt-damaged"
        items.append({**item, "path": str(path)})
    return sorted(items, key=lambda one: one["started_at"] or "")
