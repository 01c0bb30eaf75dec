"""Inventory as the relay keeps it: the current sections of each device, and their history.

A section is stored when its hash changed, and only then gets a line of history; what is unchanged
costs nothing.  History is bounded per section, oldest first out, so that a device that reports
nonsense every second fills nothing.  Blobs come from devices: `read_blobs` is the only way in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.inventory import SECTION_NAME, SectionReport, decode_section
from farhand_server.clock import stamp
from farhand_server.errors import not_found
from farhand_server.fleet.differences import SectionDifference, compare
from farhand_server.fleet.packages import store_packages
from farhand_server.store.schema import section_history, sections

__all__ = [
    "Snapshot",
    "StoredSection",
    "check_hashes",
    "differences",
    "list_sections",
    "missing_sections",
    "parse_since",
    "read_blobs",
    "snapshots_since",
    "store_sections",
    "stored_blob",
]

MAX_SECTIONS: Final = 64
MAX_CHANGED: Final = 32
MAX_HISTORY: Final = 200
_SHORT_HASH: Final = re.compile(r"[0-9a-f]{16}")
_AGO: Final = re.compile(r"([0-9]{1,4})([mhdw])\Z", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class StoredSection(msgspec.Struct, frozen=True, kw_only=True):
    """A section without its items."""

    name: str
    status: str
    reason: str
    hash: str
    collected_at: str
    duration_ms: int
    received_at: str


class Snapshot(msgspec.Struct, frozen=True):
    """A section at two times, as blobs: then, where there is one, and now."""

    before: bytes | None
    after: bytes


def read_blobs(blobs: Sequence[bytes]) -> list[tuple[SectionReport, bytes]]:
    """Read the sections of one message; costs processor time, so call it in a thread.

    Raises:
        FarhandError: `inventory-malformed`, `inventory-too-large`.
    """
    if len(blobs) > MAX_CHANGED:
        raise FarhandError("inventory-too-large", f"more than {MAX_CHANGED} sections at once")
    reports: dict[str, tuple[SectionReport, bytes]] = {}
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
    reports: Sequence[tuple[SectionReport, bytes]],
    now: datetime,
) -> list[str]:
    """Store what changed; the caller holds the device's row.

    Returns: the names of the sections that are not what they were.

    Raises:
        FarhandError: `inventory-too-large` when the device would get more than `MAX_SECTIONS`.
    """
    known = await _hashes(c, tenant, device)
    if len(known.keys() | {report.name for report, _ in reports}) > MAX_SECTIONS:
        raise FarhandError("inventory-too-large", f"more than {MAX_SECTIONS} sections")
    changed = []
    for report, blob in reports:
        values: dict[str, Any] = {
            "status": report.status,
            "reason": report.reason,
            "hash": report.hash,
            "collected_at": stamp(parse_instant(report.collected_at)),
            "duration_ms": report.duration_ms,
            "received_at": stamp(now),
            "body": blob,
        }
        where = _section(tenant, device, report.name)
        if report.name in known:
            await c.execute(update(sections).where(*where).values(**values))
        else:
            await c.execute(
                insert(sections).values(tenant=tenant, device=device, name=report.name, **values)
            )
        if known.get(report.name) == report.hash:
            continue
        changed.append(report.name)
        await _add_history(c, tenant, device, report, values)
        if report.name == "software" and report.status == "ok":
            await store_packages(c, tenant=tenant, device=device, items=report.items)
    return changed


def _section(tenant: str, device: str, name: str) -> list[Any]:
    return [sections.c.tenant == tenant, sections.c.device == device, sections.c.name == name]


async def _hashes(c: AsyncConnection, tenant: str, device: str) -> dict[str, str]:
    query = select(sections.c.name, sections.c.hash).where(
        sections.c.tenant == tenant, sections.c.device == device
    )
    return {row.name: row.hash for row in await c.execute(query)}


async def _add_history(
    c: AsyncConnection,
    tenant: str,
    device: str,
    report: SectionReport,
    values: Mapping[str, Any],
) -> None:
    of_section = [
        section_history.c.tenant == tenant,
        section_history.c.device == device,
        section_history.c.name == report.name,
    ]
    await c.execute(
        insert(section_history).values(
            tenant=tenant,
            device=device,
            name=report.name,
            hash=report.hash,
            collected_at=values["collected_at"],
            body=values["body"],
        )
    )
    oldest_kept = await c.scalar(
        select(section_history.c.seq)
        .where(*of_section)
        .order_by(section_history.c.seq.desc())
        .offset(MAX_HISTORY - 1)
        .limit(1)
    )
    if oldest_kept is not None:
        await c.execute(
            delete(section_history).where(*of_section, section_history.c.seq < oldest_kept)
        )


async def missing_sections(
    c: AsyncConnection, *, tenant: str, device: str, hashes: Mapping[str, str]
) -> list[str]:
    """Return the sections of a report that the relay does not have as the device has them."""
    known = await _hashes(c, tenant, device)
    return sorted(name for name, short in hashes.items() if known.get(name, "")[:16] != short)


async def list_sections(c: AsyncConnection, tenant: str, device: str) -> list[StoredSection]:
    """Return the current sections of a device, without items."""
    columns = [sections.c[name] for name in StoredSection.__struct_fields__]
    query = (
        select(*columns)
        .where(sections.c.tenant == tenant, sections.c.device == device)
        .order_by(sections.c.name)
    )
    return [StoredSection(**row) for row in (await c.execute(query)).mappings()]


async def stored_blob(c: AsyncConnection, tenant: str, device: str, name: str) -> bytes:
    """Return a current section as it came.

    Raises:
        FarhandError: `section-pending` while the device has reported nothing at all, else
            `not-found`.
    """
    blob: bytes | None = await c.scalar(
        select(sections.c.body).where(*_section(tenant, device, name))
    )
    if blob is not None:
        return blob
    if SECTION_NAME.fullmatch(name) and not await _hashes(c, tenant, device):
        raise FarhandError(
            "section-pending",
            "this device has not reported its inventory yet",
            hint="try again in a minute; a device that is offline reports when it is back",
        )
    raise not_found("section", name)


def parse_since(text: str, now: datetime) -> datetime:
    """Read an RFC 3339 time, or how long ago: `30m`, `24h`, `7d`, `2w`.

    Raises:
        FarhandError: `since-invalid`.
    """
    text = text.strip()
    if ago := _AGO.match(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        # A day alone (2026-03-01) is its beginning in UTC.
        return parse_instant(
            f"{text}T00:00:00Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text
        )
    except (FarhandError, OverflowError) as error:
        raise FarhandError(
            "since-invalid",
            f"{text[:40]!r} is neither a time nor a length of time",
            hint="write 7d, 24h, or 2026-03-01T08:00:00Z",
        ) from error


async def snapshots_since(
    c: AsyncConnection, *, tenant: str, device: str, since: datetime
) -> list[Snapshot]:
    """Return each section that changed since then, as it was and as it is.

    As it was: the newest snapshot that is not newer than `since`, else the oldest that is kept.
    """
    found = []
    current = await c.execute(
        select(sections.c.name, sections.c.hash, sections.c.body)
        .where(sections.c.tenant == tenant, sections.c.device == device)
        .order_by(sections.c.name)
    )
    history = section_history.c
    for name, digest, body in current.all():
        of_section = [history.tenant == tenant, history.device == device, history.name == name]
        columns = select(history.hash, history.body)
        then = await c.execute(
            columns.where(*of_section, history.collected_at <= stamp(since.astimezone(UTC)))
            .order_by(history.seq.desc())
            .limit(1)
        )
        row = then.first()
        if row is None:
            row = (
                await c.execute(columns.where(*of_section).order_by(history.seq).limit(1))
            ).first()
        if row is None or row[0] != digest:
            found.append(Snapshot(row[1] if row else None, body))
    return found


def differences(snapshots: Sequence[Snapshot]) -> list[SectionDifference]:
    """Compare; costs processor time, so call it in a thread."""
    return [
        compare(decode_section(one.before) if one.before else None, decode_section(one.after))
        for one in snapshots
    ]
