"""The relay's audit chain as a console checks it: every record covers the one before.

The relay signs the head of its chain; sign-in replies carry it, and this console keeps each head it
was shown (`audit-heads.jsonl`, thinned from the old end).  `check_chain` recomputes every hash and
demands that the chain still passes through every head, those kept here and those of a file: what
the relay sent out (`--audit-heads`), or what a device kept (`farhand-agent log --heads`).  So a cut
tail or another history shows.  The rules are written down in docs/protocol.md, section 11.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_console.home import Home, write_private
from farhand_protocol.audit import (
    AuditHead,
    check_kept,
    decode_head,
    encode_head,
    head_message,
    thinned,
    wanted_hashes,
)
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.keys import verify

__all__ = [
    "MAX_HEADS_FILE",
    "AuditRecord",
    "check_chain",
    "keep_head",
    "kept_heads",
    "read_heads_file",
]

MAX_HEADS_FILE: Final = 16 * 1024 * 1024
_FIRST: Final = "0" * 64
_CHAIN: Final = "the relay's audit"


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


def _check_head(head: AuditHead, relay_key: bytes) -> None:
    if not verify(relay_key, head.signature, head_message(head)):
        raise FarhandError("audit-broken", "an audit head is not signed by the relay")


def kept_heads(home: Home) -> list[AuditHead]:
    """Return the heads this console was shown, oldest first.

    Raises:
        FarhandError: `home-unreadable`.
    """
    file = home.folder / "audit-heads.jsonl"
    try:
        return [decode_head(line) for line in file.read_bytes().splitlines() if line]
    except FileNotFoundError:
        return []
    except (OSError, FarhandError) as error:
        raise FarhandError("home-unreadable", f"{file} cannot be read") from error


def read_heads_file(path: Path, relay_key: bytes) -> list[AuditHead]:
    """Read heads that were kept elsewhere: one JSON object per line, whatever stands before it.

    Args:
        path: at most `MAX_HEADS_FILE` bytes: what `--audit-heads` wrote, lines of a syslog, a mail
            message, or what a device kept.
        relay_key: who must have signed them.

    Raises:
        UsageError: `audit-heads-missing`: not one head in it, or it cannot be read.
        FarhandError: `audit-head-malformed`; `audit-broken` when one is not the relay's.
    """
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_HEADS_FILE + 1)
    except OSError as error:
        raise UsageError("audit-heads-missing", f"{path} cannot be read") from error
    if len(data) > MAX_HEADS_FILE:
        raise UsageError("audit-heads-missing", f"{path} is too large")
    heads = []
    for line in data.splitlines():
        at = line.find(b'{"owner":')
        if at >= 0:
            head = decode_head(line[at:].rstrip())
            _check_head(head, relay_key)
            heads.append(head)
    if not heads:
        raise UsageError("audit-heads-missing", f"there is no head of an audit in {path}")
    return heads


def keep_head(home: Home, answer: Any, relay_key: bytes) -> AuditHead:
    """Check and keep a head that the relay showed.

    Raises:
        FarhandError: `audit-broken` when it is not the relay's; `audit-cut` or `audit-forked` when
            it takes the chain back or tells another story; it is kept as proof all the same.
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
        text = b"".join(encode_head(one) + b"\n" for one in thinned([*heads, head]))
        write_private(home.folder / "audit-heads.jsonl", text)
    if head.seq < newest:
        raise FarhandError(
            "audit-cut",
            f"the relay's audit ends at {head.seq}, but it showed record {newest} before",
            hint="the relay was restored from a backup, or its audit was cut",
        )
    wanted_hashes(((one.seq, one.hash) for one in [*heads, head]), _CHAIN)


def check_chain(
    tenant: str, records: Iterable[Any], head: AuditHead, kept: Iterable[AuditHead]
) -> Iterator[AuditRecord]:
    """Yield the records while checking each; the end of the iteration is the verdict.

    Raises:
        FarhandError: `audit-broken` at the first record that does not follow; `audit-cut`,
            `audit-rewritten` or `audit-forked` where it misses a head.
    """
    heads = [*kept, head]
    if any(one.owner != tenant for one in heads):
        raise FarhandError("audit-broken", "a head is of another organisation's audit")
    wanted = wanted_hashes(((one.seq, one.hash) for one in heads), _CHAIN)
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
        if seq in wanted:
            check_kept({seq: wanted.pop(seq)}, {seq: digest}, _CHAIN)
        previous = digest
        yield record
    check_kept(wanted, {}, _CHAIN)
