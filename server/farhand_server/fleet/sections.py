"""Inventory as the relay keeps it: the current sections of each device.

A section is stored when its hash changed, and only then gets a line of history (`fleet.history`);
what is unchanged costs nothing.  `body` holds the items that the section had when it was last `ok`:
a collection that fails removes nothing, so what is compared with its successor is what was known.
Software is packed (`fleet.software`); everything else stays as it came.  Blobs come from devices:
`read_blobs` is the only way in.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.inventory import SECTION_NAME, SectionReport, decode_section
from farhand_server.clock import stamp
from farhand_server.errors import not_found
from farhand_server.fleet.changes import Bags, changes_between
from farhand_server.fleet.check_states import note_check_states
from farhand_server.fleet.hints import note_hints
from farhand_server.fleet.history import NewChange, add_changes, encode_bags
from farhand_server.fleet.packages import known_versions, number_versions
from farhand_server.fleet.software import (
    details_of,
    installed_of,
    is_packed,
    item_of,
    pack,
    subtract,
    unpack,
    versions_of,
)
from farhand_server.fleet.software_index import note_moves
from farhand_server.store.schema import sections

__all__ = [
    "StoredSection",
    "check_hashes",
    "items_of_body",
    "list_sections",
    "missing_sections",
    "read_blobs",
    "read_section",
    "store_sections",
]

MAX_SECTIONS: Final = 128
MAX_CHANGED: Final = 32
_SHORT_HASH: Final = re.compile(r"[0-9a-f]{16}")
_SOFTWARE: Final = "software"

Report = tuple[SectionReport, bytes]


class StoredSection(msgspec.Struct, frozen=True, kw_only=True):
    """A section without its items."""

    name: str
    status: str
    reason: str
    hash: str
    collected_at: str
    duration_ms: int
    received_at: str


def read_blobs(blobs: Sequence[bytes]) -> list[Report]:
    """Read the sections of one message; costs processor time, so call it in a thread.

    Raises:
        FarhandError: `inventory-malformed`, `inventory-too-large`.
    """
    if len(blobs) > MAX_CHANGED:
        raise FarhandError("inventory-too-large", f"more than {MAX_CHANGED} sections at once")
    reports: dict[str, Report] = {}
    for blob in blobs:
        report = decode_section(blob)
        if report.name in reports:
            raise FarhandError("inventory-malformed", "a section is in the report twice")
        if not report.reason.replace("\n", " ").replace("\t", " ").isprintable():
            raise FarhandError("inventory-malformed", "a reason holds control characters")
        reports[report.name] = (report, blob)
    return list(reports.values())


def check_hashes(hashes: Mapping[str, str]) -> None:
    """Check the list of a report's sections.

    Raises:
        FarhandError: `inventory-malformed`, `inventory-too-large`.
    """
    if len(hashes) > MAX_SECTIONS:
        raise FarhandError("inventory-too-large", f"more than {MAX_SECTIONS} sections")
    for name, short in hashes.items():
        if not SECTION_NAME.fullmatch(name) or not _SHORT_HASH.fullmatch(short):
            raise FarhandError("inventory-malformed", "the list of sections cannot be read")


async def store_sections(
    c: AsyncConnection,
    *,
    tenant: str,
    device: str,
    reports: Sequence[Report],
    now: datetime,
) -> list[str]:
    """Store what changed; the caller holds the device's row.

    Returns: the names of the sections that are not what they were.

    Raises:
        FarhandError: `inventory-too-large` when the device would get more than `MAX_SECTIONS`;
            `store-busy` when the dictionary changed meanwhile.
    """
    known = await _hashes(c, tenant, device)
    if len(known.keys() | {report.name for report, _ in reports}) > MAX_SECTIONS:
        raise FarhandError("inventory-too-large", f"more than {MAX_SECTIONS} sections")
    changed = [one for one in reports if known.get(one[0].name) != one[0].hash]
    before = await _rows(c, tenant, device, [report.name for report, _ in changed])
    software = [one for one in changed if one[0].name == _SOFTWARE]
    others = [one for one in changed if one[0].name != _SOFTWARE]
    found = await asyncio.to_thread(_compare, before, others)
    for report, _ in software:
        old = before.get(_SOFTWARE)
        try:
            found.append(await _software_change(c, tenant, device, report, old))
        except IntegrityError as error:
            # `forget_unused` of another node took a version away that this report means.
            raise FarhandError(
                "store-busy", "the dictionary of software has just changed", hint="try again"
            ) from error
    bodies = {change.name: body for change, body in found}
    await _write(c, tenant, device, reports, known=known, bodies=bodies, now=now)
    changes = [change for change, _ in found]
    await add_changes(c, tenant=tenant, device=device, changes=changes, now=now)
    for report, _ in changed:
        if report.status == "ok":
            await note_check_states(c, tenant=tenant, device=device, report=report, now=now)
            await note_hints(c, tenant=tenant, device=device, report=report)
    return sorted(report.name for report, _ in changed)


async def _hashes(c: AsyncConnection, tenant: str, device: str) -> dict[str, str]:
    query = select(sections.c.name, sections.c.hash).where(
        sections.c.tenant == tenant, sections.c.device == device
    )
    return {row.name: row.hash for row in await c.execute(query)}


async def _rows(
    c: AsyncConnection, tenant: str, device: str, names: Sequence[str]
) -> dict[str, RowMapping]:
    if not names:
        return {}
    query = select(sections.c.name, sections.c.status, sections.c.body).where(
        sections.c.tenant == tenant, sections.c.device == device, sections.c.name.in_(names)
    )
    return {row["name"]: row for row in (await c.execute(query)).mappings()}


def _compare(
    before: Mapping[str, RowMapping], reports: Sequence[Report]
) -> list[tuple[NewChange, bytes]]:
    """Return what changed in sections that stay as they came, and the bodies to keep."""
    found = []
    for report, blob in reports:
        row = before.get(report.name)
        old = row["body"] if row is not None else b""
        bags = Bags([], [])
        if report.status == "ok":
            bags = changes_between(_items(old) if old else [], report.items)
        body = encode_bags(bags) if old else None
        found.append((_change(report, row, bags, body), blob if report.status == "ok" else old))
    return found


def _change(
    report: SectionReport, row: RowMapping | None, bags: Bags, body: bytes | None
) -> NewChange:
    return NewChange(
        name=report.name,
        hash=report.hash,
        status_before=row["status"] if row is not None else None,
        status=report.status,
        collected_at=stamp(parse_instant(report.collected_at)),
        bags=bags,
        body=body,
    )


def _items(body: bytes) -> list[dict[str, Any]]:
    """Return the items of a body that was checked when it came."""
    report = msgspec.json.decode(zlib.decompress(body), type=SectionReport)
    return report.items


async def _software_change(
    c: AsyncConnection, tenant: str, device: str, report: SectionReport, row: RowMapping | None
) -> tuple[NewChange, bytes]:
    """Number the software of a report and compare it with what was known."""
    old_body = row["body"] if row is not None else b""
    if report.status != "ok":
        return _change(report, row, Bags([], []), None), old_body
    old = await asyncio.to_thread(unpack, old_body) if old_body else []
    had = await known_versions(c, versions_of(old)) if old else {}
    known = {one.package: one for one in had.values()}
    details = await asyncio.to_thread(details_of, report.items)
    missing = {package: text for package, text in details.items() if package not in known}
    known |= await number_versions(c, tenant=tenant, details=missing)
    new = await asyncio.to_thread(installed_of, report.items, known)
    await note_moves(
        c, tenant=tenant, device=device, before=versions_of(old), after=versions_of(new)
    )
    by_number = {one.number: one for one in known.values()}
    bags = Bags(
        [item_of(one, by_number) for one in subtract(old, new)],
        [item_of(one, by_number) for one in subtract(new, old)],
    )
    body = encode_bags(bags) if old_body else None
    return _change(report, row, bags, body), await asyncio.to_thread(pack, new)


async def _write(
    c: AsyncConnection,
    tenant: str,
    device: str,
    reports: Sequence[Report],
    *,
    known: Mapping[str, str],
    bodies: Mapping[str, bytes],
    now: datetime,
) -> None:
    new: list[dict[str, Any]] = []
    same: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    for report, _ in reports:
        values: dict[str, Any] = {
            "status": report.status,
            "reason": report.reason,
            "hash": report.hash,
            "collected_at": stamp(parse_instant(report.collected_at)),
            "duration_ms": report.duration_ms,
            "received_at": stamp(now),
        }
        if report.name in bodies:
            values["body"] = bodies[report.name]
        if report.name not in known:
            new.append({"tenant": tenant, "device": device, "name": report.name, **values})
        else:
            changed = {"which": report.name, **{f"new_{k}": v for k, v in values.items()}}
            (other if report.name in bodies else same).append(changed)
    if new:
        await c.execute(insert(sections), new)
    for rows in (same, other):
        if not rows:
            continue
        names = [name.removeprefix("new_") for name in rows[0] if name.startswith("new_")]
        await c.execute(
            update(sections)
            .where(
                sections.c.tenant == tenant,
                sections.c.device == device,
                sections.c.name == bindparam("which"),
            )
            .values({name: bindparam(f"new_{name}") for name in names}),
            rows,
        )


async def missing_sections(
    c: AsyncConnection, *, tenant: str, device: str, hashes: Mapping[str, str]
) -> list[str]:
    """Return the sections of a report that the relay does not have as the device has them."""
    known = await _hashes(c, tenant, device)
    return sorted(name for name, short in hashes.items() if known.get(name, "")[:16] != short)


async def list_sections(
    c: AsyncConnection, tenant: str, device: str, *, after: str = "", limit: int = MAX_SECTIONS
) -> list[StoredSection]:
    """Return the current sections of a device by name, without items."""
    columns = [sections.c[name] for name in StoredSection.__struct_fields__]
    query = (
        select(*columns)
        .where(sections.c.tenant == tenant, sections.c.device == device, sections.c.name > after)
        .order_by(sections.c.name)
        .limit(limit)
    )
    return [StoredSection(**row) for row in (await c.execute(query)).mappings()]


async def read_section(
    c: AsyncConnection, tenant: str, device: str, name: str
) -> tuple[StoredSection, list[dict[str, Any]]]:
    """Return a current section and its items; none where collecting it did not end `ok`.

    Raises:
        FarhandError: `section-pending` while the device has reported nothing at all, else
            `not-found`.
    """
    query = select(sections).where(
        sections.c.tenant == tenant, sections.c.device == device, sections.c.name == name
    )
    row = (await c.execute(query)).mappings().first()
    if row is not None:
        stored = StoredSection(**{one: row[one] for one in StoredSection.__struct_fields__})
        return stored, await _current_items(c, row) if row["status"] == "ok" else []
    if SECTION_NAME.fullmatch(name) and not await _hashes(c, tenant, device):
        raise FarhandError(
            "section-pending",
            "this device has not reported its inventory yet",
            hint="try again in a minute; a device that is offline reports when it is back",
        )
    raise not_found("section", name)


async def _current_items(c: AsyncConnection, row: RowMapping) -> list[dict[str, Any]]:
    return await items_of_body(c, row["body"])


async def items_of_body(c: AsyncConnection, body: bytes) -> list[dict[str, Any]]:
    """Return the items of a body as it is kept, also of one that somebody holds on to."""
    if not is_packed(body):
        return await asyncio.to_thread(_items, body)
    entries = await asyncio.to_thread(unpack, body)
    known = await known_versions(c, versions_of(entries))
    return await asyncio.to_thread(lambda: [item_of(one, known) for one in entries])
