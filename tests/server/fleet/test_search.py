"""Software found over the fleet, and history over HTTP, on both stores."""

from __future__ import annotations

import asyncio
import random
import zlib
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from farhand_protocol.errors import FarhandError
from farhand_server.fleet.packages import number_versions
from farhand_server.fleet.software_index import (
    BLOCK_BITS,
    decode_bits,
    devices_with,
    encode_bits,
    fold,
    forget_unused,
    numbers_in,
    write_bits,
)
from farhand_server.fleet.versions import satisfies
from farhand_server.relay import Relay
from farhand_server.store.schema import package_versions, packages, software_moves
from tests.server.fleet.conftest import MakeDevice
from tests.server.relays import ManualClock, SignIn

NAMES = ("openssl", "bash", "OpenSSH", "lib-a", "lib_b", "lib%c")
VERSIONS = ("1:0.5", "3.0.15-1~deb12u1", "3.0.17-1~deb12u1", "3.0.17-1", "3.0.9", "4~rc1")


def package(name: str, version: str) -> dict[str, Any]:
    return {"source": "dpkg", "name": name, "version": version, "arch": "amd64"}


async def names(web: httpx.AsyncClient, headers: dict[str, str], q: str) -> list[str]:
    answer = await web.get("/api/v1/devices", params={"q": q}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["items"]]


