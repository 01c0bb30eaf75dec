"""Alerts as rows: found, listed page by page, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.alerts.steps import LIVE, STATES
from farhand_server.desk.references import format_number
from farhand_server.errors import not_found
from farhand_server.store.schema import alerts, devices

__all__ = ["Alert", "AlertCounts", "count_alerts", "get_alert", "list_alerts"]

SEVERITIES: Final = ("warning", "critical", "unknown")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert; `check`, `subject`, `summary`, `value` and `unit` are the device's word.

    `told` is what the device said last; `withheld` says why a live alert has no ticket.
    """

    id: str
    fingerprint: str
    device: str
    device_name: str
    check: str
    subject: str
    state: str
    severity: str
    told: str
    summary: str
    value: float | None
    unit: str | None
    opened_at: str
    changed_at: str
    closed_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str | None
    ticket: str | None
    withheld: str
    flaps: int
    flapping: bool


class AlertCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many alerts are live; `blind_spots` are checks of which nothing is known."""

    warning: int
    critical: int
    blind_spots: int
    acknowledged: int
    in_maintenance: int


_COLUMNS = (*alerts.c, devices.c.name.label("device_name"))
_FROM = alerts.outerjoin(
    devices, and_(devices.c.tenant == alerts.c.tenant, devices.c.id == alerts.c.device)
)


def _alert(row: RowMapping) -> Alert:
    names = [n for n in Alert.__struct_fields__ if n not in ("check", "ticket", "device_name")]
    ticket = row["ticket"]
    return Alert(
        check=row["check_id"],
        ticket=None if ticket is None else format_number(ticket),
        device_name=row["device_name"] or "",
        **{name: row[name] for name in names},
    )


async def get_alert(c: AsyncConnection, tenant: str, alert: str) -> Alert:
    """Return an alert.

    Raises:
        FarhandError: `not-found`.
    """
    query = select(*_COLUMNS).select_from(_FROM)
    mine = and_(alerts.c.tenant == tenant, alerts.c.id == alert.replace("\0", ""))
    row = (await c.execute(query.where(mine))).mappings().first()
    if row is None:
        raise not_found("alert", alert)
    return _alert(row)


async def list_alerts(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None = None,
    device: str | None = None,
    address: str | None = None,
    severity: str | None = None,
    before: tuple[str, str] | None = None,
    limit: int = 50,
) -> Sequence[Alert]:
    """Return alerts, newest first.

    Args:
        c: any connection.
        tenant: organisation.
        state: of `steps.STATES`, or `live` (open, acknowledged), or `all`.
        device: id.
        address: of that device where it runs no agent; neighbours' alerts about it count too.
        severity: warning, critical, unknown.
        before: opened_at and id of the last one shown.
        limit: at most so many.

    Raises:
        UsageError: `invalid`.
    """
    where: list[ColumnElement[bool]] = [alerts.c.tenant == tenant]
    if state in (None, "live"):
        where.append(alerts.c.state.in_(("open", "acknowledged")))
    elif state in STATES:
        where.append(alerts.c.state == state)
    elif state != "all":
        raise UsageError("invalid", f"an alert is one of {', '.join((*STATES, 'live', 'all'))}")
    if severity is not None:
        if severity not in SEVERITIES:
            raise UsageError("invalid", f"a severity is one of {', '.join(SEVERITIES)}")
        where.append(alerts.c.severity == severity)
    if device is not None:
        about = alerts.c.device == device
        where.append(or_(about, alerts.c.subject == address) if address else about)
    if before is not None:
        at, last = before
        same = and_(alerts.c.opened_at == at, alerts.c.id < last)
        where.append(or_(alerts.c.opened_at < at, same))
    query = select(*_COLUMNS).select_from(_FROM).where(*where)
    query = query.order_by(alerts.c.opened_at.desc(), alerts.c.id.desc()).limit(limit)
    return [_alert(row) for row in (await c.execute(query)).mappings()]


async def count_alerts(c: AsyncConnection, tenant: str) -> AlertCounts:
    """Count what is live."""
    query = (
        select(alerts.c.state, alerts.c.severity, alerts.c.told, alerts.c.withheld, func.count())
        .where(alerts.c.tenant == tenant, alerts.c.state.in_(LIVE))
        .group_by(alerts.c.state, alerts.c.severity, alerts.c.told, alerts.c.withheld)
    )
    rows = (await c.execute(query)).all()

    def count(column: int, value: str) -> int:
        return sum(row[4] for row in rows if row[column] == value)

    return AlertCounts(
        warning=count(1, "warning"),
        critical=count(1, "critical"),
        blind_spots=count(2, "unknown"),
        acknowledged=count(0, "acknowledged"),
        in_maintenance=count(3, "maintenance"),
    )
