"""Heads at the link: what this device shows of its log, and keeps of the relay's audit.

When a link opens the device shows the signed head of its own log, and the relay that of its audit
(protocol/audit.py).  The relay's are kept in `relay-heads.jsonl`, thinned from the old end, as they
came over a link on which the relay had proved its key: `farhand-agent log --heads` prints them, and
`farhand audit verify --heads FILE` checks their signatures and demands them of the audit.  One that
goes back behind what was shown before is kept as well, and raises an alarm.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from farhand_agent.alarms import raise_alarm
from farhand_agent.config import Home, read_limited, write_atomically
from farhand_agent.journal import Journal
from farhand_protocol.audit import (
    MAX_HEAD_BYTES,
    AuditHead,
    decode_head,
    encode_head,
    head_message,
    thinned,
)
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_RELAY_HEADS", "OwnHead", "keep_relay_head", "own_head", "relay_heads"]

MAX_RELAY_HEADS: Final = 256
_FILE: Final = "relay-heads.jsonl"
_MAX_BYTES: Final = MAX_RELAY_HEADS * (MAX_HEAD_BYTES + 1)


class OwnHead:
    """The head of this device's log, on its way to be signed."""

    def __init__(self, head: AuditHead) -> None:
        self._head = head
        self.message = head_message(head)

    def signed(self, signature: bytes) -> bytes:
        """Return it as `Present` carries it; nothing without a signature."""
        if not signature:
            return b""
        return encode_head(structs.replace(self._head, signature=signature))


def own_head(journal: Journal, device: str) -> OwnHead:
    """Return the present head of the device's log."""
    seq, digest = journal.log_head()
    return OwnHead(AuditHead(owner=device, seq=seq, hash=digest, at=journal.now_text()))


def relay_heads(home: Home) -> list[AuditHead]:
    """Return the heads of the relay's audit that this device was shown, oldest first.

    Raises:
        FarhandError: `audit-head-malformed` when the file was damaged.
    """
    path = home.path / _FILE
    if not path.exists():
        return []
    return [decode_head(line) for line in read_limited(path, _MAX_BYTES).splitlines() if line]


def keep_relay_head(home: Home, journal: Journal, tenant: str, data: bytes) -> str | None:
    """Keep what a relay showed in its Welcome.

    Returns:
        The words of an alarm that is new: the relay's audit went back, or was written anew.

    Raises:
        FarhandError: `audit-head-malformed`.
        OSError: the disk is full.
    """
    if not data:
        return None
    head = decode_head(data)
    if head.owner != tenant:
        raise FarhandError("audit-head-malformed", "the relay showed another audit's head")
    try:
        heads = relay_heads(home)
    except FarhandError:
        # What was kept is lost; from here on it is kept again, and the journal says so.
        journal.log("relay-heads-lost")
        heads = []
    known = any((one.seq, one.hash) == (head.seq, head.hash) for one in heads)
    if not known:
        lines = [encode_head(one) + b"\n" for one in thinned([*heads, head], MAX_RELAY_HEADS)]
        write_atomically(home.path / _FILE, b"".join(lines))
    newest = max((one.seq for one in heads), default=0)
    if head.seq < newest or (not known and head.seq == newest and heads):
        return raise_alarm(journal, "relay-audit-broken", head.at)
    return None
