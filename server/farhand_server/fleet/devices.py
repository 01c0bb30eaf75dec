"""Devices as the desk sees them: found, listed, tagged, confirmed, retired.

A device *is* its key; name, host name and operating system are what it says about itself.  Names
need not be unique: whoever names a device by a name that several have is told which ones.  Every
function works inside the caller's transaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import ColumnElement, RowMapping, case, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError, RemoteError, UsageError
from farhand_protocol.identity import is_device_id
from farhand_protocol.tokens import Confirmation
from farhand_server.errors import not_found
from farhand_server.fleet.packages import insert_new
from farhand_server.fleet.query import Node, parse_query
from farhand_server.fleet.query_sql import AGENT, Facts, compile_query, needs_presence
from farhand_server.fleet.roster import current_roster
from farhand_server.fleet.software_search import installed_for
from farhand_server.relay import Relay
from farhand_server.store.schema import device_tags, devices, enrolment_tokens

__all__ = [
    "Device",
    "DeviceDetail",
    "WhoIsOnline",
    "agentless",
    "change_tags",
    "check_linked",
    "confirm_device",
    "device_detail",
    "find_device",
    "is_any_id",
    "list_devices",
    "lock_device",
    "mark_retired",
    "picked",
]

MAX_TAGS: Final = 64
MAX_CANDIDATES: Final = 10
_AGENTLESS_ID: Final = re.compile(r"ag-[a-z2-7]{16}\Z", re.ASCII)
# Without what proves a key, which is most of a row and nothing for a list.
_LISTED: Final = (
    "id", "name", "device_group", "confirmed", "os", "host_name", "agent_version", "enrolled_at",
    "last_seen", "retired_at", "key_conflict_at", "kind", "address", "merged_into",
)  # fmt: skip
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)


class WhoIsOnline(Protocol):
    """Who is connected, as the gateway knows it."""

    def is_online(self, device: str) -> bool:
        """Tell whether the device is connected to any node."""

    def online(self) -> frozenset[str]:
        """Return every device that is connected to any node."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device in a list; `warning` is a stable code: `device-key-conflict` for a copied key.

    `kind` is `agent`, or what a device without one is (`fleet.agentless`), which has an address.
    """

    id: str
    name: str
    group: str
    tags: list[str]
    online: bool
    confirmed: bool
    os: str
    host_name: str
    agent_version: str
    enrolled_at: str
    last_seen: str | None
    retired_at: str | None
    warning: str | None
    warning_at: str | None
    kind: str
    address: str | None
    merged_into: str | None


class DeviceDetail(Device, frozen=True, kw_only=True):
    """A device with everything a console needs to verify its key without believing the relay.

    `enrolment` is sealed by token key and device key, `token_envelope` by an admin (or, where
    `token_signed_by` is `relay`, by the relay's key), `confirmation` by an admin.
    """

    key: bytes
    token: str
    enrolment: bytes
    token_envelope: bytes | None
    token_signed_by: str | None
    confirmation: bytes | None
    timestamp_version: int
    targets_version: int


def agentless(device: str) -> FarhandError:
    """Return the refusal of whatever needs an agent."""
    return FarhandError("device-agentless", f"{device} runs no agent: nothing can be ordered there")


def is_any_id(text: str) -> bool:
    """Tell whether a text has the shape of a device's id, with or without an agent."""
    return is_device_id(text) or _AGENTLESS_ID.match(text) is not None


async def find_device(
    c: AsyncConnection, tenant: str, ref: str, *, also_retired: bool = False
) -> RowMapping:
    """Return the row of the device that `ref` names: its id, or a name that only it has.

    An id goes first, so a device that calls itself by another one's id gains nothing.  Of those of
    one name, only the best rank counts: confirmed by an admin, then unconfirmed, then without an
    agent, then retired.  So whoever can only enrol unconfirmed devices cannot make a confirmed
    one's name unusable.

    Raises:
        FarhandError: `not-found`, `device-retired`, or `device-ambiguous` with the candidates as
            its hint.
    """
    ref = ref.strip()
    mine = devices.c.tenant == tenant
    if is_any_id(ref.lower()):
        found = await c.execute(select(devices).where(mine, devices.c.id == ref.lower()))
        if row := found.mappings().first():
            return _unless_retired(row, ref, also_retired=also_retired)
    if not ref or "\0" in ref:
        raise not_found("device", ref)
    rank = case(
        (devices.c.retired_at.is_not(None), 3),
        (devices.c.kind != AGENT, 2),
        (devices.c.confirmed, 0),
        else_=1,
    )
    by_name = (
        select(devices, rank.label("rank"))
        .where(mine, devices.c.name == ref)
        .order_by(rank, devices.c.id)
        .limit(MAX_CANDIDATES + 1)
    )
    rows = (await c.execute(by_name)).mappings().all()
    if not rows:
        raise not_found("device", ref)
    rows = [row for row in rows if row["rank"] == rows[0]["rank"]]
    _unless_retired(rows[0], ref, also_retired=also_retired)
    if len(rows) > 1:
        ids = [row["id"] for row in rows[:MAX_CANDIDATES]]
        more = ", ..." if len(rows) > MAX_CANDIDATES else ""
        raise FarhandError(
            "device-ambiguous",
            f"several devices are called {ref[:64]!r}",
            hint=f"name one by its id: {', '.join(ids)}{more}",
        )
    return rows[0]


def _unless_retired(row: RowMapping, ref: str, *, also_retired: bool) -> RowMapping:
    if row["retired_at"] is not None and not also_retired:
        raise FarhandError(
            "device-retired",
            f"{ref[:64]!r} was retired",
            hint="its id still shows it: " + row["id"],
        )
    return row


async def lock_device(
    c: AsyncConnection, tenant: str, device: str, *, held: bool = True
) -> RowMapping | None:
    """Return a device's row, held until the transaction ends; None where there is none."""
    query = select(devices).where(devices.c.tenant == tenant, devices.c.id == device)
    return (await c.execute(query.with_for_update() if held else query)).mappings().first()


def check_linked(row: RowMapping | None) -> RowMapping:
    """Return the row of a device that is speaking.

    Raises:
        RemoteError: `device-unknown`, `device-retired`; it loses its link.
    """
    if row is None:
        raise RemoteError("device-unknown", "this device is not enrolled here")
    if row["retired_at"] is not None:
        raise RemoteError("device-retired", "this device was retired")
    return row


async def _tags_of(c: AsyncConnection, tenant: str, ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {one: [] for one in ids}
    if ids:
        query = select(device_tags.c.device, device_tags.c.tag).where(
            device_tags.c.tenant == tenant, device_tags.c.device.in_(ids)
        )
        for device, tag in await c.execute(query.order_by(device_tags.c.tag)):
            found[device].append(tag)
    return found


def _fields(row: RowMapping, tags: list[str], presence: WhoIsOnline) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "group": row["device_group"],
        "tags": tags,
        "online": presence.is_online(row["id"]),
        "confirmed": row["confirmed"],
        "os": row["os"],
        "host_name": row["host_name"],
        "agent_version": row["agent_version"],
        "enrolled_at": row["enrolled_at"],
        "last_seen": row["last_seen"],
        "retired_at": row["retired_at"],
        # The one thing about a device that somebody has to look at.
        "warning": "device-key-conflict" if row["key_conflict_at"] else None,
        "warning_at": row["key_conflict_at"],
        "kind": row["kind"],
        "address": row["address"],
        "merged_into": row["merged_into"],
    }


async def picked(
    c: AsyncConnection,
    tenant: str,
    query: Node,
    *,
    presence: WhoIsOnline,
    agents_only: bool = False,
) -> ColumnElement[bool]:
    """Return the condition for a query; see `fleet.query_sql`.

    Raises:
        FarhandError: `query-too-wide`.
    """
    facts = Facts(
        tenant=tenant,
        dialect=c.dialect.name,
        online=presence.online() if needs_presence(query) else frozenset(),
        installed=await installed_for(c, tenant, query),
    )
    return compile_query(query, facts, agents_only=agents_only)


async def list_devices(
    c: AsyncConnection,
    tenant: str,
    *,
    query: str,
    presence: WhoIsOnline,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[Device]:
    """Return the devices that a query picks, by name and id.

    Args:
        c: any connection.
        tenant: organisation.
        query: see `fleet.query`.
        presence: who is connected.
        after: name and id of the last device already seen.
        limit: at most so many.

    Raises:
        FarhandError: `query-invalid`, `query-too-wide`.
    """
    where = [await picked(c, tenant, parse_query(query), presence=presence)]
    if after is not None:
        name, last = after
        # The first condition is the one that an index can begin with.
        where += [devices.c.name >= name, (devices.c.name > name) | (devices.c.id > last)]
    columns = [devices.c[one] for one in _LISTED]
    page = select(*columns).where(*where).order_by(devices.c.name, devices.c.id).limit(limit)
    rows = (await c.execute(page)).mappings().all()
    tags = await _tags_of(c, tenant, [row["id"] for row in rows])
    return [Device(**_fields(row, tags[row["id"]], presence)) for row in rows]


async def device_detail(
    c: AsyncConnection, row: RowMapping, *, presence: WhoIsOnline
) -> DeviceDetail:
    """Return everything about the device of this row."""
    tenant = row["tenant"]
    tags = await _tags_of(c, tenant, [row["id"]])
    token = (
        await c.execute(
            select(enrolment_tokens.c.envelope, enrolment_tokens.c.signed_by).where(
                enrolment_tokens.c.tenant == tenant, enrolment_tokens.c.id == row["token"]
            )
        )
    ).first()
    return DeviceDetail(
        **_fields(row, tags[row["id"]], presence),
        key=row["key"],
        token=row["token"],
        enrolment=row["enrolment"],
        token_envelope=token.envelope if token else None,
        token_signed_by=token.signed_by if token else None,
        confirmation=row["confirmation"],
        timestamp_version=row["timestamp_version"],
        targets_version=row["targets_version"],
    )


async def change_tags(
    c: AsyncConnection,
    relay: Relay,
    *,
    device: str,
    add: Sequence[str],
    remove: Sequence[str],
    actor: str,
) -> list[str]:
    """Add and remove tags of a device; returns what it has afterwards.

    Raises:
        UsageError: `invalid` for a tag that cannot be one, or too many of them.
    """
    for tag in (*add, *remove):
        if not _TAG.match(tag):
            raise UsageError(
                "invalid", "a tag is 1 to 64 letters, digits, dots, hyphens and underscores"
            )
    detail = {"add": sorted(set(add)), "remove": sorted(set(remove))}
    await relay.audit.append(c, actor=actor, action="device.tag", subject=device, detail=detail)
    await lock_device(c, relay.tenant, device)
    await c.execute(
        delete(device_tags).where(
            device_tags.c.tenant == relay.tenant,
            device_tags.c.device == device,
            device_tags.c.tag.in_(list(remove)),
        )
    )
    await insert_new(
        c,
        device_tags,
        [{"tenant": relay.tenant, "device": device, "tag": tag} for tag in sorted(set(add))],
    )
    tags = (await _tags_of(c, relay.tenant, [device]))[device]
    if len(tags) > MAX_TAGS:
        raise UsageError("invalid", f"a device has at most {MAX_TAGS} tags")
    return tags


async def confirm_device(
    c: AsyncConnection, relay: Relay, *, row: RowMapping, envelope: bytes, actor: str
) -> None:
    """Store an admin's signed word that this key is that machine.

    The relay checks what it can (the first lock); consoles and devices check the signature again.

    Raises:
        FarhandError: `device-agentless`, `envelope-malformed`; `confirmation-mismatch` when it
            speaks of another
            device, key or group; `confirmation-signature` when no admin of the roster signed it.
    """
    if row["kind"] != AGENT:
        raise agentless(row["id"])
    sealed = decode_envelope(envelope)
    statement = open_payload(sealed, Confirmation)
    said = (statement.tenant, statement.device, statement.device_key, statement.group)
    if said != (relay.tenant, row["id"], row["key"], row["device_group"]):
        raise FarhandError(
            "confirmation-mismatch", "the confirmation speaks of another device, key or group"
        )
    roster = await current_roster(c, relay)
    admins = [
        key
        for operator in (roster.operators if roster else ())
        if "admin" in operator.permissions
        for key in operator.keys
    ]
    if not signers(sealed, admins):
        raise FarhandError("confirmation-signature", "no admin of the roster signed it")
    await relay.audit.append(c, actor=actor, action="device.confirm", subject=row["id"])
    await c.execute(
        update(devices)
        .where(devices.c.tenant == relay.tenant, devices.c.id == row["id"])
        .values(confirmed=True, confirmation=envelope, key_conflict_at=None)
    )


async def mark_retired(c: AsyncConnection, relay: Relay, *, device: str, actor: str) -> None:
    """Retire a device: its key opens no link any more.  Its open orders are the caller's."""
    await relay.audit.append(c, actor=actor, action="device.retire", subject=device)
    await c.execute(
        update(devices)
        .where(
            devices.c.tenant == relay.tenant,
            devices.c.id == device,
            devices.c.retired_at.is_(None),
        )
        .values(retired_at=relay.stamp())
    )
