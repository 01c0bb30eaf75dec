"""Routes of alerts, of devices that somebody works on, and of what the relay looks at itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.instants import parse_instant
from farhand_server.alerts.intake import after_maintenance, hold
from farhand_server.alerts.maintenance import (
    MAX_MAINTENANCE,
    Maintenance,
    end_maintenance,
    get_maintenance,
    set_maintenance,
)
from farhand_server.alerts.rows import Alert, AlertCounts, count_alerts, get_alert, list_alerts
from farhand_server.alerts.sweep import sweep_for_ever
from farhand_server.alerts.tickets import tell
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.desk.references import parse_reference
from farhand_server.fleet.devices import find_device, lock_device
from farhand_server.measures.check_digest import (
    MAX_DIGEST_DAYS,
    CheckDigest,
    DigestTerms,
    check_digest,
    digest_terms,
    set_digest_terms,
    start_digests,
)
from farhand_server.probes.poller import poll_for_ever
from farhand_server.probes.registry import (
    NewProbe,
    Probe,
    add_probe,
    list_probes,
    remove_probe,
)
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts
from farhand_server.wording import check_line

__all__ = ["AREA"]

_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]
_Severity = Annotated[str | None, QueryParameter(name="severity", max_length=20)]
_DeviceRef = Annotated[str | None, QueryParameter(name="device", max_length=200)]
_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Days = Annotated[int, QueryParameter(name="days", ge=1, le=MAX_DIGEST_DAYS)]
_Seconds = Annotated[int, msgspec.Meta(ge=60, le=int(MAX_MAINTENANCE.total_seconds()))]


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody has seen it; the note goes to the alert's ticket."""

    note: _Line = ""


class NewMaintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until when somebody works on a device: a time, or so many seconds from now."""

    until: _Line | None = None
    for_s: _Seconds | None = None
    reason: _Line = ""


class AlertController(Controller):
    """Alerts; nothing here reaches a device."""

    path = "/alerts"

    @get("/", action="alert.read")
    async def list_all(
        self,
        relay: FromRelay,
        wanted: _State = None,
        device: _DeviceRef = None,
        severity: _Severity = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Alert]:
        """Return alerts, newest first; the live ones unless a state is named."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device, also_retired=True) if device else None
            rows = await list_alerts(
                c,
                relay.tenant,
                state=wanted,
                device=row["id"] if row is not None else None,
                address=row["address"] if row is not None else None,
                severity=severity,
                before=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.opened_at, row.id))

    @get("/counts", action="alert.read")
    async def counts(self, relay: FromRelay) -> AlertCounts:
        """Return how many alerts are live, and how many blind spots there are."""
        async with relay.db.read() as c:
            return await count_alerts(c, relay.tenant)

    @get("/{alert:str}", action="alert.read")
    async def show(self, relay: FromRelay, alert: FromPath[str]) -> Alert:
        """Return one alert."""
        async with relay.db.read() as c:
            return await get_alert(c, relay.tenant, alert)

    @post("/{alert:str}/acknowledge", action="alert.acknowledge", status_code=200)
    async def acknowledge(
        self,
        relay: FromRelay,
        actor: FromActor,
        alert: FromPath[str],
        data: JSONBody[Acknowledgement],
    ) -> Alert:
        """Note that somebody has seen an alert; it stays until the device says that it is well."""
        words = check_line(data.note, "note") if data.note.strip() else ""
        async with relay.db.write() as c:
            await hold(c, relay.tenant)
            found = await get_alert(c, relay.tenant, alert)
            if found.state not in ("open", "acknowledged"):
                raise FarhandError("alert-closed", f"the alert is {found.state}, not open")
            await relay.audit.append(
                c, actor=actor.name, action="alert.acknowledge", subject=found.id
            )
            await _acknowledge(c, relay, found, actor.name, words)
            return await get_alert(c, relay.tenant, found.id)


async def _acknowledge(
    c: AsyncConnection, relay: Relay, alert: Alert, actor: str, words: str
) -> None:
    await c.execute(
        update(alerts)
        .where(alerts.c.tenant == relay.tenant, alerts.c.id == alert.id)
        .values(state="acknowledged", acknowledged_at=relay.stamp(), acknowledged_by=actor)
    )
    number = parse_reference(alert.ticket) if alert.ticket else None
    if number is not None:
        said = f"acknowledged by {actor}" + (f": {words}" if words else "")
        await tell(c, relay, number, said, alert=alert.id)


