"""One turn of the schedules: journalled before it runs, sent only when a state changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.journal import Journal
from farhand_agent.standing.checking import Told, run_scheduled
from farhand_agent.standing.memory import Memory
from farhand_agent.standing.turn import take_turn
from farhand_protocol.instants import format_instant
from farhand_protocol.inventory import SectionReport, decode_section, section_hash
from farhand_protocol.schedules import ScheduledCheck, parse_schedules

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DISK = "disk: every 15m; checks disk.space warning_percent=80, cpu.load; confirm 2/3"


class Device:
    """A device whose checks say what they are told, and a relay that takes everything."""

    def __init__(self, path: Path, *lines: str) -> None:
        self.path = path
        self.lines = list(lines)
        self.now = NOON
        self.says = {"disk.space": "ok", "cpu.load": "ok"}
        self.ran: list[str] = []
        self.known: dict[str, str] = {}
        self.notes: list[str] = []
        self.next: float | None = None
        self.journal = Journal(path / "journal.db", create=True)

    def run(self, home: Path, scheduled: Sequence[ScheduledCheck]) -> list[Told]:
        self.ran += [one.id for one in scheduled]
        return [
            Told(self.says[one.id], f"{self.says[one.id]} at {self.now}", 1.0, "percent")  # type: ignore[arg-type]
            for one in scheduled
        ]

    def collect(self, names: Sequence[str]) -> dict[str, SectionReport]:
        self.ran += names
        return {
            name: SectionReport(
                name, "ok", "", [], section_hash("ok", []), format_instant(self.now), 1
            )
            for name in names
        }

    def turn(self, **wait: float) -> list[SectionReport]:
        """Wait, take a turn, and return the sections that were sent."""
        self.now += timedelta(**wait)
        sent = []
        for frame in self.frames():
            match frame:
                case {"section": section}:
                    sent.append(decode_section(section["blob"]))
                    self.known[section["name"]] = section["hash"]
                case {"note": words}:
                    self.notes.append(words)
                case {"done": {"next": due}}:
                    self.next = due
        return sent

    def frames(self) -> Iterator[dict[str, Any]]:
        return take_turn(
            self.path,
            self.journal,
            parse_schedules(self.lines),
            device="d-1",
            known=self.known,
            clock=lambda: self.now,
            run=self.run,
            collect=self.collect,
            zones=_utc,
        )

    def log(self) -> list[str]:
        return [one.kind for one in self.journal.latest_log_records(100)]


def _utc(name: str) -> tzinfo:
    return UTC


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path, DISK)
    yield made
    made.journal.close()


def states(report: SectionReport) -> dict[str, str]:
    return {one["id"]: one["state"] for one in report.items}


def test_only_a_change_of_state_is_sent(device: Device) -> None:
    assert device.turn() == []
    assert device.next == (NOON + timedelta(minutes=15)).timestamp()
    (first,) = device.turn(minutes=15)
    assert states(first) == {"cpu.load": "ok", "disk.space": "ok"}
    device.says["disk.space"] = "critical"
    assert device.turn(minutes=15) == []
    (breach,) = device.turn(minutes=15)
    assert states(breach) == {"cpu.load": "ok", "disk.space": "critical"}
    (item,) = [one for one in breach.items if one["id"] == "disk.space"]
    assert item == {
        "id": "disk.space",
        "state": "critical",
        "summary": f"critical at {device.now}",
        "value": 1.0,
        "unit": "percent",
        "since": format_instant(device.now),
    }
    assert [device.turn(minutes=15) for _ in range(5)] == [[]] * 5
    device.says["disk.space"] = "ok"
    assert [bool(device.turn(minutes=15)) for _ in range(4)] == [False, False, True, False]
    assert device.ran.count("disk.space") == 12
    assert device.log().count("check-changed") == 4
    assert "check disk.space: ok -> critical" in device.notes


def test_what_is_due_is_journalled_before_it_runs(device: Device) -> None:
    device.turn()
    device.now += timedelta(minutes=15)

    def cut_off(home: Path, scheduled: Sequence[ScheduledCheck]) -> list[Told]:
        mark = Memory.load(device.journal).marks["disk"]
        assert mark.handled == format_instant(device.now)
        raise KeyboardInterrupt

    device.run, run = cut_off, device.run  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        list(device.frames())
    device.run = run  # type: ignore[method-assign]
    assert device.turn() == []
    assert device.ran == []
    assert len(device.turn(minutes=15)) == 1


def test_missed_times_as_declared(device: Device) -> None:
    device.lines = [
        "once: daily 03:00; checks disk.space",
        "skip: daily 03:00; checks cpu.load; misfire skip",
    ]
    device.turn()
    device.turn(days=3)
    assert device.ran == ["disk.space"]
    assert device.log().count("schedule-missed") == 1
    device.turn(minutes=1)
    assert device.ran == ["disk.space"]


def test_sections_of_the_inventory_travel_when_they_changed(device: Device) -> None:
    device.lines = ["night: daily 03:00; inventory software, updates"]
    assert device.turn() == []
    assert [one.name for one in device.turn(days=1)] == ["software", "updates"]
    assert device.turn(days=1) == []
    assert device.ran == ["software", "updates"] * 2


def test_a_policy_without_schedules_empties_the_section(device: Device) -> None:
    device.turn()
    device.turn(minutes=15)
    device.lines = []
    (emptied,) = device.turn()
    assert emptied.items == []
    assert device.next is None
    assert Memory.load(device.journal) == Memory()


def test_a_device_without_schedules_sends_nothing(tmp_path: Path) -> None:
    device = Device(tmp_path)
    assert device.turn() == []
    device.journal.close()


def test_memory_of_another_version_is_forgotten(device: Device) -> None:
    device.journal.set_meta("standing", '{"marks": 7}')
    assert device.turn() == []
    assert device.turn(minutes=15) != []


def test_the_same_check_for_several_subjects_and_what_no_agent_has(tmp_path: Path) -> None:
    scheduled = [
        ScheduledCheck("disk.space"),
        ScheduledCheck("no.such.check"),
        ScheduledCheck("cpu.load", (("no_such_parameter", 1.0),)),
        ScheduledCheck("disk.space", (("no_such_parameter", "x"),)),
        ScheduledCheck("disk.space", (("critical_percent", 5.0), ("warning_percent", 6.0))),
        ScheduledCheck("memory.pressure"),
    ]
    told = run_scheduled(tmp_path, scheduled)
    assert told[0].state in ("ok", "warning", "critical")
    assert [one.state for one in told[1:5]] == ["unknown"] * 4
    assert "no check" in told[1].summary
    assert "beyond" in told[4].summary
    assert told[5].state in ("ok", "warning", "critical", "unsupported")
