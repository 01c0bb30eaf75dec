"""The newest known state of each check of each device, so that searches find it.

A device reports its checks as the section `checks`, items {"id", "state", "summary", "value",
"unit", "since"} and, where one check looks at several things, "subject".  What stands here is that
section as rows; what does not look like a check is left out here and stays in the section.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.inventory import SectionReport
from farhand_server.clock import stamp
from farhand_server.store.schema import check_states

__all__ = [
    "CHECK_STATES",
    "CheckState",
    "list_check_states",
    "note_check_states",
    "set_check_states",
]

CHECK_STATES: Final = ("ok", "warning", "critical", "unknown", "unsupported")
MAX_CHECKS: Final = 512
_MAX_SUMMARY_CHARS: Final = 400
_MAX_WORD_CHARS: Final = 100
_ID: Final = re.compile(r"[a-z][a-z0-9_.-]{0,79}", re.ASCII)


class CheckState(msgspec.Struct, frozen=True, kw_only=True):
    """How one check stands; all words are the device's own."""

    id: str
    subject: str
    state: str
    summary: str
    value: str | None
    unit: str | None
    since: str | None
    seen_at: str


async def note_check_states(
    c: AsyncConnection, *, tenant: str, device: str, report: SectionReport, now: datetime
) -> None:
    """Make the rows what a section `checks` says; other sections are none of its business."""
    if report.name == "checks":
        await set_check_states(c, tenant=tenant, device=device, items=report.items, now=now)


async def set_check_states(
    c: AsyncConnection,
    *,
    tenant: str,
    device: str,
    items: Sequence[dict[str, Any]],
    now: datetime,
) -> None:
    """Make these the states of a device's checks, at most `MAX_CHECKS`."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items:
        row = _row(item)
        if row is not None and len(rows) < MAX_CHECKS:
            row |= {"tenant": tenant, "device": device, "seen_at": stamp(now)}
            rows[row["check_id"], row["subject"]] = row
    await c.execute(
        delete(check_states).where(check_states.c.tenant == tenant, check_states.c.device == device)
    )
    if rows:
        await c.execute(insert(check_states), list(rows.values()))


def _row(item: dict[str, Any]) -> dict[str, Any] | None:
    check, state = item.get("id"), item.get("state")
    if not isinstance(check, str) or not _ID.fullmatch(check) or state not in CHECK_STATES:
        return None
    return {
        "check_id": check,
        "subject": _words(item.get("subject"), _MAX_WORD_CHARS) or "",
        "state": state,
        "summary": _words(item.get("summary"), _MAX_SUMMARY_CHARS) or "",
        "value": _words(item.get("value"), _MAX_WORD_CHARS),
        "unit": _words(item.get("unit"), _MAX_WORD_CHARS),
        "since": _words(item.get("since"), _MAX_WORD_CHARS),
    }


def _words(value: object, limit: int) -> str | None:
    """Return a value as one bounded printable line."""
    if value is None or isinstance(value, dict | list):
        return None
    return "".join(one if one.isprintable() else " " for one in str(value)[:limit])


async def list_check_states(c: AsyncConnection, tenant: str, device: str) -> list[CheckState]:
    """Return how a device's checks stand, by id and subject; at most `MAX_CHECKS`."""
    query = (
        select(check_states)
        .where(check_states.c.tenant == tenant, check_states.c.device == device)
        .order_by(check_states.c.check_id, check_states.c.subject)
        .limit(MAX_CHECKS)
    )
    return [
        CheckState(
            id=row["check_id"],
            **{name: row[name] for name in CheckState.__struct_fields__ if name != "id"},
        )
        for row in (await c.execute(query)).mappings()
    ]
