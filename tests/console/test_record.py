"""What is kept of open sessions, and who holds which of a session's pipes."""

from __future__ import annotations

import asyncio
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from farhand_console.cli.base import Context
from farhand_console.cli.session import _still_open
from farhand_console.home import Home
from farhand_console.relay import Relay
from farhand_console.relay.answers import Session
from farhand_console.session.config import prepare_host, write_ssh_config
from farhand_console.session.record import (
    PIPES,
    SessionRecord,
    claim_pipe,
    drop,
    find,
    key_file,
    load,
    open_records,
    save,
)
from farhand_console.session.ssh import open_pipe
from farhand_console.trust.devices import VerifiedDevice
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant
from tests.console.organisation import signer

SESSION = "s-aaaaaaaaaaaaaaaa"


def record(**changes: Any) -> SessionRecord:
    """Return a session that is good for half an hour."""
    now = datetime.now(UTC)
    made = SessionRecord(
        session=SESSION,
        device="d-one",
        device_name="Reception",
        device_key=bytes(32),
        guest=False,
        url="http://127.0.0.1:1",
        ticket="FH-1",
        operator="tess",
        organisation="Example",
        scopes=["terminal"],
        granted_at=format_instant(now),
        expires=format_instant(now + timedelta(minutes=30)),
        words=[],
        grant=b"",
    )
    return msgspec.structs.replace(made, **changes)


def test_a_session_is_found_by_its_id_and_its_device(home: Home) -> None:
    save(home, record(), b"key")
    assert (
        find(home, SESSION)
        == find(home, "d-one")
        == find(home, "reception")
        == record(granted_at=load(home, SESSION).granted_at, expires=load(home, SESSION).expires)
    )
    assert find(home, "elsewhere") is None
    assert stat.S_IMODE(key_file(home, SESSION).stat().st_mode) == 0o600
    drop(home, SESSION)
    assert not key_file(home, SESSION).exists()
    with pytest.raises(FarhandError, match="session-unknown"):
        find(home, SESSION)


def test_the_newest_of_one_device_and_no_guess_between_two(home: Home) -> None:
    save(home, record(granted_at="2026-01-01T00:00:00Z"), b"key")
    save(home, record(session="s-bbbbbbbbbbbbbbbb", granted_at="2026-01-02T00:00:00Z"), b"key")
    found = find(home, "reception")
    assert found is not None
    assert found.session == "s-bbbbbbbbbbbbbbbb"
    save(home, record(session="s-cccccccccccccccc", device="d-two"), b"key")
    with pytest.raises(FarhandError, match="device-ambiguous"):
        find(home, "reception")


def test_an_expired_session_and_its_key_are_destroyed(home: Home) -> None:
    save(home, record(expires="2026-01-01T00:00:00.5Z"), b"key")
    assert open_records(home) == []
    assert not key_file(home, SESSION).exists()
    save(home, record(expires="2026-01-01T00:00:00Z"), b"key")
    with pytest.raises(FarhandError, match="session-expired"):
        find(home, SESSION)


def test_one_damaged_session_does_not_hide_the_others(home: Home) -> None:
    save(home, record(), b"key")
    save(home, record(session="s-bbbbbbbbbbbbbbbb", expires="whenever"), b"key")
    (home.folder / "sessions" / "s-cccccccccccccccc").mkdir()
    (home.folder / "sessions" / "notes.txt").write_text("mine")
    assert [one.session for one in open_records(home)] == [SESSION]
    with pytest.raises(FarhandError, match="home-unreadable"):
        load(home, "s-bbbbbbbbbbbbbbbb")


@pytest.mark.parametrize("name", ["../x", "s-", "/etc", "", "s-" + "a" * 99, "s-AAAAAAAAAAAAAAAA"])
def test_a_name_never_leaves_the_sessions_folder(home: Home, name: str) -> None:
    with pytest.raises(FarhandError, match="session-unknown"):
        load(home, name)


def test_eight_pipes_each_held_once(home: Home) -> None:
    save(home, record(), b"key")
    held = [claim_pipe(home, SESSION) for _ in range(PIPES)]
    assert [one.__enter__() for one in held] == list(range(PIPES))
    with pytest.raises(FarhandError, match="session-busy"), claim_pipe(home, SESSION):
        pass
    held[3].__exit__(None, None, None)
    with claim_pipe(home, SESSION) as number:
        assert number == 3
    for place, one in enumerate(held):
        if place != 3:
            one.__exit__(None, None, None)
    drop(home, SESSION)
    with pytest.raises(FarhandError, match="session-ended"), claim_pipe(home, SESSION):
        pass


