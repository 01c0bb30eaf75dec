"""Inventory: stored once, history on change, packages normalised, nonsense refused."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import httpx
import pytest
from sqlalchemy import event, func, select

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import encode_section
from farhand_server.fleet.history import MAX_HISTORY
from farhand_server.fleet.sections import MAX_CHANGED, MAX_SECTIONS
from farhand_server.fleet.software_index import devices_with, fold
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    package_versions,
    packages,
    section_changes,
    sections,
)
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import section_report
from tests.server.relays import ManualClock, SignIn


def package(name: str, version: str = "1.0", **more: Any) -> dict[str, Any]:
    return {"source": "dpkg", "name": name, "version": version, "arch": "amd64", **more}


async def count(relay: Relay, table: Any) -> int:
    async with relay.db.read() as c:
        return int(await c.scalar(select(func.count()).select_from(table)) or 0)


async def installed(relay: Relay) -> int:
    """How many (device, version) pairs the index knows, whether folded or not."""
    async with relay.db.read() as c:
        versions = list(await c.scalars(select(package_versions.c.id)))
        return sum([(await devices_with(c, [one])).bit_count() for one in versions])


async def test_only_a_change_makes_history(relay: Relay, make_device: MakeDevice) -> None:
    device = await make_device()
    await device.report({"cpu": [{"model": "a"}], "os": [{"name": "Debian"}]})
    await device.report({"cpu": [{"model": "a"}]})
    assert await count(relay, section_changes) == 2
    await device.report({"cpu": [{"model": "b"}]})
    assert (await count(relay, section_changes), await count(relay, sections)) == (3, 2)


async def test_history_is_bounded(
    relay: Relay, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farhand_server.fleet.history.MAX_HISTORY", 3)
    assert MAX_HISTORY > 3
    device = await make_device()
    for n in range(6):
        await device.report({"cpu": [{"model": str(n)}], "os": [{"name": "x"}]})
    assert await count(relay, section_changes) == 3 + 1


async def test_what_is_missing_is_asked_for(make_device: MakeDevice) -> None:
    device = await make_device()
    sent = await device.report({"cpu": [{"model": "a"}]}, hashes={"os": "0" * 16})
    assert sent == [messages.Resend(sections=["os"])]
    assert await device.report({"os": [{"name": "Debian"}]}) == []


async def test_packages_are_kept_once_for_the_fleet(relay: Relay, make_device: MakeDevice) -> None:
    one, two = await make_device("one"), await make_device("two")
    await one.report({"software": [package("bash"), package("vim"), package("vim", "2.0")]})
    await two.report({"software": [package("bash"), package("curl")]})
    assert await count(relay, packages) == 3
    assert await count(relay, package_versions) == 4
    assert await installed(relay) == 5
    async with relay.db.write() as c:
        assert await fold(c) == 5
    await one.report({"software": [package("bash", "1.1")]})
    assert await count(relay, packages) == 3
    assert await installed(relay) == 3
    await two.report({"software": []}, status="timeout")
    assert await installed(relay) == 3, "a failed collection removes nothing"


async def test_a_long_list_costs_few_statements(relay: Relay, make_device: MakeDevice) -> None:
    device, other = await make_device("one"), await make_device("two")
    many = [package(f"lib{n}", f"{n}.0") for n in range(3_000)]
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    engine = relay.db._writer.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await device.report({"software": many})
        first = len(statements)
        statements.clear()
        await other.report({"software": many})
        second = len(statements)
        statements.clear()
        await device.report({"software": [*many[1:], package("lib0", "0.1")]})
        third = len(statements)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert first < 50, statements
    assert second < 40
    assert third < 20
    assert await count(relay, packages) == 3_000


async def test_two_devices_at_once_share_the_dictionary(
    relay: Relay, make_device: MakeDevice
) -> None:
    devices = [await make_device(f"pc-{n}") for n in range(4)]
    items = [package(f"lib{n}") for n in range(200)]
    await asyncio.gather(
        *(
            one.report({"software": items if n % 2 else items[::-1]})
            for n, one in enumerate(devices)
        )
    )
    assert await count(relay, packages) == 200
    assert await installed(relay) == 800


async def test_names_that_no_dictionary_takes_stay_in_the_section(
    relay: Relay, make_device: MakeDevice
) -> None:
    device = await make_device()
    odd = [package("nul\0name"), package("x" * 300), package("esc\x1b[2J"), package("fine")]
    await device.report({"software": odd})
    assert await count(relay, packages) == 1
    assert await count(relay, sections) == 1


@pytest.mark.parametrize(
    ("changed", "hashes", "code"),
    [
        ([b"not zlib"], {}, "inventory-malformed"),
        ([zlib.compress(b"[]")], {}, "inventory-malformed"),
        ([zlib.compress(b" " * 9_000_000)], {}, "inventory-too-large"),
        ([b"x"] * (MAX_CHANGED + 1), {}, "inventory-too-large"),
        ([], {f"s{n:03}": "0" * 16 for n in range(MAX_SECTIONS + 1)}, "inventory-too-large"),
        ([], {"../up": "0" * 16}, "inventory-malformed"),
        ([], {"cpu": "short"}, "inventory-malformed"),
    ],
)
async def test_nonsense_is_refused(
    relay: Relay,
    make_device: MakeDevice,
    changed: list[bytes],
    hashes: dict[str, str],
    code: str,
) -> None:
    device = await make_device()
    message = messages.ReportSections(seq=1, changed=changed, hashes=hashes)
    with pytest.raises(FarhandError, match=code):
        await device.intake.on_sections(device.link, message)
    assert await count(relay, sections) == 0


async def test_a_section_twice_or_one_too_many(relay: Relay, make_device: MakeDevice) -> None:
    device = await make_device()
    blob = encode_section(section_report(relay, "cpu", []))
    twice = messages.ReportSections(seq=1, changed=[blob, blob], hashes={})
    with pytest.raises(FarhandError, match="inventory-malformed"):
        await device.intake.on_sections(device.link, twice)
    for start in range(0, MAX_SECTIONS, MAX_CHANGED):
        await device.report({f"s{n:03}": [] for n in range(start, start + MAX_CHANGED)})
    with pytest.raises(FarhandError, match="inventory-too-large"):
        await device.report({"onemore": []})


async def test_sections_and_diff_over_http(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice, clock: ManualClock
) -> None:
    device = await make_device("kiosk")
    await device.report({"software": [package("bash", "1")], "cpu": [{"model": "a\0b"}]})
    clock.advance(3 * 86_400)
    headers = await sign_in("auditor")
    await device.report({"software": [package("bash", "2")]})
    base = f"/api/v1/devices/{device.id}"
    listed = (await web.get(f"{base}/sections", headers=headers)).json()
    assert [one["name"] for one in listed["items"]] == ["cpu", "software"]
    section = (await web.get(f"{base}/sections/cpu", headers=headers)).json()
    assert section["items"] == [{"model": "a\0b"}]
    assert (await web.get(f"{base}/sections/gpu", headers=headers)).status_code == 404
    for since, versions in (("2d", [("1", "2")]), ("7d", [("1", "2")]), ("0m", [])):
        answer = await web.get(f"{base}/diff", params={"since": since}, headers=headers)
        changed = [one for item in answer.json()["items"] for one in item["changed"]]
        found = [(c["before"]["version"], c["after"]["version"]) for c in changed]
        assert found == versions, since
    wrong = await web.get(f"{base}/diff", params={"since": "soon"}, headers=headers)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "since-invalid")


async def test_a_section_that_is_still_to_come(
    web: httpx.AsyncClient, sign_in: SignIn, make_device: MakeDevice
) -> None:
    headers = await sign_in("technician")
    device = await make_device()

    async def ask(name: str) -> tuple[int, str]:
        url = f"/api/v1/devices/{device.id}/sections/{name}"
        answer = await web.get(url, headers=headers)
        return answer.status_code, answer.json()["code"]

    assert await ask("cpu") == (404, "section-pending")
    assert await ask("No-Name!") == (404, "not-found")
    await device.report({"os": [{"name": "Debian"}]})
    assert await ask("cpu") == (404, "not-found")
