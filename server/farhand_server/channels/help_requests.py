"""Calls for help from devices: each becomes one ticket, however often the device says it.

What a device says is a stranger's word: bounded, without control characters, and it starts
nothing anywhere.  The ticket is the device's; who sits there is whoever the desk finds out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Protocol

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.clock import stamp
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Intake, create_ticket
from farhand_server.desk.timeline import list_messages
from farhand_server.fleet.devices import lock_device
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.people.organisations import LOCALES
from farhand_server.relay import Relay
from farhand_server.store.schema import help_requests
from farhand_server.wording import check_body, check_line

__all__ = ["PER_HOUR", "HelpRequests", "image_type", "make_help_requests"]

PER_HOUR: Final = 10
_TITLE_CHARS: Final = 80
_MAX_ID_CHARS: Final = 40
_MAGIC: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class _DeviceLink(Protocol):
    """What is asked of a link."""

    @property
    def device(self) -> str:
        """Return the id of the device at its other end."""


def image_type(data: bytes) -> str:
    """Return the media type of a PNG or JPEG, by its first bytes.

    Raises:
        FarhandError: `image-malformed`.
    """
    for magic, media_type in _MAGIC.items():
        if data.startswith(magic):
            return media_type
    raise FarhandError("image-malformed", "the picture is neither a PNG nor a JPEG")


class HelpRequests:
    """The handler of the gateway's `help-request` messages."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def on_help_request(
        self, link: _DeviceLink, message: messages.HelpRequest
    ) -> messages.RelayMessage | None:
        """Make the ticket, once.

        Raises:
            FarhandError: `help-malformed`, `image-malformed`, `help-limit`; the device then says
                this request no more.
        """
        device = link.device
        async with self._relay.db.read() as c:
            known = await self._known(c, device, message.id)
        if known is None:
            async with self._relay.db.write() as c:
                known = await self._make(c, device, message)
        return messages.Ack(seq=message.seq, ref=format_number(known))

    async def _known(self, c: AsyncConnection, device: str, request: str) -> int | None:
        query = select(help_requests.c.ticket).where(
            help_requests.c.tenant == self._relay.tenant,
            help_requests.c.device == device,
            help_requests.c.id == request,
        )
        number: int | None = await c.scalar(query)
        return number

    async def _check_rate(self, c: AsyncConnection, device: str) -> None:
        """Refuse a device that asked too often; what failed and is said again does not count."""
        since = stamp(self._relay.now() - timedelta(hours=1))
        query = (
            select(func.count())
            .select_from(help_requests)
            .where(
                help_requests.c.tenant == self._relay.tenant,
                help_requests.c.device == device,
                help_requests.c.at > since,
            )
        )
        if int(await c.scalar(query) or 0) >= PER_HOUR:
            raise FarhandError("help-limit", "this device asked too often")

    async def _make(self, c: AsyncConnection, device: str, message: messages.HelpRequest) -> int:
        relay = self._relay
        # The same request on two links at once: the second one waits here.
        row = await lock_device(c, relay.tenant, device)
        if (known := await self._known(c, device, message.id)) is not None:
            return known
        await self._check_rate(c, device)
        name = device if row is None else str(row["name"])
        try:
            request = check_line(message.id, "request's id", max_chars=_MAX_ID_CHARS)
            body = check_body(message.text, "text")
            tried = check_body(message.steps_tried, "text") if message.steps_tried.strip() else ""
        except UsageError as error:
            raise FarhandError("help-malformed", error.message) from error
        kind = image_type(message.image) if message.image else ""
        ticket = await create_ticket(
            c,
            relay,
            title=_title(body),
            actor=f"device:{device}",
            requester=f"somebody at {name}"[:200],
            device=device,
            body=body,
            channel="device",
            intake=Intake(
                steps_tried=tried,
                language=message.language if message.language in LOCALES else "",
            ),
        )
        if kind:
            (said,) = await list_messages(c, relay.tenant, [ticket.row], with_notes=True, limit=1)
            kept = await keep_blob(c, relay, message.image, kind)
            ending = kind.rpartition("/")[2]
            await attach(c, relay.tenant, said.seq, 0, kept, f"picture.{ending}")
        await c.execute(
            insert(help_requests).values(
                tenant=relay.tenant,
                device=device,
                id=request,
                ticket=ticket.row,
                at=relay.stamp(),
            )
        )
        return ticket.row


def _title(body: str) -> str:
    """Return the first words."""
    words = " ".join(body.split())
    printable = "".join(one for one in words if one.isprintable())
    return printable[:_TITLE_CHARS] or "Help"


def make_help_requests(relay: Relay) -> HelpRequests:
    """Return the relay's handler."""
    return HelpRequests(relay)
