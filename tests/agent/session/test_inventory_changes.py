"""What differs between two looks at this computer, and what is not looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farhand_agent.inventory.registry import sections
from farhand_agent.session import inventory_changes
from farhand_agent.session.inventory_changes import (
    MAX_CHANGES,
    InventoryChanges,
    _Section,
    compare_sections,
)
from farhand_protocol.inventory import WITHHELD


def package(name: str, version: str = "1", **more: Any) -> dict[str, Any]:
    return {"source": "dpkg", "name": name, "arch": "all", "version": version, **more}


def software(*items: dict[str, Any], status: str = "ok") -> dict[str, _Section]:
    return {"software": _Section(status, list(items))}


def test_what_came_went_and_changed() -> None:
    before = software(package("kept"), package("gone"), package("old", "1"))
    after = software(package("old", "2"), package("kept"), package("new"))
    [found] = compare_sections(before, after)
    assert [one["name"] for one in found["added"]] == ["new"]
    assert [one["name"] for one in found["removed"]] == ["gone"]
    assert [(one["before"]["version"], one["after"]["version"]) for one in found["changed"]] == [
        ("1", "2")
    ]
    assert found["omitted"] == 0
    [same] = compare_sections(before, before)
    assert same["added"] == same["removed"] == same["changed"] == []


def test_two_of_one_name_are_two() -> None:
    one, two = package("kernel", "5"), package("kernel", "6")
    [found] = compare_sections(software(one), software(one, two))
    assert found["added"] == [two]
    assert found["changed"] == []


def test_a_section_that_could_not_be_read_is_not_an_empty_one() -> None:
    [found] = compare_sections(software(package("a")), software(status="timeout"))
    assert (found["status_before"], found["status_after"]) == ("ok", "timeout")
    assert found["removed"] == []


def test_many_changes_are_counted() -> None:
    many = [package(f"p{number}") for number in range(MAX_CHANGES + 7)]
    [found] = compare_sections(software(), software(*many))
    assert (len(found["added"]), found["omitted"]) == (MAX_CHANGES, 7)


def test_names_and_addresses_are_compared_and_not_told() -> None:
    def look(*names: str, address: str) -> dict[str, _Section]:
        cards = [{"record": "interface", "name": "eth0", "addresses": address, "state": "UP"}]
        accounts = [{"name": name, "uid": 1000, "shell": "/bin/sh"} for name in names]
        return {"network": _Section("ok", cards), "users": _Section("ok", accounts)}

    before, after = look("ada", "bob", address="192.0.2.1"), look("bob", "eve", address="192.0.2.2")
    network, users = compare_sections(before, after, personal=False)
    shown = msgspec.json.encode([network, users]).decode()
    assert not any(word in shown for word in ("ada", "bob", "eve", "192.0.2"))
    assert network["changed"][0]["after"]["addresses"] == WITHHELD
    assert network["changed"][0]["after"]["name"] == "eth0"
    account = {"name": WITHHELD, "uid": 1000, "shell": "/bin/sh"}
    assert (users["added"], users["removed"], users["changed"]) == ([account], [account], [])


@pytest.mark.parametrize("platform", ["linux", "windows", "macos"])
def test_what_is_personal_here_is_what_the_collectors_call_so(platform: str) -> None:
    for name, watched in inventory_changes._SECTIONS.items():
        personal = sections(platform, [name])[name].personal
        looked_at = {*watched.identity, *watched.compared}
        assert set(watched.personal) == looked_at & set(personal)


class Computer:
    """Stands for the inventory's process."""

    def __init__(self) -> None:
        self.items = [{"source": "dpkg", "name": "bash", "version": "5", "size_bytes": 1}]
        self.section: tuple[str, dict[str, Any]] | None = None
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def output(self, argv: list[str], nice: int) -> bytes:
        self.asked.append(argv[argv.index("--section") + 1])
        await self.gate.wait()
        software = {"status": "ok", "reason": "", "items": self.items, "hash": "x"}
        name, section = self.section or ("software", software)
        return msgspec.json.encode({"device": None, "sections": {name: section}})


@pytest.fixture
async def computer(monkeypatch: pytest.MonkeyPatch) -> Computer:
    computer = Computer()
    monkeypatch.setattr(inventory_changes, "_output", computer.output)
    return computer


@asynccontextmanager
async def watching(
    path: Path, leave_out: tuple[str, ...] | None = (), *, keep: bool = False, personal: bool = True
) -> AsyncIterator[InventoryChanges]:
    async with asyncio.TaskGroup() as group:
        changes = InventoryChanges(
            path, leave_out, group, lambda: datetime.now(UTC), personal=personal
        )
        changes.begin()
        try:
            yield changes
        finally:
            await changes.close(keep=keep)


async def settled(path: Path) -> None:
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0)


async def test_a_session_is_told_what_it_changed(tmp_path: Path, computer: Computer) -> None:
    path = tmp_path / "s.before"
    async with watching(path, ("users",)) as changes:
        await settled(path)
        assert b"size_bytes" not in path.read_bytes()
        await asyncio.sleep(0)
        computer.items = [{"source": "dpkg", "name": "bash", "version": "6", "size_bytes": 2}]
        async with asyncio.timeout(20):
            while (found := await told(changes))["changes"] is None:
                await asyncio.sleep(0)
    [section] = found["changes"]["sections"]
    assert section["changed"][0]["after"] == {"source": "dpkg", "name": "bash", "version": "6"}
    assert computer.asked == ["network,services,software"] * 2
    assert not path.exists()


async def told(changes: InventoryChanges) -> dict[str, Any]:
    changes.look_again()
    return await changes.found()


async def test_the_next_process_compares_with_the_first_look(
    tmp_path: Path, computer: Computer
) -> None:
    path = tmp_path / "s.before"
    async with watching(path, keep=True):
        await settled(path)
    computer.items = []
    async with watching(path) as changes, asyncio.timeout(20):
        while (found := await told(changes))["changes"] is None:
            await asyncio.sleep(0)
    assert [one["name"] for one in found["changes"]["sections"][0]["removed"]] == ["bash"]
    assert len(computer.asked) == 2


async def test_the_switch_of_policy_reaches_what_is_told(
    tmp_path: Path, computer: Computer
) -> None:
    def report(name: str) -> dict[str, Any]:
        return {"status": "ok", "reason": "", "items": [{"name": name}], "hash": "x"}

    path = tmp_path / "s.before"
    computer.section = ("users", report("ada"))
    async with watching(path, personal=False) as changes:
        await settled(path)
        computer.section = ("users", report("eve"))
        async with asyncio.timeout(20):
            while (found := await told(changes))["changes"] is None:
                await asyncio.sleep(0)
    [section] = found["changes"]["sections"]
    assert (section["added"], section["removed"]) == ([{"name": WITHHELD}], [{"name": WITHHELD}])


async def test_a_guest_is_not_looked_at(tmp_path: Path, computer: Computer) -> None:
    async with watching(tmp_path / "s.before", None) as changes:
        found = await told(changes)
    assert found == {"changes": None, "why": "this device's inventory is not compared"}
    assert computer.asked == []


async def test_nothing_waits_for_a_first_look(tmp_path: Path, computer: Computer) -> None:
    computer.gate.clear()
    async with watching(tmp_path / "s.before") as changes:
        found = await told(changes)
        assert found["changes"] is None
        assert "before" in found["why"]
