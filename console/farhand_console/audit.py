"""The relay's audit chain as a console checks it: every record covers the one before.

The relay signs the head of its chain; sign-in replies carry it, and this console keeps each head it
was shown (`audit-heads.jsonl`).  `check_chain` recomputes every hash and demands that the chain
still passes through every kept head, so that a cut tail or another history shows.  The rule of the
hash is written down in docs/protocol.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from farhand_console.home import Home, write_private
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import verify

__all__ = ["AuditHead", "AuditRecord", "check_chain", "keep_head", "kept_heads"]

_LABEL = b"farhand audit head v1\0"
_FIRST = "0" * 64


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record; `detail` is JSON text exactly as it was hashed."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    detail: str
    previous: str
    hash: str


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """The newest record's place and hash, signed by the relay key."""

    tenant: str
    seq: int
    hash: str
    at: str
    signature: bytes


def _check_head(head: AuditHead, relay_key: bytes) -> None:
    covered = {"at": head.at, "hash": head.hash, "seq": head.seq, "tenant": head.tenant}
    if not verify(relay_key, head.signature, _LABEL + msgspec.json.encode(covered)):
        raise FarhandError("audit-broken", "an audit head is not signed by the relay")


def kept_heads(home: Home) -> list[AuditHead]:
    """Return the heads this console was shown, oldest first.

    Raises:
        FarhandError: `home-unreadable`.
    """
    file = home.folder / "audit-heads.jsonl"
    try:
        lines = file.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=AuditHead) for line in lines if line]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise FarhandError("home-unreadable", f"{file} cannot be read") from error


def keep_head(home: Home, answer: Any, relay_key: bytes) -> AuditHead:
    """Check and keep a head that the relay showed.

    Raises:
        FarhandError: `audit-broken` when it is not the relay's, or takes the chain back.
    """
    try:
        head = msgspec.convert(answer, AuditHead, strict=False)
    except msgspec.ValidationError as error:
        raise FarhandError("relay-answer", "the relay's audit head cannot be read") from error
    _check_head(head, relay_key)
    with home.locked("audit-heads"):
        _keep(home, head)
    return head


def _keep(home: Home, head: AuditHead) -> None:
    heads = kept_heads(home)
    newest = max((one.seq for one in heads), default=0)
    if not any(one.seq == head.seq and one.hash == head.hash for one in heads):
        # Kept even where it contradicts: it is signed, and proves that the relay told two stories.
        text = b"\n".join(msgspec.json.encode(one) for one in [*heads, head]) + b"\n"
        write_private(home.folder / "audit-heads.jsonl", text)
    if head.seq < newest:
        raise FarhandError(
            "audit-broken",
            f"the relay's audit ends at {head.seq}, but it showed record {newest} before",
            hint="the relay was restored from a backup, or its audit was cut",
        )
    if any(one.seq == head.seq and one.hash != head.hash for one in heads):
        raise FarhandError("audit-broken", f"the relay signed two different records {head.seq}")


def check_chain(
    tenant: str, records: Iterable[Any], head: AuditHead, kept: Iterable[AuditHead]
) -> Iterator[AuditRecord]:
    """Yield the records while checking each; the end of the iteration is the verdict.

    Raises:
        FarhandError: `audit-broken`, saying at which record.
    """
    wanted: dict[int, str] = {}
    for one in [*kept, head]:
        if one.tenant != tenant or wanted.setdefault(one.seq, one.hash) != one.hash:
            raise FarhandError("audit-broken", f"two different heads were shown for {one.seq}")
    wanted.pop(0, None)
    previous = _FIRST
    for seq, raw in enumerate(records, 1):
        try:
            record = msgspec.convert(raw, AuditRecord, from_attributes=True)
        except msgspec.ValidationError as error:
            raise FarhandError("audit-broken", f"record {seq} cannot be read") from error
        covered = {
            "action": record.action,
            "actor": record.actor,
            "at": record.at,
            "detail": record.detail,
            "previous": record.previous,
            "seq": record.seq,
            "subject": record.subject,
            "tenant": tenant,
        }
        digest = hashlib.sha256(msgspec.json.encode(covered)).hexdigest()
        if record.seq != seq or record.previous != previous or record.hash != digest:
            raise FarhandError("audit-broken", f"the chain breaks at record {seq}")
        if wanted.pop(seq, digest) != digest:
            raise FarhandError("audit-broken", f"record {seq} is not the one that was signed")
        previous = digest
        yield record
    if wanted:
        raise FarhandError("audit-broken", f"record {min(wanted)} was shown once and is gone now")
