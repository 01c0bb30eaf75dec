"""The dictionary of software: what a package is, kept once for the whole fleet.

`packages` holds each (source, name, arch), `package_versions` each version of it with whatever else
is the same wherever that version is installed (`detail`).  A device's own list is numbers into it
(`fleet.software`).  A report costs a handful of statements however long it is.  New rows are made
in one fixed order, so that two devices reporting at once never wait for each other in a circle
(PostgreSQL).

Names and versions come from devices.  What does not fit the bounds, or holds a character that
PostgreSQL cannot store, gets no number.  The first device that reports a version says what its
detail is; it is never changed, so nobody can change what another device reported: whose item is
another one keeps its own beside the number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, String, Table, func, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.store.schema import package_versions, packages
from farhand_server.store.schema.columns import NUMBER

__all__ = [
    "Known",
    "Package",
    "given_numbers",
    "given_texts",
    "in_chunks",
    "insert_new",
    "known_versions",
    "number_versions",
    "package_of",
]

MAX_NAME_CHARS: Final = 256
MAX_VERSION_CHARS: Final = 256
MAX_KIND_CHARS: Final = 64
MAX_DETAIL_BYTES: Final = 4 * 1024
CHUNK: Final = 500

Title = tuple[str, str, str]  # name, source, arch
T = TypeVar("T")


class Package(msgspec.Struct, frozen=True):
    """One version of a package, as an item of a `software` section names it."""

    name: str
    source: str
    arch: str
    version: str

    @property
    def title(self) -> Title:
        """What it is a version of."""
        return self.name, self.source, self.arch


class Known(msgspec.Struct, frozen=True):
    """A version in the dictionary; `detail` is canonical JSON of the rest of the item, or empty."""

    number: int
    package: Package
    detail: str


def in_chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces that fit one statement's bound parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def given_numbers(dialect: str, numbers: Iterable[int]) -> Select[Any]:
    """Return a subquery of these numbers as one bound parameter, however many they are."""
    values = sorted(numbers)
    if dialect == "postgresql":
        return select(func.unnest(literal(values, postgresql.ARRAY(NUMBER))))
    return _json_values(json.dumps(values))


def given_texts(dialect: str, texts: Iterable[str]) -> Select[Any]:
    """Return a subquery of these texts as one bound parameter, however many they are."""
    values = sorted(texts)
    if dialect == "postgresql":
        return select(func.unnest(literal(values, postgresql.ARRAY(String))))
    return _json_values(json.dumps(values))


def _json_values(text: str) -> Select[Any]:
    value: ColumnElement[Any] = func.json_each(literal(text, String)).table_valued("value").c.value
    return select(value)


async def insert_new(c: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those rows that break no unique constraint, in one statement; others are there."""
    if not rows:
        return
    make = postgresql.insert if c.dialect.name == "postgresql" else sqlite.insert
    await c.execute(make(table).on_conflict_do_nothing(), rows)


def package_of(item: dict[str, Any]) -> Package | None:
    """Return what a valid item of `software` is; None where the dictionary does not take it."""
    name, source, arch, version = item["name"], item["source"], item["arch"], item["version"]
    if (
        len(name) > MAX_NAME_CHARS
        or len(version) > MAX_VERSION_CHARS
        or max(len(source), len(arch)) > MAX_KIND_CHARS
        or not f"{name}{source}{arch}{version}".isprintable()
    ):
        return None
    return Package(name, source, arch, version)


async def known_versions(c: AsyncConnection, numbers: Iterable[int]) -> dict[int, Known]:
    """Return the dictionary's rows of these numbers."""
    query = (
        select(
            package_versions.c.id,
            packages.c.name,
            packages.c.source,
            packages.c.arch,
            package_versions.c.version,
            package_versions.c.detail,
        )
        .join(packages, packages.c.id == package_versions.c.package)
        .where(package_versions.c.id.in_(given_numbers(c.dialect.name, set(numbers))))
    )
    return {
        number: Known(number, Package(name, source, arch, version), detail or "")
        for number, name, source, arch, version, detail in await c.execute(query)
    }


async def number_versions(
    c: AsyncConnection, *, tenant: str, details: dict[Package, str]
) -> dict[Package, Known]:
    """Return the dictionary's row of each package, made where there was none.

    Args:
        c: connection of a write transaction.
        tenant: organisation.
        details: the packages, and what else their items say; kept for those that are new.
    """
    wanted = sorted(details, key=lambda one: (*one.title, one.version))
    titles = await _title_numbers(c, tenant, sorted({one.title for one in wanted}))
    found = await _find_versions(c, titles, wanted)
    missing = [one for one in wanted if one not in found]
    if missing:
        rows = [
            {
                "package": titles[one.title],
                "version": one.version,
                "detail": details[one] if len(details[one]) <= MAX_DETAIL_BYTES else None,
            }
            for one in missing
        ]
        rows.sort(key=lambda row: (row["package"], row["version"]))
        await insert_new(c, package_versions, rows)
        found |= await _find_versions(c, titles, missing)
    return found


async def _title_numbers(
    c: AsyncConnection, tenant: str, wanted: Sequence[Title]
) -> dict[Title, int]:
    found = await _find_titles(c, tenant, wanted)
    missing = [one for one in wanted if one not in found]
    if missing:
        rows = [
            {"tenant": tenant, "name": n, "source": s, "arch": a, "folded": n.casefold()}
            for n, s, a in missing
        ]
        await insert_new(c, packages, rows)
        found |= await _find_titles(c, tenant, missing)
    return found


async def _find_titles(
    c: AsyncConnection, tenant: str, wanted: Sequence[Title]
) -> dict[Title, int]:
    found: dict[Title, int] = {}
    for chunk in in_chunks(wanted):
        query = select(packages.c.name, packages.c.source, packages.c.arch, packages.c.id).where(
            packages.c.tenant == tenant,
            tuple_(packages.c.name, packages.c.source, packages.c.arch).in_(chunk),
        )
        found.update({(n, s, a): number for n, s, a, number in await c.execute(query)})
    return found


async def _find_versions(
    c: AsyncConnection, titles: dict[Title, int], wanted: Sequence[Package]
) -> dict[Package, Known]:
    by_pair = {(titles[one.title], one.version): one for one in wanted}
    found: dict[Package, Known] = {}
    columns = package_versions.c
    for chunk in in_chunks(list(by_pair)):
        query = select(columns.package, columns.version, columns.id, columns.detail).where(
            tuple_(columns.package, columns.version).in_(chunk)
        )
        for title, version, number, detail in await c.execute(query):
            package = by_pair[title, version]
            found[package] = Known(number, package, detail or "")
    return found
