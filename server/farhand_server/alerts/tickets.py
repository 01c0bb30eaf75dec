"""Alerts and the desk: which ticket an alert belongs to, and what that ticket is told.

An alert joins the ticket of an earlier alert of its fingerprint until that has ended, else it
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
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import create_ticket
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts, tickets

__all__ = ["AUTHOR", "MAX_TICKETS_A_DAY", "DeviceTickets", "Placed", "tell"]

# Who speaks for alerts on tickets and in the audit.
AUTHOR: Final = "relay"
# A device that makes its checks fail one after the other fills no desk.
MAX_TICKETS_A_DAY: Final = 10
_ENOUGH: Final = {"warning": ("warning", "critical"), "critical": ("critical",), "never": ()}


class Placed(NamedTuple):
    """The ticket of an alert, or why it has none."""

    ticket: int | None
    withheld: str


class DeviceTickets:
    """The tickets of one device's alerts, within one write transaction.

    Args:
        c: its connection; it holds the tenant's row.
        relay: the wiring.
        device: its row.
    """

    def __init__(self, c: AsyncConnection, relay: Relay, device: RowMapping) -> None:
        self._c = c
        self._relay = relay
        self._device = device
        # Asked once, however many alerts move: open tickets by fingerprint, tickets of a day.
        self._open: dict[str, int] | None = None
        self._today = 0

    async def place(self, alert: dict[str, Any], words: str, *, in_maintenance: bool) -> Placed:
        """Find or open the ticket of an alert that has just begun, and tell it.

        Args:
            alert: the alert's columns.
            words: what the ticket is told.
            in_maintenance: whether somebody works on the device.
        """
        if in_maintenance:
            return Placed(None, "maintenance")
        if alert["severity"] not in _ENOUGH[self._relay.settings.alert_tickets]:
            return Placed(None, "policy")
        if self._open is None:
            self._open = await self._open_tickets()
            self._today = await self._opened_today()
        number = self._open.get(alert["fingerprint"])
        if number is None:
            if self._today >= MAX_TICKETS_A_DAY:
                return Placed(None, "limit")
            number = await self._create(alert)
            self._open[alert["fingerprint"]] = number
            self._today += 1
        await tell(self._c, self._relay, number, words, alert=alert["id"])
        return Placed(number, "")

    async def _create(self, alert: dict[str, Any]) -> int:
        made = await create_ticket(
            self._c,
            self._relay,
            title=title(alert["check_id"], alert["subject"], self._device["name"]),
            actor=AUTHOR,
            device=self._device["id"],
        )
        return made.row

    async def _open_tickets(self) -> dict[str, int]:
        same = (alerts.c.tenant == tickets.c.tenant) & (alerts.c.ticket == tickets.c.number)
        query = (
            select(alerts.c.fingerprint, tickets.c.number)
            .join(tickets, same)
            .where(
                alerts.c.tenant == self._relay.tenant,
                alerts.c.device == self._device["id"],
                tickets.c.state.not_in(ENDED),
            )
            .order_by(tickets.c.number)
        )
        return {row.fingerprint: row.number for row in await self._c.execute(query)}

    async def _opened_today(self) -> int:
        query = select(func.count()).where(
            tickets.c.tenant == self._relay.tenant,
            tickets.c.device == self._device["id"],
            tickets.c.created_by == AUTHOR,
            tickets.c.created_at > stamp(self._relay.now() - timedelta(days=1)),
        )
        return int(await self._c.scalar(query) or 0)


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
