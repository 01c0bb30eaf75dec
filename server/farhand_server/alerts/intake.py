"""Takes what a device says of its checks, and moves its alerts by the table in `steps`.

Every function works inside the caller's write transaction.  Locks are taken in one order, the
tenant's row (which audit and tickets take too) before the device's, so `hold` comes first.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import RowMapping, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.identity import make_id
from farhand_protocol.inventory import SectionReport
from farhand_server.alerts.maintenance import is_in_maintenance
from farhand_server.alerts.steps import (
    CLOSED,
    FLAP_WINDOW,
    FLAPS,
    LIVE,
    STABLE,
    Step,
    Told,
    step,
)
from farhand_server.alerts.tickets import DeviceTickets, tell
from farhand_server.alerts.words import BREAK_GLASS, Said, fingerprint, note, read_checks
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts, tenants

__all__ = [
    "BREAK_GLASS_STANDS",
    "KEPT",
    "MAX_KEPT",
    "after_maintenance",
    "close_all",
    "hold",
    "settle",
    "take_checks",
    "take_said",
]

# Closed alerts are history: so many of a device, and so long.
MAX_KEPT: Final = 500
KEPT: Final = timedelta(days=90)

# The alert of an emergency order is no check of the device's, and no report of it ends it so soon.
BREAK_GLASS_STANDS: Final = timedelta(days=1)

Row = dict[str, Any]
# What a step may change of a row.
_MUTABLE: Final = (
    "state", "severity", "told", "summary", "value", "unit", "changed_at", "closed_at",
    "acknowledged_at", "acknowledged_by", "ticket", "withheld", "flaps", "flapping",
)  # fmt: skip


async def hold(c: AsyncConnection, tenant: str) -> None:
    """Take the row that audit and tickets take as well; call it before any other lock."""
    await c.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())


async def take_checks(
    c: AsyncConnection, relay: Relay, *, device: RowMapping, report: SectionReport
) -> None:
    """Take a device's section `checks`; a section that could not be made says nothing."""
    if report.status == "ok":
        said = read_checks(report)
        await take_said(c, relay, device=device, said=said, is_all=True)


async def take_said(
    c: AsyncConnection,
    relay: Relay,
    *,
    device: RowMapping,
    said: Sequence[Said],
    is_all: bool,
) -> None:
    """Move the alerts of a device by what was said of its checks.

    Args:
        c: connection of a write transaction that holds the tenant's row.
        relay: the wiring.
        device: its row.
        said: each check once.
        is_all: whether a check that is not there is not run any more.  The alert of an emergency
            order stands for a day all the same.
    """
    known = await _known(c, relay, device["id"])
    moves = _Moves(c, relay, device, await is_in_maintenance(c, relay, device["id"]))
    for one in said:
        mark = fingerprint(device["id"], one.check, one.subject)
        await moves.move(known.pop(mark, None), one)
    if is_all:
        stands = stamp(relay.now() - BREAK_GLASS_STANDS)
        for row in known.values():
            if row["check_id"] != BREAK_GLASS or row["opened_at"] < stands:
                await moves.move(row, _of_row(row, "gone"))
    await moves.write()


async def close_all(c: AsyncConnection, relay: Relay, *, device: RowMapping) -> None:
    """Withdraw every live alert of a device that is not ours any more."""
    await take_said(c, relay, device=device, said=[], is_all=True)


async def after_maintenance(c: AsyncConnection, relay: Relay, *, device: RowMapping) -> None:
    """Give the alerts that began meanwhile, and still stand, to tickets."""
    moves = _Moves(c, relay, device, is_in_maintenance=False)
    for row in (await _known(c, relay, device["id"])).values():
        if row["state"] in LIVE and row["withheld"] == "maintenance":
            await moves.place(row, "raise")
    await moves.write()


async def settle(c: AsyncConnection, relay: Relay, *, device: RowMapping) -> None:
    """End the flapping of a device's alerts that have not moved for a while."""
    moves = _Moves(c, relay, device, await is_in_maintenance(c, relay, device["id"]))
    query = select(alerts).where(
        alerts.c.tenant == relay.tenant,
        alerts.c.device == device["id"],
        alerts.c.flapping,
        alerts.c.changed_at <= stamp(relay.now() - STABLE),
    )
    for row in (await c.execute(query)).mappings().all():
        await moves.settle(dict(row))
    await moves.write()


async def _known(c: AsyncConnection, relay: Relay, device: str) -> dict[str, Row]:
    """Return live alerts and those that closed lately, by fingerprint, the newest of each."""
    lately = stamp(relay.now() - FLAP_WINDOW)
    query = (
        select(alerts)
        .where(
            alerts.c.tenant == relay.tenant,
            alerts.c.device == device,
            or_(alerts.c.state.in_(LIVE), alerts.c.closed_at > lately),
        )
        .order_by(alerts.c.opened_at, alerts.c.id)
    )
    return {row["fingerprint"]: dict(row) for row in (await c.execute(query)).mappings()}


def _of_row(row: Row, told: Told) -> Said:
    return Said(row["check_id"], row["subject"], told, row["summary"], row["value"], row["unit"])


