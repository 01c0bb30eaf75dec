"""alert, device maintenance and device probe: what is asked of the relay, and what is shown."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest

from farhand_console.cli import base, entry
from farhand_console.cli.maintenance import parse_span
from farhand_protocol.errors import UsageError

ALERT = {
    "id": "al-1",
    "fingerprint": "ab" * 16,
    "device": "d-1",
    "device_name": "reception\x1b[2J",
    "check": "disk.space",
    "subject": "",
    "state": "open",
    "severity": "critical",
    "told": "unknown",
    "summary": "/ is full\x1b[31m",
    "value": 97.0,
    "unit": "percent",
    "opened_at": "2026-11-22T12:00:00.000000Z",
    "changed_at": "2026-11-22T12:00:00.000000Z",
    "closed_at": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "ticket": None,
    "withheld": "limit",
    "flaps": 3,
    "flapping": True,
    "newer": "left out",
}
COUNTS = {"warning": 2, "critical": 1, "blind_spots": 4, "acknowledged": 0, "in_maintenance": 0}
IN_MAINTENANCE = {
    "device": "d-1",
    "until": "2026-11-22T14:00:00.000000Z",
    "reason": "new disk",
    "set_by": "ann",
    "set_at": "2026-11-22T12:00:00.000000Z",
}
PROBE = {
    "id": "rp-1",
    "device": "ag-1",
    "kind": "tls",
    "port": None,
    "every_s": 3600,
    "next_at": "2026-11-22T12:00:00.000000Z",
    "state": "",
    "summary": "",
    "value": None,
    "unit": None,
    "since": "2026-11-22T12:00:00.000000Z",
}


class FakeRelay:
    """Answers by path and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {
            "/alerts": {"items": [ALERT], "next": None},
            "/alerts/counts": COUNTS,
            "/alerts/al-1": ALERT,
            "/alerts/al-1/acknowledge": ALERT | {"state": "acknowledged"},
            "/devices/desk/maintenance": IN_MAINTENANCE,
            "/devices/desk/maintenance/end": IN_MAINTENANCE | {"until": None},
            "/devices/shop/probes": {"items": [PROBE], "next": None},
            "/devices/shop/probes/rp-1/remove": {"items": [], "next": None},
        }

    def get(self, path: str, kind: Any, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        self.asked.append(("GET", path, given))
        return msgspec.convert(self.answers[path], kind)

    def post(self, path: str, kind: Any, body: Any = None) -> Any:
        self.asked.append(("POST", path, body))
        return msgspec.convert(self.answers[path], kind)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> FakeRelay:
    made = FakeRelay()
    monkeypatch.setattr(base, "connect_signed_in", lambda home: (None, made))
    return made


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["farhand", *words])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


def test_a_list_shows_what_is_wrong_and_what_is_not_known(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "alert", "list", "--device", "desk") == 0
    shown = capfd.readouterr()
    assert "disk.space" in shown.out
    assert "comes and goes" in shown.out
    assert "not known any more" in shown.out
    assert "\x1b" not in shown.out
    assert "4 blind spots" in shown.err
    assert relay.asked[0] == ("GET", "/alerts", {"state": "live", "device": "desk", "limit": 100})
    assert run(monkeypatch, "alert", "list", "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["items"][0]["id"] == "al-1"
    assert answer["next"] is None


def test_one_alert_and_its_acknowledgement(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "alert", "show", "al-1") == 0
    assert "too many of this device today" in capfd.readouterr().out
    assert run(monkeypatch, "alert", "acknowledge", "al-1", "--note", "mine") == 0
    assert "acknowledged" in capfd.readouterr().out
    assert relay.asked[-1] == ("POST", "/alerts/al-1/acknowledge", {"note": "mine"})


@pytest.mark.parametrize(
    ("words", "asked", "shown"),
    [
        ((), ("GET", "/devices/desk/maintenance", {}), "until 2026-11-22T14"),
        (
            ("--for", "2h", "--reason", "x"),
            ("POST", "/devices/desk/maintenance", {"until": None, "reason": "x", "for_s": 7200}),
            "new disk",
        ),
        (
            ("--until", "2026-11-22T14:00:00Z"),
            ("POST", "/devices/desk/maintenance", {"until": "2026-11-22T14:00:00Z", "reason": ""}),
            "set by ann",
        ),
        (("--end",), ("POST", "/devices/desk/maintenance/end", None), "not in maintenance"),
    ],
)
def test_maintenance(
    relay: FakeRelay,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    asked: tuple[str, str, Any],
    shown: str,
) -> None:
    assert run(monkeypatch, "device", "maintenance", "desk", *words) == 0
    assert relay.asked == [asked]
    assert shown in capfd.readouterr().out


def test_probes(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "device", "probe", "shop", "--add", "tls", "--every", "1h") == 0
    assert "60 min" in capfd.readouterr().out
    assert run(monkeypatch, "device", "probe", "shop", "--remove", "rp-1") == 0
    assert run(monkeypatch, "device", "probe", "shop") == 0
    assert relay.asked == [
        ("POST", "/devices/shop/probes", {"kind": "tls", "port": None, "every_s": 3600}),
        ("POST", "/devices/shop/probes/rp-1/remove", None),
        ("GET", "/devices/shop/probes", {}),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("device", "maintenance", "desk", "--for", "2h", "--end"),
        ("device", "maintenance", "desk", "--for", "2 hours"),
        ("device", "probe", "shop", "--add", "tls", "--remove", "rp-1"),
        ("device", "probe", "shop", "--add", "shell"),
        ("alert", "list", "--state", "weird"),
    ],
)
def test_what_cannot_be_meant(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *words) == 2
    assert relay.asked == []


def test_a_length_of_time() -> None:
    assert [parse_span(text) for text in ("90m", "2h", "1d")] == [5400, 7200, 86_400]
    for text in ("", "0m", "2", "m", "2w", "-1h", "1h ", "\u0661h"):
        with pytest.raises(UsageError, match="usage"):
            parse_span(text)
