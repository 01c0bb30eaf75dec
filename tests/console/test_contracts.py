"""contract, time, report, survey: what is asked of the relay, what is shown, what is escaped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farhand_console.cli import base, entry
from farhand_console.cli.contract import money
from farhand_console.cli.durations import hours, read_hours, read_minutes
from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.contracts.formats import format_money

BALANCE = {
    "period_from": "2026-11-01", "period_to": "2026-12-01", "available_s": 36_000,
    "used_s": 1800, "balance_s": 34_200, "percent": 5,
}  # fmt: skip
TERMS = {"kind": "block", "grant_s": 36_000, "title": "Gold\x1b[2J", "rate_minor": 9000}
COVER = {
    "contract": "gold\x1b[2J", "title": "", "kind": "block", "organisation": None,
    "overage": "deny", "rate_minor": 0, "currency": "EUR", "balance": BALANCE, "refuses": False,
}  # fmt: skip


class FakeRelay:
    """Answers by path and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {
            "/contracts/gold": {"name": "gold", "version": 2, "terms": TERMS},
            "/contracts/gold/balance": BALANCE,
            "/contracts/gold/adjust": BALANCE,
            "/contracts/cover": COVER,
            "/surveys/settings": {"on": True},
            "/reports/readers/of/acme": {"addresses": ["b@x.example"], "language": "de"},
        }
        self.file = b"Date\r\n2026-11-22\r\n\x1b[2J\r\n"

    def _answer(self, path: str, kind: Any) -> Any:
        if path not in self.answers:
            raise FarhandError("not-found", f"there is no {path}")
        return msgspec.convert(self.answers[path], kind)

    def get(self, path: str, kind: Any, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        self.asked.append(("GET", path, given))
        return self._answer(path, kind)

    def post(self, path: str, kind: Any, body: Any = None) -> Any:
        self.asked.append(("POST", path, msgspec.to_builtins(body)))
        return self._answer(path, kind)

    def get_bytes(self, path: str, *, wait_s: float = 60.0) -> bytes:
        self.asked.append(("GET", path, None))
        return self.file

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


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 36_000), ("7:30", 27_000), ("-2", -7200), ("0:05", 300)]
)
def test_hours_are_read_and_written(text: str, seconds: int) -> None:
    assert read_hours(text) == seconds
    assert read_hours(hours(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("25", 1500), ("25m", 1500), ("1h30m", 5400), ("90s", 90), ("2h", 7200)]
)
def test_minutes_are_read(text: str, seconds: int) -> None:
    assert read_minutes(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "7:60", "1.5", "--2", "\u0663"])
def test_what_is_no_time_is_refused(text: str) -> None:
    for read in (read_hours, read_minutes):
        with pytest.raises(UsageError):
            read(text)


def test_what_is_not_given_of_a_contract_stays(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--overage", "bill", "--step", "15m", "--sla", "none", "--roll-over", "2")
    assert run(monkeypatch, "contract", "set", "gold", *words) == 0
    _, path, sent = relay.asked[-1]
    assert path == "/contracts/gold"
    assert (sent["grant_s"], sent["rate_minor"], sent["kind"]) == (36_000, 9000, "block")
    changed = {name: sent[name] for name in ("overage", "step_s", "policy", "rollover_s")}
    assert changed == {"overage": "bill", "step_s": 900, "policy": None, "rollover_s": 7200}
    assert run(monkeypatch, "contract", "set", "new", "--hours", "1") == 2
    assert run(monkeypatch, "contract", "show", "gold") == 0
    assert "\x1b" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (-123_405, "EUR", "-1234.05 EUR"),
        (10_000, "JPY", "10000 JPY"),
        (-5, "KWD", "-0.005 KWD"),
    ],
)
def test_money_has_the_digits_of_its_currency_as_in_the_relays_documents(
    minor: int, currency: str, text: str
) -> None:
    assert money(minor, currency) == text
    assert format_money(minor, currency, "xx").replace(",", "") == text.replace(" ", "\u00a0")


def test_a_correction_names_only_what_it_changes(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        "id": "e-1", "ticket": "FH-1", "account": "ann", "session": None, "started_at": "2026",
        "ended_at": "2026", "active_s": 60, "note": "",
    }  # fmt: skip
    relay.answers["/time-entries/e-1/reverse"] = {"reversal": wrong, "right": None}
    correct = ("time", "correct", "e-1", "--reason", "wrong")
    assert run(monkeypatch, *correct) == 0
    assert run(monkeypatch, *correct, "--hide", "--not-billable") == 0
    nothing, right = [body for _, _, body in relay.asked]
    assert nothing == {"reason": "wrong", "right": None}
    assert right["right"] == {
        "active_s": None, "note": None, "activity": None, "billable": False,
        "customer_visible": False,
    }  # fmt: skip


def test_a_ticket_whose_contract_nobody_chose_is_said_to_be_included(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    relay.answers["/tickets/FH-5/contract"] = {"number": "FH-5", "contract": None}
    assert run(monkeypatch, "contract", "assign", "FH-5", "auto") == 0
    assert capfd.readouterr().out == "FH-5  included\n"


def test_a_balance_and_an_adjustment(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "contract", "balance", "gold") == 0
    assert "9:30" in capfd.readouterr().out
    assert run(monkeypatch, "contract", "balance", "gold", "--json") == 0
    assert json.loads(capfd.readouterr().out) == BALANCE
    assert run(monkeypatch, "contract", "adjust", "gold", "--hours", "-2", "--reason", "x") == 0
    assert relay.asked[-1][2] == {"seconds": -7200, "reason": "x"}


def test_what_is_left_is_said_before_a_session(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # The opening itself fails: there is no key here.
    assert run(monkeypatch, "session", "open", "--device", "laptop", "--ticket", "FH-1") != 0
    assert relay.asked[0] == ("GET", "/contracts/cover", {"ticket": "FH-1", "device": "laptop"})
    said = capfd.readouterr().err
    assert "9:30 of 10:00 left until 2026-12-01" in said
    assert "\x1b" not in said
    relay.answers["/contracts/cover"] = COVER | {"kind": "included", "balance": None}
    run(monkeypatch, "session", "open", "--device", "laptop")
    assert "contract" not in capfd.readouterr().err


def test_files_are_written_and_surveys_set(
    relay: FakeRelay,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "month.csv"
    words = ("--month", "2026-11", "--organisation", "a&b", "--format", "csv", "--out", str(out))
    assert run(monkeypatch, "report", "month", *words) == 0
    assert out.read_bytes() == relay.file
    assert relay.asked[-1][1] == (
        "/reports/month/2026-11?format=csv&language=en&organisation=a%26b"
    )
    assert run(monkeypatch, "report", "time", "--month", "2026-11", "--format", "csv") == 0
    assert capfd.readouterr().out.encode() == relay.file.replace(b"\r\n", b"\r\n")
    gone = ("--month", "2026-11", "--format", "csv", "--out", str(tmp_path / "no" / "x"))
    assert run(monkeypatch, "report", "time", *gone) == 1
    assert run(monkeypatch, "survey", "settings", "--off", "--delay", "4") == 0
    assert relay.asked[-1][2] == {
        "on": False, "delay_s": 14_400, "calendar": None, "every_days": 7,
    }  # fmt: skip
    assert run(monkeypatch, "report", "readers", "acme") == 0
    assert run(monkeypatch, "report", "readers", "acme", "--to", "a@x", "--nobody") == 2