class _Moves:
    """Moves the alerts of one device within one transaction."""

    def __init__(
        self, c: AsyncConnection, relay: Relay, device: RowMapping, is_in_maintenance: bool
    ) -> None:
        self._c = c
        self._relay = relay
        self._device = device
        self._is_in_maintenance = is_in_maintenance
        self._at = relay.stamp()
        self._tickets = DeviceTickets(c, relay, device)
        self._added: dict[str, Row] = {}
        self._changed: dict[str, Row] = {}

    async def move(self, row: Row | None, said: Said) -> None:
        """Take one step of one alert."""
        kind = (
            step(row["state"], row["severity"], row["told"], said.told)
            if row is not None
            else step(None, "", "", said.told)
        )
        if kind == "none":
            return
        if row is None:
            row = self._new(said)
        before = row["ticket"]
        self._change(row, _columns(kind, row, said, self._at))
        if kind in ("raise", "reopen", "worse") and not row["flapping"]:
            await self._breach(row, kind)
        elif kind == "reopen" and row["flaps"] == FLAPS and before is not None:
            words = f"{_what(row)} comes and goes ({FLAPS} times now); noted again once it stays."
            await tell(self._c, self._relay, before, words, alert=row["id"])
        elif before is not None and not row["flapping"] and self._is_told(kind):
            await tell(self._c, self._relay, before, _note(kind, row), alert=row["id"])

    def _is_told(self, kind: Step) -> bool:
        """Tell whether the ticket hears of it now: a recovery always."""
        return kind in ("recover", "withdraw") or not self._is_in_maintenance

    async def _breach(self, row: Row, kind: Step) -> None:
        if row["ticket"] is None or kind == "reopen":
            await self.place(row, kind)
        elif self._is_told(kind):
            await tell(self._c, self._relay, row["ticket"], _note(kind, row), alert=row["id"])

    async def place(self, row: Row, kind: Step) -> None:
        """Give an alert to a ticket, where it may have one now."""
        placed = await self._tickets.place(
            row, _note(kind, row), in_maintenance=self._is_in_maintenance
        )
        ticket = placed.ticket if placed.ticket is not None else row["ticket"]
        self._change(row, {"ticket": ticket, "withheld": placed.withheld})

    async def settle(self, row: Row) -> None:
        """Let an alert that flapped speak again, and say what it came to."""
        self._change(row, {"flapping": False, "flaps": 0})
        if row["state"] not in CLOSED:
            await self.place(row, "reopen")
        elif row["ticket"] is not None:
            words = _note("recover", row)
            await tell(self._c, self._relay, row["ticket"], words, alert=row["id"])

    def _new(self, said: Said) -> Row:
        device = self._device["id"]
        row: Row = {
            "tenant": self._relay.tenant,
            "id": make_id("al", secrets.token_bytes(10)),
            "fingerprint": fingerprint(device, said.check, said.subject),
            "device": device,
            "check_id": said.check,
            "subject": said.subject,
            "state": "blind",
            "severity": "unknown",
            "told": said.told,
            "summary": said.summary,
            "value": said.value,
            "unit": said.unit,
            "opened_at": self._at,
            "changed_at": self._at,
            "closed_at": None,
            "acknowledged_at": None,
            "acknowledged_by": None,
            "ticket": None,
            "withheld": "",
            "flaps": 0,
            "flapping": False,
        }
        self._added[row["id"]] = row
        return row

    def _change(self, row: Row, changes: Row) -> None:
        row.update(changes)
        if row["id"] not in self._added:
            self._changed[row["id"]] = row

    async def write(self) -> None:
        """Write what moved, in a few statements; forget the oldest where there are too many."""
        if self._changed:
            await self._c.execute(
                update(alerts)
                .where(alerts.c.tenant == self._relay.tenant, alerts.c.id == bindparam("the_alert"))
                .values({name: bindparam(f"new_{name}") for name in _MUTABLE}),
                [
                    {"the_alert": row["id"], **{f"new_{name}": row[name] for name in _MUTABLE}}
                    for row in self._changed.values()
                ],
            )
        if self._added:
            await self._c.execute(insert(alerts), list(self._added.values()))
            await self._forget()

    async def _forget(self) -> None:
        tenant = self._relay.tenant
        mine = [alerts.c.tenant == tenant, alerts.c.device == self._device["id"]]
        count = await self._c.scalar(select(func.count()).select_from(alerts).where(*mine)) or 0
        if count > MAX_KEPT:
            oldest = (
                select(alerts.c.id)
                .where(*mine, alerts.c.state.in_(CLOSED))
                .order_by(alerts.c.opened_at, alerts.c.id)
                .limit(count - MAX_KEPT)
            )
            await self._c.execute(
                delete(alerts).where(alerts.c.tenant == tenant, alerts.c.id.in_(oldest))
            )


def _columns(kind: Step, row: Row, said: Said, at: str) -> Row:
    """Return what a step writes; what a check that is gone said last stays."""
    columns: Row = {"changed_at": at}
    if said.told != "gone":
        columns |= {"told": said.told, "summary": said.summary}
        columns |= {"value": said.value, "unit": said.unit}
    if kind in ("recover", "withdraw"):
        state = "recovered" if kind == "recover" else "withdrawn"
        return columns | {"state": state, "closed_at": at}
    if kind == "blind":
        return columns | {
            "state": "blind",
            "severity": "unknown",
            "closed_at": None,
            "ticket": None,
            "withheld": "",
        }
    if kind in ("raise", "reopen", "worse"):
        # Whoever acknowledged it knew of something milder, or of the time before.
        fresh = {"acknowledged_at": None, "acknowledged_by": None, "closed_at": None}
        columns |= {"state": "open", "severity": said.told, **fresh}
    if kind == "milder":
        columns |= {"severity": said.told}
    if kind == "reopen":
        flaps = row["flaps"] + 1
        columns |= {"flaps": flaps, "flapping": flaps >= FLAPS}
    return columns


def _what(row: Row) -> str:
    return f"{row['check_id']} {row['subject']}".strip()


def _note(kind: Step, row: Row) -> str:
    return note(
        kind,
        check=row["check_id"],
        subject=row["subject"],
        severity=row["severity"],
        summary=row["summary"],
    )
