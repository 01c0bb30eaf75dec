"""Inventory sections: what one collector reports about a device, and how it travels.

A device reports one `SectionReport` per section.  The agent fills every field; the relay can read
all of it (inventory is addressed to the relay) and must treat it as hostile until
`validate_section` or `decode_section` let it through.  A blob is the zlib-compressed canonical
JSON of the report; the hash covers status and items only, so a section collected twice with the
same outcome has the same hash and need not be sent again.

Canonical JSON here means: UTF-8, keys sorted, no spaces, floats in their shortest form, no NaN
and no infinity.

This module neither collects nor stores anything and reads no clock.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from typing import Any, Final, Literal, get_args

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = [
    "CHECKS_SECTION",
    "MAX_BLOB_BYTES",
    "MAX_DEPTH",
    "MAX_ITEMS",
    "MAX_REASON_CHARS",
    "MAX_SECTION_BYTES",
    "MAX_STRING_BYTES",
    "SECTION_NAME",
    "SOFTWARE_KEYS",
    "STATUSES",
    "WITHHELD",
    "SectionReport",
    "Status",
    "canonical_json",
    "decode_section",
    "encode_section",
    "section_hash",
    "validate_section",
]

Status = Literal["ok", "unsupported", "denied", "timeout", "error"]
STATUSES: Final[frozenset[str]] = frozenset(get_args(Status))

SECTION_NAME: Final = re.compile(r"[a-z][a-z0-9_.]{1,40}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")

MAX_ITEMS: Final = 20_000
MAX_SECTION_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 6
MAX_STRING_BYTES: Final = 64 * 1024
MAX_REASON_CHARS: Final = 2_000
MAX_DURATION_MS: Final = 24 * 3600 * 1000
# Room for zlib's own overhead on data that does not compress (zlib manual: 5 bytes per 16 KiB).
MAX_BLOB_BYTES: Final = MAX_SECTION_BYTES + 16 * 1024
# A few bytes of JSON can become a Python object of a hundred; this bounds the objects that one
# report can turn into before they exist.  3,000 packages with 12 keys each use about 40,000.
MAX_STRUCTURE_CHARS: Final = 1_000_000

# What the device's own schedules of checks came to; no collector makes it.
CHECKS_SECTION: Final = "checks"

# Stands where policy keeps a personal value back; null would mean that there is none.
WITHHELD: Final = "(withheld)"

# The relay stores packages once for the whole fleet, by these keys.
SOFTWARE_KEYS: Final = ("source", "name", "version", "arch")


class SectionReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One section as a device saw it.  Every field is set by the agent and seen by the relay.

    Attributes:
        name: section name, `[a-z][a-z0-9_.]{1,40}`.
        status: how collecting ended; `items` says something only when this is `ok`.
        reason: words for a technician, at most `MAX_REASON_CHARS`; with `ok` a remark or "".
        items: at most `MAX_ITEMS` objects of JSON values.
        hash: hex SHA-256 over the canonical JSON of `{"items", "status"}`.
        collected_at: RFC 3339, UTC.
        duration_ms: how long collecting took, 0 to one day.
    """

    name: str
    status: Status
    reason: str
    items: list[dict[str, Any]]
    hash: str
    collected_at: str
    duration_ms: int


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON of a value made of JSON types.

    Raises:
        FarhandError: `inventory-malformed` when the value holds something that JSON cannot.
    """
    try:
        return msgspec.json.encode(value, order="sorted")
    except (TypeError, ValueError, UnicodeError, RecursionError) as error:
        raise FarhandError(
            "inventory-malformed", "the value has no JSON form", detail=str(error)[:200]
        ) from error


def section_hash(status: str, items: list[dict[str, Any]]) -> str:
    """Return the hex SHA-256 over the canonical JSON of status and items.

    Raises:
        FarhandError: `inventory-malformed` when an item has no JSON form.
    """
    return hashlib.sha256(canonical_json({"items": items, "status": status})).hexdigest()


def validate_section(report: SectionReport) -> None:
    """Check a report against every bound of this module; safe on hostile input.

    The cost is linear in the size of the report (tens of milliseconds at the largest), so a
    relay calls it away from its event loop for large reports.

    Raises:
        FarhandError: `inventory-too-large` when a size bound is broken, `inventory-malformed`
            when anything else is: names, types, depth, times, or a hash that does not match.
    """
    if not (isinstance(report.name, str) and SECTION_NAME.fullmatch(report.name)):
        raise _malformed("the section name is not allowed")
    if report.status not in STATUSES:
        raise _malformed("the section status is not known")
    if not isinstance(report.reason, str) or len(report.reason) > MAX_REASON_CHARS:
        raise _malformed("the reason is too long")
    duration = report.duration_ms
    if isinstance(duration, bool) or not isinstance(duration, int):
        raise _malformed("the duration is not a whole number")
    if not 0 <= duration <= MAX_DURATION_MS:
        raise _malformed("the duration is out of range")
    _validate_instant(report.collected_at)
    if not (isinstance(report.hash, str) and _HASH.fullmatch(report.hash)):
        raise _malformed("the hash is not a SHA-256 in hex")
    if not isinstance(report.items, list):
        raise _malformed("the items are not a list")
    if len(report.items) > MAX_ITEMS:
        raise _too_large(f"the section has more than {MAX_ITEMS} items")
    for item in report.items:
        if not isinstance(item, dict):
            raise _malformed("an item is not an object")
        _validate_value(item, 1)
        if report.name == "software":
            _validate_software(item)
    body = canonical_json({"items": report.items, "status": report.status})
    if len(body) > MAX_SECTION_BYTES:
        raise _too_large(f"the section has more than {MAX_SECTION_BYTES} bytes")
    if hashlib.sha256(body).hexdigest() != report.hash:
        raise _malformed("the hash does not match the items")


def encode_section(report: SectionReport) -> bytes:
    """Return the blob of a valid report: zlib-compressed canonical JSON.

    Returns:
        At most `MAX_BLOB_BYTES` bytes.

    Raises:
        FarhandError: as `validate_section`, or `inventory-too-large` when the whole report with
            its header passes `MAX_SECTION_BYTES`.
    """
    validate_section(report)
    body = canonical_json(report)
    if len(body) > MAX_SECTION_BYTES or _structure_chars(body) > MAX_STRUCTURE_CHARS:
        raise _too_large("the report is larger than a section may be")
    return zlib.compress(body, 6)


def decode_section(blob: bytes) -> SectionReport:
    """Return the validated report in a blob; safe on hostile input.

    Never inflates more than `MAX_SECTION_BYTES` + 1 bytes.

    Raises:
        FarhandError: `inventory-too-large` when blob or contents pass their bounds,
            `inventory-malformed` when they are anything but one valid report.
    """
    if len(blob) > MAX_BLOB_BYTES:
        raise _too_large("the blob is larger than a section may be")
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(blob, MAX_SECTION_BYTES + 1)
    except zlib.error as error:
        raise _malformed("the blob is not zlib data", str(error)) from error
    if len(body) > MAX_SECTION_BYTES:
        raise _too_large("the blob inflates past the bound")
    if not inflater.eof or inflater.unused_data:
        raise _malformed("the blob is cut off or has something behind it")
    if _structure_chars(body) > MAX_STRUCTURE_CHARS:
        raise _too_large("the section has too many values")
    try:
        report = msgspec.json.decode(body, type=SectionReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed("the blob is not a section report", str(error)[:200]) from error
    validate_section(report)
    return report


def _structure_chars(body: bytes) -> int:
    return body.count(b",") + body.count(b"{") + body.count(b"[")


def _validate_instant(text: object) -> None:
    if not isinstance(text, str) or len(text) > 40 or not text.endswith("Z"):
        raise _malformed("the collection time is not RFC 3339 in UTC")
    try:
        parse_instant(text)
    except (FarhandError, OverflowError) as error:
        raise _malformed("the collection time is not RFC 3339 in UTC") from error


def _validate_software(item: dict[str, Any]) -> None:
    for key in SOFTWARE_KEYS:
        value = item.get(key)
        if not isinstance(value, str) or (not value and key in ("source", "name")):
            raise _malformed(f"a software item has no usable {key}")


def _validate_value(value: object, depth: int) -> None:
    # The recursion is bounded by MAX_DEPTH, whatever the input.
    match value:
        case None | bool():
            return
        case str():
            _validate_text(value)
        case int():
            if not -(2**63) <= value < 2**63:
                raise _malformed("a number does not fit 64 bits")
        case float():
            if not math.isfinite(value):
                raise _malformed("a number is not finite")
        case dict() | list() if depth > MAX_DEPTH:
            raise _malformed(f"values are nested deeper than {MAX_DEPTH}")
        case dict():
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise _malformed("a key is not text")
                _validate_text(key)
                _validate_value(inner, depth + 1)
        case list():
            for inner in value:
                _validate_value(inner, depth + 1)
        case _:
            raise _malformed("a value is not of a JSON type")


def _validate_text(text: str) -> None:
    # A character is at most four bytes, so short text needs no encoding to be judged by size,
    # but lone surrogates have to be found in any case.
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _malformed("a text is not valid Unicode") from error
    if size > MAX_STRING_BYTES:
        raise _too_large(f"a text has more than {MAX_STRING_BYTES} bytes")


def _malformed(words: str, detail: str | None = None) -> FarhandError:
    return FarhandError("inventory-malformed", words, detail=detail)


def _too_large(words: str) -> FarhandError:
    return FarhandError("inventory-too-large", words)
