"""What devices say to the fleet: enrolment, presence, inventory, progress and results.

Plugged into the gateway, which calls each `on_...` with the link and the message, in order per
link, and turns a FarhandError into a Nack with its code.  The link has proved the key of the device
it names; everything inside the messages is hostile until checked here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

from sqlalchemy import RowMapping, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_server.fleet.devices import lock_device
from farhand_server.fleet.dispatch import Dispatch, make_dispatch
from farhand_server.fleet.enrolment import enrol, open_enrolment
from farhand_server.fleet.results import record_progress, record_result
from farhand_server.fleet.sections import (
    check_hashes,
    missing_sections,
    read_blobs,
    store_sections,
)
from farhand_server.relay import Relay
from farhand_server.store.schema import devices

__all__ = ["FleetLink", "Intake", "make_intake"]

_log = logging.getLogger(__name__)

MAX_WORD_CHARS: Final = 200
MAX_VERSION: Final = 2**31 - 1
# Reports are inflated in threads, so many at a time; a node's other work goes on meanwhile.
_INFLATE_AT_ONCE: Final = 2
# Refused enrolments are audited, but no stranger may fill the audit with them.
_REFUSALS_AUDITED: Final = 60
_REFUSALS_WINDOW_S: Final = 60.0


class FleetLink(Protocol):
    """What the fleet needs of a link (`gateway.links.Link`)."""

    @property
    def role(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def device_key(self) -> bytes: ...
    def send(self, message: messages.RelayMessage) -> bool: ...


def make_intake(relay: Relay) -> Intake:
    """Return the relay's intake."""
    return Intake(relay, relay.service(make_dispatch))


class Intake:
    """Handles the fleet's messages.

    Args:
        relay: the wiring.
        dispatch: told when a device comes online.
    """

    def __init__(self, relay: Relay, dispatch: Dispatch) -> None:
        self._relay = relay
        self._dispatch = dispatch
        self._inflating = asyncio.Semaphore(_INFLATE_AT_ONCE)
        self._refusals: deque[float] = deque(maxlen=_REFUSALS_AUDITED)

    async def on_enrol(self, link: FleetLink, message: messages.Enrol) -> messages.Ack:
        """Enrol the device of this link; refusals are audited."""
        try:
            sealed, said = open_enrolment(message.envelope, link.device_key)
            async with self._relay.db.write() as c:
                await enrol(c, self._relay, sealed=sealed, said=said, blob=message.envelope)
        except FarhandError as error:
            await self._audit_refusal(link.device, error.code)
            raise
        return messages.Ack(seq=message.seq)

    async def _audit_refusal(self, device: str, code: str) -> None:
        _log.info("enrolment of %s refused: %s", device, code)
        if code.startswith(("store-", "bus-")):
            return
        now = self._relay.clock.monotonic()
        if len(self._refusals) == _REFUSALS_AUDITED and (
            now - self._refusals[0] < _REFUSALS_WINDOW_S
        ):
            return
        self._refusals.append(now)
        async with self._relay.db.write() as c:
            await self._relay.audit.append(
                c,
                actor=f"device:{device}",
                action="device.enrol-refused",
                subject=device,
                detail={"code": code},
            )

    async def on_present(self, link: FleetLink, message: messages.Present) -> None:
        """Note what runs on the device and tell it of its orders."""
        if link.role != "device":
            return
        values = {
            "agent_version": _word(message.agent_version),
            "host_name": _word(message.host_name),
            "os": _word(message.os),
            "timestamp_version": _version(message.timestamp_version),
            "targets_version": _version(message.targets_version),
            "last_seen": self._relay.stamp(),
        }
        async with self._relay.db.write() as c:
            await self._known(c, link)
            await c.execute(
                update(devices)
                .where(devices.c.tenant == self._relay.tenant, devices.c.id == link.device)
                .values(**values)
            )
        await self._dispatch.offer_on_present(link.device, link.send)

    async def on_sections(self, link: FleetLink, message: messages.ReportSections) -> messages.Ack:
        """Store what changed; ask for what is missing."""
        check_hashes(message.hashes)
        async with self._inflating:
            reports = await asyncio.to_thread(read_blobs, message.changed)
        async with self._relay.db.write() as c:
            await self._known(c, link)
            await store_sections(
                c,
                tenant=self._relay.tenant,
                device=link.device,
                reports=reports,
                now=self._relay.now(),
            )
            missing = await missing_sections(
                c, tenant=self._relay.tenant, device=link.device, hashes=message.hashes
            )
        if missing:
            link.send(messages.Resend(sections=missing))
        return messages.Ack(seq=message.seq)

    async def on_progress(self, link: FleetLink, message: messages.OrderProgress) -> messages.Ack:
        """Note how far an order is."""
        await record_progress(self._relay, device=link.device, message=message)
        return messages.Ack(seq=message.seq)

    async def on_result(self, link: FleetLink, message: messages.ResultReport) -> messages.Ack:
        """Store a signed result, once."""
        async with self._relay.db.read() as c:
            row = await self._known(c, link, held=False)
        await record_result(
            self._relay,
            device=link.device,
            key=row["key"],
            order=message.order,
            blob=message.envelope,
        )
        return messages.Ack(seq=message.seq)

    async def _known(self, c: AsyncConnection, link: FleetLink, *, held: bool = True) -> RowMapping:
        """Return the device's row; a device that was retired meanwhile loses its link."""
        row = await lock_device(c, self._relay.tenant, link.device, held=held)
        if row is None:
            raise RemoteError("device-unknown", "this device is not enrolled here")
        if row["retired_at"] is not None:
            raise RemoteError("device-retired", "this device was retired")
        return row


def _word(text: str) -> str:
    """Return what a device says of itself as one printable line."""
    line = "".join(c if c.isprintable() else " " for c in text[:MAX_WORD_CHARS])
    return " ".join(line.split())


def _version(number: int) -> int:
    return min(max(number, 0), MAX_VERSION)