async def test_a_search_finds_what_a_look_at_each_device_would(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers = await sign_in("technician")
    chance = random.Random(11)
    devices = [await make_device(f"pc-{n}") for n in range(6)]
    has: dict[str, list[tuple[str, str]]] = {}
    for step in range(14):
        device = devices[step % len(devices)]
        chosen = [(name, chance.choice(VERSIONS)) for name in NAMES if chance.random() < 0.6]
        has[device.name] = chosen
        await device.report({"software": [package(*one) for one in chosen]})
        if step % 4 == 3:
            async with relay.db.write() as c:
                await fold(c, most=chance.choice([1, 5, 1_000]))
        operator, wanted = chance.choice(["<", "<=", "=", ">", "!="]), chance.choice(VERSIONS)
        for q, fits in (
            ("software:openssl", lambda n, v: n == "openssl"),
            (
                f'software:"openssl{operator}{wanted}"',
                lambda n, v, o=operator, w=wanted: n == "openssl" and satisfies("dpkg", v, o, w),
            ),
            ("software:OPEN*", lambda n, v: n.lower().startswith("open")),
            ("software:lib_b", lambda n, v: n == "lib_b"),
            ("software:lib%*", lambda n, v: n.startswith("lib%")),
        ):
            wanted_names = sorted(
                name for name, items in has.items() if any(fits(n, v) for n, v in items)
            )
            assert await names(web, headers, q) == wanted_names, (step, q)
    without = await names(web, headers, "-software:bash name:pc-*")
    assert without == sorted(
        name for name, items in has.items() if "bash" not in {n for n, _ in items}
    )


async def test_folding_takes_all_and_changes_nothing(relay: Relay, make_device: MakeDevice) -> None:
    device, other = await make_device("one"), await make_device("two")
    await device.report({"software": [package("bash", "1"), package("vim", "1")]})
    await other.report({"software": [package("bash", "1")]})
    await device.report({"software": [package("bash", "2")]})

    async def look() -> list[list[int]]:
        async with relay.db.read() as c:
            versions = list(await c.scalars(select(package_versions.c.id)))
            return [numbers_in(await devices_with(c, [one])) for one in versions]

    before = await look()
    assert sorted(map(len, before)) == [0, 1, 1]
    left = 1
    while left:
        async with relay.db.write() as c:
            await fold(c, most=2)
            left = int(await c.scalar(select(func.count()).select_from(software_moves)) or 0)
        assert await look() == before


async def test_folding_beside_reports_loses_nothing(relay: Relay, make_device: MakeDevice) -> None:
    devices = [await make_device(f"pc-{n}") for n in range(4)]

    async def report(at: int) -> None:
        for step in range(3):
            version = str(step) if at % 2 else "1"
            await devices[at].report({"software": [package("bash", version)]})

    async def keep() -> None:
        for _ in range(6):
            async with relay.db.write() as c:
                await fold(c, most=3)

    await asyncio.gather(*(report(at) for at in range(4)), keep(), keep())
    async with relay.db.read() as c:
        rows = await c.execute(select(package_versions.c.version, package_versions.c.id))
        found = {version: (await devices_with(c, [n])).bit_count() for version, n in rows.all()}
    assert found == {"0": 0, "1": 2, "2": 2}


async def test_what_nobody_has_is_forgotten(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    device, other = await make_device("one"), await make_device("two")
    await device.report({"software": [package(f"made-up-{n}", "1") for n in range(5)]})
    await other.report({"software": [package("bash", "1"), package("bash", "2")]})
    await device.report({"software": [package("bash", "2"), package("vim", "1")]})

    async def sweep() -> int:
        async with relay.db.write() as c:
            return await forget_unused(c)

    assert await sweep() == 0, "what moved is not folded yet"
    async with relay.db.write() as c:
        await fold(c)
    assert await sweep() == 5
    assert await sweep() == 0
    async with relay.db.read() as c:
        assert sorted(await c.scalars(select(packages.c.name))) == ["bash", "vim"]
    headers = await sign_in("technician")
    assert await names(web, headers, "software:bash") == ["one", "two"]
    section = await web.get(f"/api/v1/devices/{other.id}/sections/software", headers=headers)
    assert len(section.json()["items"]) == 2
    await device.report({"software": [package("made-up-1", "1")]})
    assert await names(web, headers, "software:made-up-*") == ["one"]


async def test_a_version_that_is_forgotten_meanwhile_is_reported_again(
    relay: Relay, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await make_device("one")

    async def gone_meanwhile(c: Any, *, tenant: str, details: Any) -> Any:
        found = await number_versions(c, tenant=tenant, details=details)
        await forget_unused(c)
        return found

    with monkeypatch.context() as patch:
        patch.setattr("farhand_server.fleet.sections.number_versions", gone_meanwhile)
        with pytest.raises(FarhandError, match="store-busy"):
            await device.report({"software": [package("bash", "1")]})
    await device.report({"software": [package("bash", "1")]})


@pytest.mark.parametrize("share", [0, 1, 50, 1200, 8191, 8192])
def test_what_hardly_shrinks_is_not_packed_and_packed_blocks_stay_readable(share: int) -> None:
    bits = sum(1 << place for place in random.Random(3).sample(range(BLOCK_BITS), share))
    stored = encode_bits(bits)
    assert decode_bits(stored) == bits
    plain = bits.to_bytes(BLOCK_BITS // 8, "little")
    # As all blocks were written before.
    assert decode_bits(zlib.compress(plain, 1)) == bits
    assert (stored == b"\0" + plain) == (share == 1200)


async def test_devices_beyond_the_first_block(relay: Relay, make_device: MakeDevice) -> None:
    device = await make_device("one")
    await device.report({"software": [package("bash", "1")]})
    async with relay.db.write() as c:
        version = int(await c.scalar(select(package_versions.c.id)) or 0)
        await fold(c)
        await write_bits(c, {(version, 2): encode_bits(1 << 5)})
    async with relay.db.read() as c:
        assert numbers_in(await devices_with(c, [version])) == [1, 2 * 8192 + 5]


async def test_a_query_that_fits_too_much(
    web: httpx.AsyncClient,
    sign_in: SignIn,
    make_device: MakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farhand_server.fleet.software_search.MAX_VERSIONS_SEARCHED", 2)
    device = await make_device("one")
    await device.report({"software": [package(f"lib{n}", "1") for n in range(3)]})
    headers = await sign_in("technician")
    answer = await web.get("/api/v1/devices", params={"q": "software:lib*"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "query-too-wide")
    assert await names(web, headers, "software:lib1") == ["one"]


# History and differences.


async def test_history_tells_each_change_and_pages(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice, clock: ManualClock
) -> None:
    headers = await sign_in("auditor")
    device = await make_device("kiosk")
    for n in range(4):
        clock.advance(60)
        await device.report({"software": [package("bash", str(n))], "os": [{"name": f"os {n}"}]})
    clock.advance(60)
    await device.report({"os": []}, status="timeout")
    clock.advance(60)
    await device.report({"os": [{"name": "os 9"}]})
    url = f"/api/v1/devices/{device.id}/history"
    seen: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = (await web.get(url, params=params, headers=headers)).json()
        seen += page["items"]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert len(seen) == 10
    assert [one["seq"] for one in seen] == sorted((one["seq"] for one in seen), reverse=True)
    assert [one["status"] for one in seen[:2]] == ["ok", "timeout"]
    back = seen[0]["changes"]
    assert [(c["before"]["name"], c["after"]["name"]) for c in back] == [("os 3", "os 9")]
    only = (await web.get(url, params={"section": "software"}, headers=headers)).json()["items"]
    assert [(one["added_count"], one["is_first"]) for one in only] == [
        (1, False), (1, False), (1, False), (1, True)
    ]  # fmt: skip
    assert only[0]["changes"][0]["identity"] == "dpkg bash amd64"
    shown = await web.get(f"/api/v1/devices/{device.id}/sections/os", headers=headers)
    assert shown.json()["items"] == [{"name": "os 9"}]


async def test_a_difference_since_a_ticket_in_pages(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice, clock: ManualClock
) -> None:
    headers = await sign_in("technician")
    device = await make_device("kiosk")
    await device.report({"software": [package(f"lib{n}", "1") for n in range(5)]})
    clock.advance(60)
    new = {"title": "it broke", "device": device.id}
    ticket = (await web.post("/api/v1/tickets", headers=headers, json=new)).json()["number"]
    clock.advance(60)
    await device.report({"software": [package(f"lib{n}", "2") for n in range(5)]})
    url = f"/api/v1/devices/{device.id}/diff"
    params: dict[str, Any] = {"since": ticket, "limit": 2}
    versions: list[str] = []
    pages = 0
    while True:
        page = (await web.get(url, params=params, headers=headers)).json()
        pages += 1
        for item in page["items"]:
            assert item["changed_count"] == 5
            versions += [one["after"]["version"] for one in item["changed"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
        # What is reported meanwhile does not disturb the pages.
        await device.report({"software": [package("lib0", f"3.{pages}")]})
    assert (versions, pages) == (["2"] * 5, 3)
    for since, code in (("FH-999", "not-found"), ("s-aaaaaaaaaaaaaaaa", "not-found")):
        answer = await web.get(url, params={"since": since}, headers=headers)
        assert answer.json()["code"] == code