class MaintenanceController(Controller):
    """Devices that somebody works on."""

    path = "/devices/{device:str}/maintenance"

    @get("/", action="device.read")
    async def show(self, relay: FromRelay, device: FromPath[str]) -> Maintenance:
        """Return whether somebody works on the device."""
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            return await get_maintenance(c, relay, row["id"])

    @post("/", action="device.maintenance", status_code=200)
    async def begin(
        self,
        relay: FromRelay,
        actor: FromActor,
        device: FromPath[str],
        data: JSONBody[NewMaintenance],
    ) -> Maintenance:
        """Keep the device's alerts from tickets until a time."""
        if (data.until is None) == (data.for_s is None):
            raise UsageError("invalid", "give one of until and for_s")
        until = (
            parse_instant(data.until)
            if data.until is not None
            else relay.now() + timedelta(seconds=data.for_s or 0)
        )
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            return await set_maintenance(
                c, relay, device=row, until=until, reason=data.reason, actor=actor.name
            )

    @post("/end", action="device.maintenance", status_code=200)
    async def end(self, relay: FromRelay, actor: FromActor, device: FromPath[str]) -> Maintenance:
        """End it now; what stands goes to tickets."""
        async with relay.db.write() as c:
            await hold(c, relay.tenant)
            found = await find_device(c, relay.tenant, device)
            row = await lock_device(c, relay.tenant, found["id"])
            if row is not None and await end_maintenance(c, relay, device=row, actor=actor.name):
                await after_maintenance(c, relay, device=row)
            return await get_maintenance(c, relay, found["id"])


class ProbeController(Controller):
    """What the relay itself looks at; an admin registers it."""

    path = "/devices/{device:str}/probes"

    @get("/", action="device.read")
    async def list_all(self, relay: FromRelay, device: FromPath[str]) -> Page[Probe]:
        """Return what the relay looks at of an agentless device."""
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            return Page(items=await list_probes(c, relay.tenant, row["id"]))

    @post("/", action="device.probe", status_code=201)
    async def add(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], data: JSONBody[NewProbe]
    ) -> Page[Probe]:
        """Look at an agentless device's address from now on."""
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            await add_probe(c, relay, device=row, new=data, actor=actor.name)
            return Page(items=await list_probes(c, relay.tenant, row["id"]))

    @post("/{probe:str}/remove", action="device.probe", status_code=200)
    async def remove(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], probe: FromPath[str]
    ) -> Page[Probe]:
        """Look at it no more."""
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            await remove_probe(c, relay, device=row, probe=probe, actor=actor.name)
            return Page(items=await list_probes(c, relay.tenant, row["id"]))


class DigestController(Controller):
    """What checks found, added up."""

    path = "/check-digest"

    @get("/", action="alert.read")
    async def show(self, relay: FromRelay, days: _Days = 7) -> CheckDigest:
        """Return what checks found in the last days."""
        until = relay.now()
        async with relay.db.read() as c:
            since = until - timedelta(days=days)
            return await check_digest(c, relay.tenant, since=since, until=until)

    @get("/terms", action="alert.read")
    async def terms(self, relay: FromRelay) -> DigestTerms:
        """Return who is sent it, and when."""
        async with relay.db.read() as c:
            return await digest_terms(c, relay.tenant)

    @post("/terms", action="queue.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[DigestTerms]
    ) -> DigestTerms:
        """Set who is sent it, and when."""
        async with relay.db.write() as c:
            return await set_digest_terms(c, relay, terms=data, actor=actor.name)


async def _start(relay: Relay) -> None:
    """Begin to look after what time alone changes, and at what the relay itself looks at."""
    await start_digests(relay)
    relay.tasks.spawn(sweep_for_ever(relay), name="alerts")
    relay.tasks.spawn(poll_for_ever(relay), name="probes")


AREA = Area(
    name="alerts",
    controllers=[AlertController, MaintenanceController, ProbeController, DigestController],
    statuses={"alert-closed": 409, "probe-exists": 409, "probes-full": 409},
    start=_start,
)
