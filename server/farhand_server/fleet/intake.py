"""What devices say to the fleet: enrolment, presence, inventory, progress and results.

Plugged into the gateway, which calls each `on_...` with the link and the message, in order per
link, and turns a FarhandError into a Nack with its code.  The link has proved the key of the device
it names; everything inside the messages is hostile until checked here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from sqlalchemy import bindparam, select, update

from farhand_protocol import messages
from farhand_protocol.audit import AuditHead
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.inventory import CHECKS_SECTION
from farhand_server.alerts.intake import hold, take_checks
from farhand_server.fleet.batches import Batches
from farhand_server.fleet.devices import check_linked, lock_device
from farhand_server.fleet.dispatch import Dispatch, make_dispatch
from farhand_server.fleet.enrolment import enrol, open_enrolment
from farhand_server.fleet.log_heads import keep_log_heads, parse_log_head
from farhand_server.fleet.neighbours import mirror_checks, subjects_of
from farhand_server.fleet.results import Results, make_results
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
    return Intake(relay, relay.service(make_dispatch), relay.service(make_results))


class Intake:
    """Handles the fleet's messages.

    Args:
        relay: the wiring.
        dispatch: told when a device comes online.
        results: takes what is said about orders.
    """

    def __init__(self, relay: Relay, dispatch: Dispatch, results: Results) -> None:
        self._relay = relay
        self._dispatch = dispatch
        self._results = results
        self._presents: Batches[_Presence, None] = Batches(
            relay.tasks, self._note_presents, key=lambda one: one.link.device, name="presents"
        )
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
        head = parse_log_head(message.audit_head, device=link.device, key=link.device_key)
        await self._presents.put(_Presence(link=link, message=message, head=head))

    async def _note_presents(self, batch: Sequence[_Presence]) -> list[Exception | None]:
        """Note what runs on these devices and tell them of their orders; see `Batches`."""
        relay = self._relay
        ids = sorted({one.link.device for one in batch})
        outcomes: dict[str, Exception] = {}
        known: dict[str, _Presence] = {}
        async with relay.db.write() as c:
            query = (
                select(devices.c.id, devices.c.retired_at)
                .where(devices.c.tenant == relay.tenant, devices.c.id.in_(ids))
                .order_by(devices.c.id)
                .with_for_update()
            )
            rows = {row["id"]: row for row in (await c.execute(query)).mappings()}
            for one in batch:
                try:
                    check_linked(rows.get(one.link.device))
                    known[one.link.device] = one
                except RemoteError as error:
                    outcomes[one.link.device] = error
            if known:
                await c.execute(
                    update(devices)
                    .where(devices.c.tenant == relay.tenant, devices.c.id == bindparam("one"))
                    .values({name: bindparam(f"new_{name}") for name in _PRESENT_COLUMNS}),
                    [_present_values(one, relay.stamp()) for _, one in sorted(known.items())],
                )
            heads = {device: one.head for device, one in known.items() if one.head is not None}
            await keep_log_heads(c, relay, heads)
        await self._dispatch.offer_on_present(
            {device: one.link.send for device, one in known.items()}
        )
        return [outcomes.get(one.link.device) for one in batch]

    async def on_sections(self, link: FleetLink, message: messages.ReportSections) -> messages.Ack:
        """Store what changed; ask for what is missing."""
        check_hashes(message.hashes)
        async with self._inflating:
            reports = await asyncio.to_thread(read_blobs, message.changed)
        checks = next((one for one, _ in reports if one.name == CHECKS_SECTION), None)
        subjects: set[str] = set()
        async with self._relay.db.write() as c:
            if checks is not None:
                await hold(c, self._relay.tenant)
            device = check_linked(await lock_device(c, self._relay.tenant, link.device))
            if checks is not None:
                await take_checks(c, self._relay, device=device, report=checks)
                subjects = await subjects_of(c, self._relay.tenant, link.device)
            await store_sections(
                c,
                tenant=self._relay.tenant,
                device=link.device,
                reports=reports,
                now=self._relay.now(),
            )
            if checks is not None:
                subjects |= await subjects_of(c, self._relay.tenant, link.device)
                await mirror_checks(
                    c, tenant=self._relay.tenant, subjects=subjects, now=self._relay.now()
                )
            missing = await missing_sections(
                c, tenant=self._relay.tenant, device=link.device, hashes=message.hashes
            )
        if missing:
            link.send(messages.Resend(sections=missing))
        return messages.Ack(seq=message.seq)

    async def on_progress(self, link: FleetLink, message: messages.OrderProgress) -> messages.Ack:
        """Note how far an order is."""
        await self._results.progress(device=link.device, message=message)
        return messages.Ack(seq=message.seq)

    async def on_result(self, link: FleetLink, message: messages.ResultReport) -> messages.Ack:
        """Store a signed result, once."""
        await self._results.result(device=link.device, order=message.order, blob=message.envelope)
        return messages.Ack(seq=message.seq)


class _Presence(msgspec.Struct, frozen=True, kw_only=True):
    """Who said what of itself."""

    link: FleetLink
    message: messages.Present
    head: AuditHead | None


_PRESENT_COLUMNS: Final = (
    "agent_version",
    "host_name",
    "os",
    "timestamp_version",
    "targets_version",
    "last_seen",
)


def _present_values(one: _Presence, at: str) -> dict[str, object]:
    message = one.message
    values = (
        _word(message.agent_version),
        _word(message.host_name),
        _word(message.os),
        _version(message.timestamp_version),
        _version(message.targets_version),
        at,
    )
    new = {f"new_{name}": value for name, value in zip(_PRESENT_COLUMNS, values, strict=True)}
    return {**new, "one": one.link.device}


def _word(text: str) -> str:
    """Return what a device says of itself as one printable line."""
    line = "".join(c if c.isprintable() else " " for c in text[:MAX_WORD_CHARS])
    return " ".join(line.split())


def _version(number: int) -> int:
    return min(max(number, 0), MAX_VERSION)
