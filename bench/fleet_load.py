"""A fleet made up and stored at once: devices, their packages, what changed on them, their checks.

Every device has its own random choice of the packages there are, which no two devices share: real
fleets are more alike than that.  Rows are made by the store's own code (`pack`, `encode_bits`,
`encode_bags`), only not one report at a time.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.identity import device_id
from farhand_protocol.inventory import canonical_json
from farhand_server.clock import stamp
from farhand_server.fleet.changes import Bags
from farhand_server.fleet.history import encode_bags
from farhand_server.fleet.software import OWN_FIELDS, Installed, pack
from farhand_server.fleet.software_index import BLOCK_BITS, encode_bits, write_bits
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    check_states,
    device_numbers,
    device_tags,
    devices,
    package_versions,
    packages,
    section_changes,
    sections,
)

__all__ = ["Fleet", "Size", "load", "make_fleet"]

_BATCH = 500
_UPGRADES = 12  # reports that changed a device's software
_IN_ONE = 25  # packages that one of them changed
_CHECKS = ("disk.space", "memory.pressure", "updates.security", "uptime", "time.offset")
_SYSTEMS = ("Debian 12", "Debian 11", "Ubuntu 24.04", "Fedora 42", "Windows 11")


@dataclass(frozen=True)
class Size:
    """How much there is."""

    devices: int
    packages: int
    versions: int


@dataclass
class Fleet:
    """What is the same on both stores: made once."""

    size: Size
    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    versions: list[tuple[int, str]] = field(default_factory=list)  # title, version
    bodies: list[bytes] = field(default_factory=list)
    blocks: dict[tuple[int, int], bytes] = field(default_factory=dict)
    upgrades: list[bytes] = field(default_factory=list)


def make_fleet(size: Size) -> Fleet:
    """Make up a fleet; version N of the dictionary has the number N + 1, device N likewise."""
    chance = random.Random(4)
    fleet = Fleet(size)
    fleet.ids = [device_id(secrets.token_bytes(32)) for _ in range(size.devices)]
    fleet.titles = [f"lib{n:05d}" for n in range(size.versions // 4)]
    fleet.versions = [
        (n // 4, f"{1 + n % 4}.{chance.randrange(30)}.{n % 4}-{1 + n % 3}+deb12u{n % 5}")
        for n in range(len(fleet.titles) * 4)
    ]
    rows = [bytearray(size.devices // 8 + 1) for _ in fleet.versions]
    entries = [Installed(version + 1, _own(version)) for version in range(len(fleet.versions))]
    # Each device has another stretch of one of these orders: chosen at random, and quickly.
    orders = [chance.sample(range(len(entries)), len(entries)) for _ in range(50)]
    for device in range(size.devices):
        start = chance.randrange(len(entries))
        order = chance.choice(orders)
        chosen = sorted((order[start:] + order[:start])[: size.packages])
        byte, mask = (device + 1) >> 3, 1 << ((device + 1) & 7)
        for version in chosen:
            rows[version][byte] |= mask
        fleet.bodies.append(pack([entries[version] for version in chosen]))
    for version, bits in enumerate(rows):
        fleet.blocks |= _blocks(version + 1, int.from_bytes(bits, "little"))
    fleet.upgrades = [_upgrade(fleet, chance) for _ in range(100)]
    return fleet


def _own(version: int) -> tuple[str | bool | None, ...]:
    own = (f"2026-{1 + version % 12:02d}-{1 + version % 28:02d}T08:00:00Z", False, None)
    assert len(own) == len(OWN_FIELDS)
    return own


def _blocks(version: int, bits: int) -> Iterator[tuple[tuple[int, int], bytes]]:
    block = 0
    while bits:
        yield (version, block), encode_bits(bits & ((1 << BLOCK_BITS) - 1))
        bits >>= BLOCK_BITS
        block += 1


def _item(fleet: Fleet, version: int) -> dict[str, Any]:
    title, words = fleet.versions[version]
    return {
        "source": "dpkg",
        "name": fleet.titles[title],
        "version": words,
        "arch": "amd64",
        **_detail(title, words),
        "held": False,
        "installed_at": "2026-11-01T08:00:00Z",
    }


def _detail(title: int, version: str) -> dict[str, Any]:
    return {
        "size_bytes": 4096 * (title + 1),
        "source_name": f"src{title:05d}",
        "source_version": version,
    }


def _upgrade(fleet: Fleet, chance: random.Random) -> bytes:
    titles = chance.sample(range(len(fleet.titles)), min(_IN_ONE, len(fleet.titles)))
    removed = [_item(fleet, 4 * title) for title in titles]
    added = [_item(fleet, 4 * title + 1 + chance.randrange(3)) for title in titles]
    return encode_bags(Bags(removed, added)) or b""


async def load(relay: Relay, fleet: Fleet) -> None:
    """Store a fleet in an empty database."""
    async with relay.db.write() as c:
        await _load_dictionary(c, relay, fleet)
    for start in range(0, fleet.size.devices, 1_000):
        async with relay.db.write() as c:
            await _load_devices(c, relay, fleet, range(start, min(start + 1_000, len(fleet.ids))))
    async with relay.db.write() as c:
        await write_bits(c, fleet.blocks)
    async with relay.db.write() as c:
        # What both databases do by themselves sooner or later.
        await c.execute(text("ANALYZE"))


async def _insert(c: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _BATCH):
        await c.execute(insert(table), rows[start : start + _BATCH])


async def _load_dictionary(c: AsyncConnection, relay: Relay, fleet: Fleet) -> None:
    titles = [
        {"tenant": relay.tenant, "source": "dpkg", "name": name, "arch": "amd64", "folded": name}
        for name in fleet.titles
    ]
    await _insert(c, packages, titles)
    numbers = {name: number for number, name in await c.execute(
        select(packages.c.id, packages.c.name)
    )}  # fmt: skip
    versions = [
        {
            "id": at + 1,
            "package": numbers[fleet.titles[title]],
            "version": version,
            "detail": canonical_json(
                {**_detail(title, version), "held": None, "installed_at": None}
            ).decode(),
        }
        for at, (title, version) in enumerate(fleet.versions)
    ]
    await _insert(c, package_versions, versions)


async def _load_devices(c: AsyncConnection, relay: Relay, fleet: Fleet, part: range) -> None:
    now = relay.now()
    tenant = relay.tenant
    rows = []
    for at in part:
        rows.append(
            {
                "tenant": tenant,
                "id": fleet.ids[at],
                "key": fleet.ids[at].encode(),
                "name": f"pc-{at * 7919 % fleet.size.devices:05d}",
                "device_group": f"group-{at % 20}",
                "token": "t-none",
                "enrolment": bytes(600),
                "confirmed": True,
                "os": _SYSTEMS[at % len(_SYSTEMS)],
                "host_name": f"pc-{at:05d}.lan",
                "agent_version": "0.1.0",
                "enrolled_at": stamp(now),
                "number": at + 1,
            }
        )
    await _insert(c, devices, rows)
    numbers = [{"number": at + 1, "tenant": tenant, "device": fleet.ids[at]} for at in part]
    await _insert(c, device_numbers, numbers)
    tags = [{"tenant": tenant, "device": fleet.ids[at], "tag": f"tag-{at % 50}"} for at in part]
    await _insert(c, device_tags, tags)
    states = [
        {
            "tenant": tenant,
            "device": fleet.ids[at],
            "check_id": check,
            "subject": "",
            "state": "critical" if (at + place) % 40 == 0 else "ok",
            "summary": "as it is",
            "seen_at": stamp(now),
        }
        for at in part
        for place, check in enumerate(_CHECKS)
    ]
    await _insert(c, check_states, states)
    current = [
        {
            "tenant": tenant,
            "device": fleet.ids[at],
            "name": "software",
            "status": "ok",
            "reason": "",
            "hash": f"{at:064x}",
            "collected_at": stamp(now),
            "duration_ms": 100,
            "received_at": stamp(now),
            "body": fleet.bodies[at],
        }
        for at in part
    ]
    await _insert(c, sections, current)
    changes = []
    for at in part:
        for step in range(_UPGRADES):
            then = stamp(now - timedelta(days=30 - 2 * step, minutes=at % 600))
            changes.append(
                {
                    "tenant": tenant,
                    "device": fleet.ids[at],
                    "name": "software",
                    "hash": f"{step:064x}",
                    "status_before": "ok",
                    "status": "ok",
                    "collected_at": then,
                    "received_at": then,
                    "added": _IN_ONE,
                    "removed": _IN_ONE,
                    "body": fleet.upgrades[(at + 7 * step) % len(fleet.upgrades)],
                }
            )
    await _insert(c, section_changes, changes)
