"""Alerts and the desk: which ticket an alert belongs to, and what that ticket is told.

An alert joins the ticket of an earlier alert of its fingerprint while that is not resolved, else it
opens one, if it is severe enough for that (`alert_tickets` in config.toml), the device is not in
maintenance, and has not opened too many today.  Tickets are told as notes of the desk; a note never
moves a ticket's state, and recovery resolves none: a person does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.alerts.words import title
from farhand_server.clock import stamp
from farhand_server.desk.tickets import create_ticket
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts, tickets

__all__ = ["AUTHOR", "MAX_TICKETS_A_DAY", "Placed", "place", "tell"]

# Who speaks for alerts on tickets and in the audit.
AUTHOR: Final = "relay"
# A device that makes its checks fail one after the other fills no desk.
MAX_TICKETS_A_DAY: Final = 10
_ENOUGH: Final = {"warning": ("warning", "critical"), "critical": ("critical",), "never": ()}


class Placed(NamedTuple):
    """The ticket of an alert, or why it has none."""

    ticket: int | None
    withheld: str


async def place(
    c: AsyncConnection,
    relay: Relay,
    *,
    device: RowMapping,
    alert: dict[str, Any],
    in_maintenance: bool,
    words: str,
) -> Placed:
    """Find or open the ticket of an alert that has just begun, and tell it.

    Args:
        c: connection of a write transaction that holds the tenant's row.
        relay: the wiring.
        device: its row.
        alert: the alert's columns.
        in_maintenance: whether somebody works on the device.
        words: what the ticket is told.
    """
    if in_maintenance:
        return Placed(None, "maintenance")
    if alert["severity"] not in _ENOUGH[relay.settings.alert_tickets]:
        return Placed(None, "policy")
    number = await _open_ticket_of(c, relay.tenant, alert["fingerprint"])
    if number is None:
        if await _opened_today(c, relay, device["id"]) >= MAX_TICKETS_A_DAY:
            return Placed(None, "limit")
        made = await create_ticket(
            c,
            relay,
            title=title(alert["check_id"], alert["subject"], device["name"]),
            actor=AUTHOR,
            device=device["id"],
        )
        number = made.row
    await tell(c, relay, number, words, alert=alert["id"])
    return Placed(number, "")


async def tell(c: AsyncConnection, relay: Relay, number: int, words: str, *, alert: str) -> None:
    """Add a note to a ticket, whatever its state; the state stays."""
    at = relay.stamp()
    message = await insert_message(c, relay.tenant, number, "note", AUTHOR, words, at)
    detail = {"alert": alert, "message": message.seq}
    await add_event(c, relay.tenant, number, "alert", AUTHOR, detail, at)
    await c.execute(
        update(tickets)
        .where(tickets.c.tenant == relay.tenant, tickets.c.number == number)
        .values(updated_at=at, revision=tickets.c.revision + 1)
    )


async def _open_ticket_of(c: AsyncConnection, tenant: str, fingerprint: str) -> int | None:
    """Return the newest ticket of this fingerprint that nobody has resolved."""
    query = (
        select(tickets.c.number)
        .join(alerts, (alerts.c.tenant == tickets.c.tenant) & (alerts.c.ticket == tickets.c.number))
        .where(
            alerts.c.tenant == tenant,
            alerts.c.fingerprint == fingerprint,
            tickets.c.state != "resolved",
        )
        .order_by(tickets.c.number.desc())
        .limit(1)
    )
    number: int | None = await c.scalar(query)
    return number


async def _opened_today(c: AsyncConnection, relay: Relay, device: str) -> int:
    query = select(func.count(alerts.c.ticket.distinct())).where(
        alerts.c.tenant == relay.tenant,
        alerts.c.device == device,
        alerts.c.opened_at > stamp(relay.now() - timedelta(days=1)),
    )
    return int(await c.scalar(query) or 0)
