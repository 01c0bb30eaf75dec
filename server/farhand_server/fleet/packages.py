"""Installed software, kept once for the whole fleet.

`packages` holds each (source, name, arch), `package_versions` each version of it, and a device only
pairs of small numbers.  A report costs a handful of statements however long it is: what the device
already has is read first, and only what is new to it is looked up or inserted.  New rows are
inserted in one fixed order, so that two devices reporting at once never wait for each other in a
circle (PostgreSQL).

Names and versions come from devices.  What does not fit the dictionary's bounds, or holds a
character that PostgreSQL cannot store, stays in the section's body and is left out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Table, delete, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.store.schema import device_packages, package_versions, packages

__all__ = ["in_chunks", "insert_new", "store_packages"]

MAX_NAME_CHARS: Final = 256
MAX_VERSION_CHARS: Final = 256
MAX_KIND_CHARS: Final = 64
CHUNK: Final = 500

Package = tuple[str, str, str]  # name, source, arch
Installed = tuple[str, str, str, str]  # name, source, arch, version
T = TypeVar("T")


def in_chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces that fit one statement's bound parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


async def insert_new(c: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those rows that break no unique constraint, in one statement; others are there."""
    if not rows:
        return
    make = postgresql.insert if c.dialect.name == "postgresql" else sqlite.insert
    await c.execute(make(table).on_conflict_do_nothing(), rows)


def _fitting(items: Iterable[dict[str, Any]]) -> set[Installed]:
    wanted: set[Installed] = set()
    for item in items:
        name, source = item["name"], item["source"]
        arch, version = item["arch"], item["version"]
        if (
            len(name) <= MAX_NAME_CHARS
            and len(version) <= MAX_VERSION_CHARS
            and max(len(source), len(arch)) <= MAX_KIND_CHARS
            and f"{name}{source}{arch}{version}".isprintable()
        ):
            wanted.add((name, source, arch, version))
    return wanted


async def store_packages(
    c: AsyncConnection, *, tenant: str, device: str, items: Iterable[dict[str, Any]]
) -> None:
    """Make a device's packages exactly those of a valid `software` section.

    The caller holds the device's row, so that two reports of one device come one after another.
    """
    wanted = _fitting(items)
    had = await _packages_of(c, tenant, device)
    gone = sorted(had[one] for one in had.keys() - wanted)
    for chunk in in_chunks(gone):
        await c.execute(
            delete(device_packages).where(
                device_packages.c.tenant == tenant,
                device_packages.c.device == device,
                device_packages.c.package_version.in_(chunk),
            )
        )
    new = sorted(wanted - had.keys())
    if not new:
        return
    package_ids = await _package_ids(c, tenant, sorted({one[:3] for one in new}))
    pairs = sorted((package_ids[one[:3]], one[3]) for one in new)
    version_ids = await _version_ids(c, pairs)
    rows = [
        {"tenant": tenant, "device": device, "package_version": number}
        for number in sorted(version_ids[pair] for pair in pairs)
    ]
    await c.execute(insert(device_packages), rows)


async def _packages_of(c: AsyncConnection, tenant: str, device: str) -> dict[Installed, int]:
    query = (
        select(
            packages.c.name,
            packages.c.source,
            packages.c.arch,
            package_versions.c.version,
            package_versions.c.id,
        )
        .join(package_versions, package_versions.c.id == device_packages.c.package_version)
        .join(packages, packages.c.id == package_versions.c.package)
        .where(device_packages.c.tenant == tenant, device_packages.c.device == device)
    )
    return {
        (name, source, arch, version): number
        for name, source, arch, version, number in await c.execute(query)
    }


async def _package_ids(
    c: AsyncConnection, tenant: str, wanted: Sequence[Package]
) -> dict[Package, int]:
    found = await _find_packages(c, tenant, wanted)
    missing = [one for one in wanted if one not in found]
    await insert_new(
        c,
        packages,
        [{"tenant": tenant, "name": n, "source": s, "arch": a} for n, s, a in missing],
    )
    return found | await _find_packages(c, tenant, missing)


async def _find_packages(
    c: AsyncConnection, tenant: str, wanted: Sequence[Package]
) -> dict[Package, int]:
    found: dict[Package, int] = {}
    for chunk in in_chunks(wanted):
        query = select(packages.c.name, packages.c.source, packages.c.arch, packages.c.id).where(
            packages.c.tenant == tenant,
            tuple_(packages.c.name, packages.c.source, packages.c.arch).in_(chunk),
        )
        found.update({(n, s, a): number for n, s, a, number in await c.execute(query)})
    return found


async def _version_ids(
    c: AsyncConnection, wanted: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], int]:
    found = await _find_versions(c, wanted)
    missing = [one for one in wanted if one not in found]
    await insert_new(c, package_versions, [{"package": p, "version": v} for p, v in missing])
    return found | await _find_versions(c, missing)


async def _find_versions(
    c: AsyncConnection, wanted: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = {}
    for chunk in in_chunks(wanted):
        query = select(
            package_versions.c.package, package_versions.c.version, package_versions.c.id
        ).where(tuple_(package_versions.c.package, package_versions.c.version).in_(chunk))
        found.update({(p, v): number for p, v, number in await c.execute(query)})
    return found