class OverThere:
    """A relay that says a session is over, or cannot be reached."""

    def __init__(self, code: str) -> None:
        self.code = code

    def post(self, *_: Any, **__: Any) -> Any:
        raise FarhandError(self.code, "no")

    def get(self, _path: str, kind: Any, **_: Any) -> Any:
        told = {"session": SESSION, "device": "d-one", "operator": "tess", "scopes": []}
        return kind(state="ended", reason="stopped", active_s=1, **told)


@pytest.mark.parametrize(("code", "is_kept"), [("session-ended", False), ("not-permitted", True)])
async def test_a_session_that_is_over_is_not_found_again(
    home: Home, code: str, is_kept: bool
) -> None:
    save(home, record(), b"key")
    with pytest.raises(ExceptionGroup) as caught:
        async with (
            asyncio.timeout(20),
            open_pipe(home, OverThere(code), record(), notice=print),  # type: ignore[arg-type]
        ):
            await asyncio.Event().wait()
    (error,) = caught.value.exceptions
    assert isinstance(error, FarhandError)
    assert error.code == code
    if not is_kept:
        assert "the person at the device stopped it" in error.message
    assert (find(home, "reception") is not None) == is_kept


def named(name: str) -> VerifiedDevice:
    key = signer().public_key
    return VerifiedDevice(id=device_id(key), key=key, name=name, group="office", host_name="vm")


def test_ssh_hears_only_names_that_mean_one_device(home: Home) -> None:
    evil = "x,*\n    ProxyCommand evil\u202e"
    twins = [named("Twin"), named("twin")]
    pretender = named(twins[0].id)
    listed = [named("Reception"), named(evil), *twins, pretender, named("..")]
    text = write_ssh_config(home, listed)
    hosts = text.splitlines()[1].removeprefix("Match host ").split(" exec ")[0].split(",")
    assert sorted(hosts) == sorted(["reception", *(one.id for one in listed)])
    known = (home.folder / "ssh" / "known_hosts").read_text()
    assert "evil" not in text + known
    assert "twin" not in known
    assert len(known.splitlines()) == len(listed)


@pytest.mark.needs("ssh")
def test_a_refused_session_leaves_ssh_no_other_way(home: Home, tmp_path: Path) -> None:
    # Nobody is signed in on this home, so no session opens.
    device = named("Reception")
    config = tmp_path / "config"
    config.write_text(write_ssh_config(home, [device]))
    for host in ("reception", device.id):
        done = subprocess.run(
            ["ssh", "-F", str(config), "-G", host], capture_output=True, text=True, check=True
        )
        assert "farhand: error:" in done.stderr
        settled = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
        assert settled["proxycommand"].endswith(" proxy %h")
        assert settled["stricthostkeychecking"] == "true"
        assert settled["passwordauthentication"] == "no"
        assert settled["identitiesonly"] == "yes"
        assert settled["identityfile"].endswith("/ssh/keys/%h")
        assert settled["userknownhostsfile"].endswith("/ssh/known_hosts")


def test_ssh_finds_the_newest_sessions_key(home: Home) -> None:
    for session in (SESSION, "s-bbbbbbbbbbbbbbbb"):
        save(home, record(session=session), session.encode())
        prepare_host(home, record(session=session))
        for host in ("d-one", "reception"):
            assert (home.folder / "ssh" / "keys" / host).read_bytes() == session.encode()
    assert write_ssh_config(home, []) == "# farhand: no confirmed device\n"


@pytest.mark.parametrize(
    ("answer", "stays"), [("active", True), ("ended", False), ("refused", False), (None, False)]
)
def test_one_that_ended_or_that_the_relay_lost_is_forgotten(
    home: Home, answer: str | None, stays: bool
) -> None:
    """`session open --if-needed` opens another then, as where none was open."""
    save(home, record(), b"key")
    context = Context(home, as_json=True)
    context._relay = cast("Relay", _Relay(answer))
    found = _still_open(context, "d-one")
    assert (found is not None, len(open_records(home))) == (stays, stays)


def test_a_relay_that_does_not_answer_makes_no_session_forgotten(home: Home) -> None:
    save(home, record(), b"key")
    context = Context(home, as_json=True)
    context._relay = cast("Relay", _Relay(None, code="relay-unavailable"))
    with pytest.raises(FarhandError, match="relay-unavailable"):
        _still_open(context, "d-one")
    assert len(open_records(home)) == 1


class _Relay:
    """Knows one session by its state, or none."""

    def __init__(self, state: str | None, code: str = "not-found") -> None:
        self._state = state
        self._code = code

    def get(self, path: str, kind: type[Session]) -> Session:
        assert path == f"/sessions/{SESSION}"
        if self._state is None:
            raise FarhandError(self._code, "there is none")
        return kind(session=SESSION, device="d-one", operator="tess", state=self._state,
                    reason="", scopes=[], active_s=0)  # fmt: skip
