"""When sections are looked at, what goes over the link for them, what policy holds back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from farhand_agent import inventory_upload
from farhand_agent.config import Home, load_settings
from farhand_agent.inventory.catalogue import CATALOGUE, INTERVALS_S, PACES, of_pace
from farhand_agent.inventory_report import inventory_policy
from farhand_agent.inventory_upload import MAX_BATCH_SECTIONS, InventoryUpload
from farhand_agent.journal import Journal
from farhand_agent.journal_thread import JournalThread
from farhand_protocol.messages import Ack, ReportSections, encode_message
from farhand_protocol.trust import GroupPolicy
from tests.agent.organisation import Organisation
from tests.agent.relay import TestRelay

HASH = "0123456789abcdef" * 4


class Device:
    """Plays the child that collects and the link that carries; keeps what both were asked for."""

    def __init__(self) -> None:
        self.hashes = dict.fromkeys(CATALOGUE, HASH)
        self.asked: list[list[str]] = []
        self.sent: list[ReportSections] = []

    async def request(self, make: Callable[[int], ReportSections]) -> Ack:
        self.sent.append(make(len(self.sent)))
        return Ack(seq=len(self.sent) - 1)

    def child(self, module: str) -> _Child:
        assert module == "farhand_agent.inventory_report"
        return _Child(self)


class _Child:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._frames: list[dict[str, Any]] = []

    async def __aenter__(self) -> _Child:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def send(self, request: dict[str, Any]) -> None:
        names = request["names"]
        self._device.asked.append(names)
        hashes = {name: self._device.hashes[name] for name in names}
        for name in names:
            if request["known"].get(name) != hashes[name]:
                one = {"name": name, "hash": hashes[name], "blob": b"x" * 1000}
                self._frames.append({"section": one})
        self._frames.append({"done": {"hashes": hashes}})

    async def receive(self) -> dict[str, Any] | None:
        return self._frames.pop(0) if self._frames else None


@pytest.fixture
async def upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[InventoryUpload, Device]]:
    device = Device()
    monkeypatch.setattr(inventory_upload, "Child", device.child)
    journal = JournalThread(Journal(tmp_path / "journal.db", create=True))
    yield InventoryUpload(Home.at(tmp_path), journal, 3600, lambda: 0.0), device
    journal.close()


async def reported(upload: InventoryUpload, device: Device, times: int) -> None:
    """Let it report until it asked for so many collections."""
    task = asyncio.ensure_future(upload.report_on(device))  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        while len(device.asked) < times or not device.sent:
            await asyncio.sleep(0)
        # The journal takes what was acknowledged after the last message.
        while len(await upload._journal.do(lambda j: j.section_hashes())) < len(CATALOGUE):
            await asyncio.sleep(0)
        while min(upload._next_at.values()) == 0:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_first_report_has_everything_in_messages_that_a_relay_takes(
    upload: tuple[InventoryUpload, Device],
) -> None:
    uploading, device = upload
    await reported(uploading, device, 1)
    assert device.asked == [sorted(CATALOGUE)]
    assert all(len(one.changed) <= MAX_BATCH_SECTIONS for one in device.sent)
    assert sum(len(one.changed) for one in device.sent) == len(CATALOGUE)
    assert {name for one in device.sent for name in one.hashes} == set(CATALOGUE)


async def test_each_pace_comes_again_in_its_own_time(
    upload: tuple[InventoryUpload, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    uploading, device = upload
    await reported(uploading, device, 1)
    now = asyncio.get_running_loop().time()
    for pace in PACES:
        # With no luck in the splay it is nine tenths of the interval.
        assert uploading._next_at[pace] - now == pytest.approx(INTERVALS_S[pace] * 0.9, abs=20)
    device.sent.clear()
    uploading._next_at["security"] = 0.0
    await reported(uploading, device, 2)
    assert device.asked[1] == sorted(of_pace("security"))
    # Nothing changed: names and short hashes, in less than a kilobyte.
    assert {name for one in device.sent for name in one.hashes} == set(of_pace("security"))
    for message in device.sent:
        assert message.changed == []
        assert all(len(one) == 16 for one in message.hashes.values())
        assert len(encode_message(message)) < 1024


async def test_what_changed_is_sent_whole_and_the_rest_by_hash(
    upload: tuple[InventoryUpload, Device],
) -> None:
    uploading, device = upload
    await reported(uploading, device, 1)
    device.sent.clear()
    device.hashes["usage"] = "f" * 64
    uploading._next_at["volatile"] = 0.0
    await reported(uploading, device, 2)
    changed, rest = device.sent
    assert (len(changed.changed), set(changed.hashes)) == (1, {"usage"})
    assert (rest.changed, set(rest.hashes)) == ([], set(of_pace("volatile")) - {"usage"})


async def test_what_the_relay_lacks_is_sent_alone(upload: tuple[InventoryUpload, Device]) -> None:
    uploading, device = upload
    await reported(uploading, device, 1)
    device.sent.clear()
    await uploading.resend(["cpu", "surprise"])
    await reported(uploading, device, 2)
    assert device.asked[1] == ["cpu"]
    (message,) = device.sent
    assert (len(message.changed), set(message.hashes)) == (1, {"cpu"})


def test_every_pace_fits_one_message_that_says_nothing_changed() -> None:
    for pace in PACES:
        names = of_pace(pace)
        for start in range(0, len(names), MAX_BATCH_SECTIONS):
            part = dict.fromkeys(names[start : start + MAX_BATCH_SECTIONS], HASH[:16])
            assert len(encode_message(ReportSections(seq=2**32, changed=[], hashes=part))) < 1024


async def test_policy_of_the_organisation_and_of_the_device_hold_back(
    organisation: Organisation, relay: TestRelay, enrolled: Home
) -> None:
    settings = load_settings(enrolled)
    rules = inventory_policy(enrolled, settings)
    assert (rules.inventory_personal, rules.inventory_sections) == (True, [])
    enrolled.policy.write_text("inventory_personal = false\n")
    assert inventory_policy(enrolled, settings).inventory_personal is False
    # One that cannot be read must not tell more than one that could be.
    enrolled.policy.write_text("inventory_personal = maybe\n")
    assert inventory_policy(enrolled, settings).inventory_personal is False
    enrolled.policy.write_text("inventory_sections = ['processes']\n")
    assert inventory_policy(enrolled, settings).inventory_sections == []


def test_a_device_without_a_trust_root_goes_by_its_own_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from farhand_agent import inventory_report

    monkeypatch.setattr(inventory_report, "load_verified", lambda home: None)
    home, settings = Home.at(tmp_path), object()
    whole = inventory_policy(home, settings)  # type: ignore[arg-type]
    assert whole == GroupPolicy()
    home.policy.write_text("inventory_personal = false\n")
    assert inventory_policy(home, settings).inventory_personal is False  # type: ignore[arg-type]
