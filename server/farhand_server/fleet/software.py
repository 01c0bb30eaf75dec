"""One device's installed software, as the relay keeps it: numbers into the dictionary.

A list of 3,000 packages is 500 KB of JSON that is nearly the same on every machine.  What is the
same stands in `fleet.packages`, once; here, for each device, in the order of the report

    version   the number of the package's version; 0 where the dictionary does not take it
    own       what only this device can say of it (`OWN_FIELDS`): when installed, held back
    odd       the whole item, where the dictionary has another word for it than this device

packed by columns and compressed, some 10 KB.  Unpacked with the dictionary's rows it gives exactly
the items that the device reported.  No I/O here.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

import msgspec

from farhand_protocol.inventory import SOFTWARE_KEYS, canonical_json
from farhand_server.fleet.packages import Known, Package, package_of

__all__ = [
    "OWN_FIELDS",
    "Installed",
    "details_of",
    "installed_of",
    "is_packed",
    "item_of",
    "pack",
    "subtract",
    "unpack",
    "versions_of",
]

Item = dict[str, Any]
Own = tuple[str | int | bool | None, ...]

OWN_FIELDS: Final = ("installed_at", "held", "automatic")
# Nothing that zlib writes begins so (RFC 1950 s2.2: the first byte is 0x78 here).
_MARK: Final = b"S"
_LARGEST: Final = 2**31 - 1


class Installed(msgspec.Struct, frozen=True):
    """One item of a device's software; equal where the items are."""

    version: int
    own: Own
    odd: bytes = b""


class _Columns(msgspec.Struct, array_like=True):
    steps: bytes
    own: list[list[str | int | bool | None]]
    odd: dict[int, bytes]


def details_of(items: Sequence[Item]) -> dict[Package, str]:
    """Return the packages of a section that the dictionary takes, and what else their items say."""
    found: dict[Package, str] = {}
    for item in items:
        package = package_of(item)
        if package is not None and package not in found:
            found[package] = _detail(item)
    return found


def _detail(item: Item) -> str:
    """Return what is the same everywhere; of a device's own fields, only that they are there."""
    rest = {
        field: None if field in OWN_FIELDS else value
        for field, value in item.items()
        if field not in SOFTWARE_KEYS
    }
    # PostgreSQL has no text with NUL in it; JSON writes it as an escape.
    return canonical_json(rest).decode()


def installed_of(items: Sequence[Item], known: Mapping[Package, Known]) -> list[Installed]:
    """Return the items of a valid section as entries, in their order."""
    found = []
    for item in items:
        package = package_of(item)
        row = known.get(package) if package is not None else None
        own = tuple(item.get(field) for field in OWN_FIELDS)
        plain = all(value is None or isinstance(value, str | int) for value in own)
        if row is not None and plain and row.number <= _LARGEST and row.detail == _detail(item):
            found.append(Installed(row.number, own))
        else:
            number = row.number if row is not None and row.number <= _LARGEST else 0
            found.append(Installed(number, (None,) * len(OWN_FIELDS), canonical_json(item)))
    return found


def item_of(one: Installed, known: Mapping[int, Known]) -> Item:
    """Return the item that an entry stands for."""
    if one.odd:
        item: Item = msgspec.json.decode(one.odd)
        return item
    row = known[one.version]
    package = row.package
    rest: Item = msgspec.json.decode(row.detail)
    for field, value in zip(OWN_FIELDS, one.own, strict=True):
        if field in rest:
            rest[field] = value
    return {
        "source": package.source,
        "name": package.name,
        "version": package.version,
        "arch": package.arch,
        **rest,
    }


def versions_of(entries: Iterable[Installed]) -> set[int]:
    """Return the numbers of the versions that are installed."""
    return {one.version for one in entries} - {0}


def subtract(entries: Sequence[Installed], others: Sequence[Installed]) -> list[Installed]:
    """Return the entries that the others do not have, as often as they do not."""
    return list((Counter(entries) - Counter(others)).elements())


def is_packed(body: bytes) -> bool:
    """Tell whether a section's body is packed software."""
    return body.startswith(_MARK)


def pack(entries: Sequence[Installed]) -> bytes:
    """Return entries as bytes."""
    numbers = [one.version for one in entries]
    steps = array("i", (b - a for a, b in zip([0, *numbers], numbers, strict=False)))
    columns = _Columns(
        steps.tobytes(),
        [list(column) for column in zip(*(one.own for one in entries), strict=True)],
        {at: one.odd for at, one in enumerate(entries) if one.odd},
    )
    return _MARK + zlib.compress(msgspec.msgpack.encode(columns), 6)


def unpack(body: bytes) -> list[Installed]:
    """Return the entries of a packed body that the relay itself wrote."""
    columns = msgspec.msgpack.decode(zlib.decompress(body[len(_MARK) :]), type=_Columns)
    steps = array("i")
    steps.frombytes(columns.steps)
    own = zip(*columns.own, strict=True) if columns.own else ()
    return [
        Installed(number, values, columns.odd.get(at, b""))
        for at, (number, values) in enumerate(zip(accumulate(steps), own, strict=True))
    ]
