"""Waiting for others' approval: lost answers, time that is over, and a console that is stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from farhand_console.cli import joining
from farhand_console.home import Home
from farhand_console.relay.answers import Session
from farhand_console.session.approvals import (
    await_approvals,
    check_may_approve,
    withdrawn_when_stopped,
)
from farhand_protocol.errors import FarhandError, RefusedError
from tests.console.organisation import Organisation, settings
from tests.protocol.samples import grant

SESSION = "s-aaaaaaaaaaaaaaaa"
OFFER, END, ROW = (f"/sessions/{SESSION}{part}" for part in ("/offer", "/end", ""))


def session(state: str, reason: str = "") -> Session:
    return Session(
        session=SESSION,
        device="d-1",
        operator="tess",
        state=state,
        reason=reason,
        scopes=["terminal"],
        active_s=0,
    )


class Scripted:
    """A relay that answers from a list: a state, or the code of an error."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def _next(self, path: str) -> Any:
        self.asked.append(path)
        if path == END:
            return session("ended")
        answer = self.answers.pop(0)
        if answer in ("waiting", "asked", "active", "refused", "ended"):
            return session(answer)
        raise FarhandError(answer, answer)

    def post(self, path: str, kind: Any, body: Any = None, *, wait_s: float = 0) -> Any:
        return self._next(path)

    def get(self, path: str, kind: Any, **_: Any) -> Any:
        return self._next(path)


def waited(relay: Any, *, minutes: float = 60, pause: Callable[[float], None] | None = None) -> str:
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    told = await_approvals(
        relay,
        SESSION,
        needed=1,
        until=until,
        say=lambda _: None,
        pause=pause or (lambda _: None),
    )
    return told.state


@pytest.mark.parametrize("state", ["active", "refused", "ended"])
@pytest.mark.parametrize("lost", ["relay-timeout", "relay-unreachable", "relay-lost"])
def test_an_offer_whose_answer_was_lost_goes_on_by_the_sessions_state(
    state: str, lost: str
) -> None:
    relay = Scripted("session-waiting", lost, "session-state", "asked", lost, state)
    assert waited(relay) == state
    assert relay.asked == [OFFER, OFFER, OFFER, ROW, ROW, ROW]


def test_a_device_that_never_decides_is_waited_for_with_a_bound() -> None:
    relay = Scripted("session-state", *["asked"] * 1000)
    with pytest.raises(FarhandError, match="relay-timeout"):
        waited(relay)


def test_a_relay_that_is_away_is_not_asked_without_a_pause() -> None:
    pauses: list[float] = []
    relay = Scripted("relay-unreachable", "relay-unreachable", "active")
    assert waited(relay, pause=pauses.append) == "active"
    assert len(pauses) == 2
    assert min(pauses) > 0


def test_when_the_time_is_over_it_is_withdrawn() -> None:
    relay = Scripted()
    with pytest.raises(RefusedError, match="session-unapproved"):
        waited(relay, minutes=-1)
    assert relay.asked == [END]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_stops_the_console_withdraws(number: signal.Signals) -> None:
    relay: Any = Scripted()
    before = signal.getsignal(number)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as stopped:
        with withdrawn_when_stopped(relay, SESSION, lambda _: None):
            os.kill(os.getpid(), number)
    assert relay.asked == [END]
    assert signal.getsignal(number) is before
    if number is not signal.SIGINT:
        assert stopped.value.args == (128 + number,)


def test_what_nohup_ignores_stays_ignored() -> None:
    relay: Any = Scripted()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with withdrawn_when_stopped(relay, SESSION, lambda _: None):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert relay.asked == []


def test_who_may_not_approve_is_told_before_she_is_asked(
    home: Home, organisation: Organisation
) -> None:
    told = settings(home)
    for operator, account, words in (
        ("ada", "tess", "approve:read,session:*@*,approve:session"),
        ("tess", "tess", ""),
        ("tess", "nobody", "--can approve:session"),
    ):
        wanted: Any = SimpleNamespace(grant=grant(operator=operator))
        mine = msgspec.structs.replace(told, account=account)
        with pytest.raises(RefusedError, match="not-permitted") as refused:
            check_may_approve(mine, organisation.trust, wanted)
        assert words in (refused.value.hint or ""), "the whole list: --can replaces"
    mine = msgspec.structs.replace(told, account="ada")
    wanted = SimpleNamespace(grant=grant(operator="tess"))
    assert check_may_approve(mine, organisation.trust, wanted).name == "ada"


def test_two_commands_on_one_device_share_the_session_that_is_opened(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Any = SimpleNamespace(session=SESSION, expires="soon")
    opened: list[Any] = []
    begun, waited_for = threading.Event(), threading.Event()

    def open_session(*_: Any, **options: Any) -> Any:
        begun.set()
        assert waited_for.wait(60)
        opened.append(record)
        assert options["wait_minutes"] == 5
        return record

    def say(words: str) -> None:
        if "another command here opens a session on safe" in words:
            waited_for.set()

    monkeypatch.setattr(joining, "find", lambda *_: opened[0] if opened else None)
    monkeypatch.setattr(joining, "open_session_as", open_session)
    monkeypatch.setattr(joining, "say", say)
    context: Any = SimpleNamespace(home=home)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(joining.joined, context, "safe", wait_minutes=5)
        assert begun.wait(60)
        second = threads.submit(joining.joined, context, "safe")
        assert first.result(60) is second.result(60) is record
    assert len(opened) == 1
