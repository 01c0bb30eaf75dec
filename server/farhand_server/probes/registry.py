"""Which addresses the relay looks at: registered by an admin, few, and agentless devices' own."""

from __future__ import annotations

import ipaddress
from typing import Final, get_args

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_server.alerts.intake import hold, take_said
from farhand_server.alerts.words import Said
from farhand_server.errors import not_found
from farhand_server.fleet.neighbours import show_checks
from farhand_server.probes.looking import KINDS, Kind
from farhand_server.relay import Relay
from farhand_server.store.schema import relay_probes

__all__ = [
    "MAX_PROBES",
    "NewProbe",
    "Probe",
    "add_probe",
    "check_of",
    "list_probes",
    "remove_probe",
    "subject_of",
]

MAX_PROBES: Final = 200
_EVERY_S: Final = (60, 86_400)


class NewProbe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin wants looked at."""

    kind: str
    every_s: int = 300
    port: int | None = None


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the relay looks at; `state` is empty before its first look."""

    id: str
    device: str
    kind: str
    port: int | None
    every_s: int
    next_at: str
    state: str
    summary: str
    value: float | None
    unit: str | None
    since: str
    created_by: str
    created_at: str


async def list_probes(c: AsyncConnection, tenant: str, device: str) -> list[Probe]:
    """Return what the relay looks at of a device; there are `MAX_PROBES` at most in all."""
    columns = [relay_probes.c[name] for name in Probe.__struct_fields__]
    query = (
        select(*columns)
        .where(relay_probes.c.tenant == tenant, relay_probes.c.device == device)
        .order_by(relay_probes.c.created_at, relay_probes.c.id)
    )
    return [Probe(**row) for row in (await c.execute(query)).mappings()]


async def add_probe(
    c: AsyncConnection, relay: Relay, *, device: RowMapping, new: NewProbe, actor: str
) -> str:
    """Register a look at an agentless device and return its id.

    Raises:
        UsageError: `invalid`.
        FarhandError: `probes-full`, `probe-exists`.
    """
    if device["kind"] == "agent":
        raise UsageError("invalid", "the relay looks at devices without an agent only")
    if new.kind not in get_args(Kind):
        raise UsageError("invalid", f"a probe is one of {', '.join(KINDS)}")
    if not _EVERY_S[0] <= new.every_s <= _EVERY_S[1]:
        raise UsageError("invalid", "every_s lies within 60 and 86400")
    if new.port is not None and (new.kind == "dns" or not 1 <= new.port <= 65_535):
        raise UsageError("invalid", "a port lies within 1 and 65535, and dns takes none")
    if new.kind == "dns" and _is_ip(device["address"]):
        raise UsageError("invalid", "dns looks up names, and this device has an address")
    await hold(c, relay.tenant)
    count = select(func.count()).where(relay_probes.c.tenant == relay.tenant)
    if (await c.scalar(count) or 0) >= MAX_PROBES:
        raise FarhandError("probes-full", f"the relay looks at {MAX_PROBES} things already")
    if await _is_there(c, relay.tenant, device["id"], new):
        raise FarhandError("probe-exists", "the relay looks at this already")
    probe = make_id("rp", relay.random(10))
    detail = {"device": device["id"], "kind": new.kind, "port": new.port}
    await relay.audit.append(c, actor=actor, action="probe.add", subject=probe, detail=detail)
    at = relay.stamp()
    try:
        await c.execute(
            insert(relay_probes).values(
                tenant=relay.tenant, id=probe, device=device["id"], kind=new.kind, port=new.port,
                every_s=new.every_s, next_at=at, state="", pending="", summary="", value=None,
                unit=None, since=at, created_by=actor, created_at=at,
            )
        )  # fmt: skip
    except IntegrityError as error:
        raise FarhandError("probe-exists", "the relay looks at this already") from error
    return probe


async def _is_there(c: AsyncConnection, tenant: str, device: str, new: NewProbe) -> bool:
    query = select(relay_probes.c.id).where(
        relay_probes.c.tenant == tenant,
        relay_probes.c.device == device,
        relay_probes.c.kind == new.kind,
        # Databases hold that no null is like another.
        relay_probes.c.port.is_(None) if new.port is None else relay_probes.c.port == new.port,
    )
    return await c.scalar(query) is not None


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


async def remove_probe(
    c: AsyncConnection, relay: Relay, *, device: RowMapping, probe: str, actor: str
) -> None:
    """Look no more; what was found wrong is withdrawn.

    Raises:
        FarhandError: `not-found`.
    """
    await hold(c, relay.tenant)
    mine = [
        relay_probes.c.tenant == relay.tenant,
        relay_probes.c.device == device["id"],
        relay_probes.c.id == probe.replace("\0", ""),
    ]
    row = (await c.execute(select(relay_probes).where(*mine))).mappings().first()
    if row is None:
        raise not_found("probe", probe)
    await relay.audit.append(c, actor=actor, action="probe.remove", subject=row["id"])
    await c.execute(delete(relay_probes).where(*mine))
    gone = Said(check_of(row), subject_of(row), "gone", row["summary"], None, None)
    await take_said(c, relay, device=device, said=[gone], is_all=False)
    await show_checks(
        c, tenant=relay.tenant, device=device["id"], address=device["address"], now=relay.now()
    )


def check_of(row: RowMapping) -> str:
    """Return the id of the check that a probe is."""
    return f"probe.{row['kind']}"


def subject_of(row: RowMapping) -> str:
    """Return who looks, and where if not at the usual port."""
    return "relay" if row["port"] is None else f"relay:{row['port']}"
