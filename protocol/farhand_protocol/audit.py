"""Signed heads of hash chains: how a cut tail shows to whoever remembers.

The relay's audit and each device's log are chains: every record's hash covers the one before.  A
chain cannot tell that its end was cut off, or that it was written anew from some record on.  A head
says "record `seq` has this hash", signed by the chain's owner: whoever keeps one can demand later
that the chain still passes through it.  Heads travel with sign-ins, handshakes and receipts.

    signed bytes    b"farhand audit head v1\\0" + canonical JSON of {"at", "hash", "owner", "seq"}
    kept            a JSON line each, oldest first, at most `MAX_KEPT_HEADS` per chain (`thinned`)

A receipt is signed as a whole, so the head inside it is the mark "SEQ:HASH" alone (`head_mark`).
Nothing is signed or verified here: the resident agent imports this, and leaves keys to children.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, TypeVar

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "LAST_SEQ",
    "MAX_HEAD_BYTES",
    "MAX_KEPT_HEADS",
    "AuditHead",
    "check_kept",
    "decode_head",
    "encode_head",
    "head_mark",
    "head_message",
    "parse_head_mark",
    "thinned",
    "wanted_hashes",
]

MAX_HEAD_BYTES: Final = 512
MAX_KEPT_HEADS: Final = 512
LAST_SEQ: Final = 2**53 - 1
_LABEL: Final = b"farhand audit head v1\0"
_MARK: Final = re.compile(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})")

T = TypeVar("T")


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """The newest record's place and hash; `seq` 0 with 64 zeros is an empty chain.

    `owner` is the tenant of a relay, or the id of a device; `at` RFC 3339; `signature` by the
    relay key or the device key.
    """

    owner: Annotated[str, msgspec.Meta(max_length=64)]
    seq: Annotated[int, msgspec.Meta(ge=0, le=LAST_SEQ)]
    hash: Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
    at: Annotated[str, msgspec.Meta(max_length=40)]
    signature: Annotated[bytes, msgspec.Meta(max_length=64)] = b""


def head_message(head: AuditHead) -> bytes:
    """Return the bytes that the owner of the chain signs."""
    covered = {"at": head.at, "hash": head.hash, "owner": head.owner, "seq": head.seq}
    return _LABEL + msgspec.json.encode(covered)


def encode_head(head: AuditHead) -> bytes:
    """Return a head as JSON, as it travels on the link and stands in files."""
    return msgspec.json.encode(head)


def decode_head(data: bytes) -> AuditHead:
    """Read a head, without judging its signature.

    Raises:
        FarhandError: `audit-head-malformed`.
    """
    try:
        if len(data) > MAX_HEAD_BYTES:
            raise ValueError("too long")
        return msgspec.json.decode(data, type=AuditHead)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FarhandError("audit-head-malformed", "a head of an audit cannot be read") from error


def head_mark(seq: int, digest: str) -> str:
    """Return a head as a receipt carries it."""
    return f"{seq}:{digest}"


def parse_head_mark(mark: str) -> tuple[int, str]:
    """Read `head_mark`.

    Raises:
        FarhandError: `audit-head-malformed`.
    """
    if not (parts := _MARK.fullmatch(mark)):
        raise FarhandError("audit-head-malformed", "a head of an audit cannot be read")
    return int(parts[1]), parts[2]


def thinned(heads: Sequence[T], maximum: int = MAX_KEPT_HEADS) -> list[T]:
    """Return at most `maximum` of these, oldest first: of the older half every second one goes.

    The newest stay whole, and a head of long ago stays as long as anything of that time does.
    """
    kept = list(heads)
    while len(kept) > maximum:
        half = max(2, len(kept) // 2)
        kept = [*kept[:half:2], *kept[half:]]
    return kept


def wanted_hashes(marks: Iterable[tuple[int, str]], what: str) -> dict[int, str]:
    """Return which hash each numbered record must have.

    Args:
        marks: (seq, hash) of heads that were shown; 0 is the empty chain and demands nothing.
        what: the chain, in words.

    Raises:
        FarhandError: `audit-forked` when two heads name one record with different hashes.
    """
    wanted: dict[int, str] = {}
    for seq, digest in marks:
        if wanted.setdefault(seq, digest) != digest:
            raise FarhandError(
                "audit-forked",
                f"two different records {seq} of {what} were signed",
                hint="both heads are kept as proof; its history was written anew",
            )
    wanted.pop(0, None)
    return wanted


def check_kept(wanted: Mapping[int, str], hashes: Mapping[int, str], what: str) -> None:
    """Demand that a whole, checked chain passes through every head that was shown.

    Args:
        wanted: from `wanted_hashes`.
        hashes: the chain's hash of (at least) each wanted record that it has.
        what: the chain, in words.

    Raises:
        FarhandError: `audit-cut` when a record is gone, `audit-rewritten` when it is another one.
    """
    for seq, digest in sorted(wanted.items()):
        if seq not in hashes:
            raise FarhandError(
                "audit-cut",
                f"record {seq} of {what} was shown once and is gone now",
                hint="it was restored from a backup, or its end was cut off",
            )
        if hashes[seq] != digest:
            raise FarhandError(
                "audit-rewritten", f"record {seq} of {what} is not the one that was signed"
            )
