"""The state of a line on the technician's screen, and what a restart looks like to commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest

from farhand_console.relay.answers import Session
from farhand_console.session import restart, ssh
from farhand_console.session.ssh import (
    SessionRestarted,
    check_restarted,
    connect_ssh,
    reconnect,
    why_ended,
)
from farhand_console.session.status import StatusLine
from farhand_protocol.attachment import LineState
from farhand_protocol.errors import FarhandError

ANY: Any = None


def notice(_words: str) -> None:
    """Say nothing."""


async def test_each_change_is_one_line_where_nothing_counts_down() -> None:
    words: list[str] = []
    status = StatusLine(words.append, is_terminal=False)
    for state in (
        LineState("connected"),  # the first time: nothing to tell
        LineState("reconnecting", left_s=300.0),
        LineState("connected"),
        LineState("connecting", left_s=45.0),
        LineState("ended", reason="done"),
    ):
        status.show(state)
    status.close()
    assert words == [
        "the line is down, reconnecting (for 300 s at most)",
        "connected again",
        "the session's process is not connected just now; waiting for it (for 45 s at most)",
    ]


async def test_a_terminal_has_one_line_that_is_wiped(capsys: pytest.CaptureFixture[str]) -> None:
    words: list[str] = []
    status = StatusLine(words.append, is_terminal=True)
    status.show(LineState("reconnecting", left_s=300.0))
    shown = capsys.readouterr().err
    assert "the line is down, reconnecting, 300 s left" in shown
    assert "\n" not in shown
    status.show(LineState("connected"))
    assert capsys.readouterr().err == "\r\x1b[K"
    status.close()
    assert (words, capsys.readouterr().err) == ([], "")


class Pipe:
    """A pipe that is over for a reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Relay:
    """A relay that knows why a session ended."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def get(self, _path: str, _kind: type[Session]) -> Session:
        if not self.reason:
            raise FarhandError("relay-unreachable", "not just now")
        return Session(
            session="s-aaaaaaaaaaaaaaaa",
            device="d",
            operator="tess",
            state="ended",
            reason=self.reason,
            scopes=[],
            active_s=1,
        )


class Connection:
    """What asyncssh would hand out."""

    def __init__(self) -> None:
        self.extra: dict[str, object] = {}

    def set_extra_info(self, **extra: object) -> None:
        """Keep what is known of it."""
        self.extra |= extra

    def get_extra_info(self, name: str) -> object:
        """Return what is known of it."""
        return self.extra.get(name)

    def send_packet(self, pkttype: int, *args: bytes, handler: object = None) -> None:
        """Nobody listens."""

    def close(self) -> None:
        """Nothing is open."""

    async def wait_closed(self) -> None:
        """Nothing is open."""


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have `connect_ssh` get a connection at once, on a pipe that ends for the given reason."""

    def use(reason: str) -> None:
        @asynccontextmanager
        async def open_pipe(*_args: Any, **_options: Any) -> AsyncIterator[Pipe]:
            yield Pipe(reason)

        async def connect(*_args: Any, **_options: Any) -> Connection:
            return Connection()

        monkeypatch.setattr(ssh, "open_pipe", open_pipe)
        monkeypatch.setattr(ssh, "PipeTunnel", lambda pipe: pipe)
        monkeypatch.setattr(ssh, "key_file", lambda *_: "key")
        monkeypatch.setattr(asyncssh, "connect", connect)

    return use


class Record:
    """The part of a session's record that a connection needs."""

    session = "s-aaaaaaaaaaaaaaaa"
    device = "d"
    device_key = bytes(range(32))


LOSSES: list[Exception] = [
    asyncssh.ConnectionLost("gone"),
    asyncio.IncompleteReadError(b"", 1),
    BrokenPipeError(),
    FarhandError("session-lost", "gone"),
    FarhandError("copy-failed", "gone"),
    ExceptionGroup("both", [asyncssh.ConnectionLost("gone"), OSError()]),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda one: type(one).__name__)
async def test_a_restart_of_the_device_has_one_name(
    loss: Exception, connecting: Callable[[str], None]
) -> None:
    connecting("peer-changed")
    with pytest.raises(SessionRestarted) as caught:
        async with connect_ssh(ANY, ANY, Record(), notice=notice):  # type: ignore[arg-type]
            raise loss
    assert caught.value.code == "session-restarted"
    connecting("done")
    with pytest.raises(type(loss)):
        async with connect_ssh(ANY, ANY, Record(), notice=notice):  # type: ignore[arg-type]
            raise loss


async def test_a_connection_that_closed_in_silence_is_asked_why(
    connecting: Callable[[str], None],
) -> None:
    """A forward waits for the end of its connection, and nothing fails by it."""
    connecting("done")
    async with connect_ssh(ANY, ANY, Record(), notice=notice) as connection:  # type: ignore[arg-type]
        check_restarted(connection)
    connecting("peer-changed")
    with pytest.raises(SessionRestarted):
        async with connect_ssh(ANY, ANY, Record(), notice=notice) as connection:  # type: ignore[arg-type]
            check_restarted(connection)


async def test_other_failures_keep_their_own(connecting: Callable[[str], None]) -> None:
    connecting("peer-changed")
    for error in (FarhandError("scope-missing", "no"), ValueError("a bug of ours")):
        with pytest.raises(type(error)):
            async with connect_ssh(ANY, ANY, Record(), notice=notice):  # type: ignore[arg-type]
                raise error


async def test_work_is_begun_again_after_each_restart(connecting: Callable[[str], None]) -> None:
    connecting("peer-changed")
    tries: list[object] = []

    async def work(connection: object) -> str:
        tries.append(connection)
        if len(tries) < 3:
            raise asyncssh.ConnectionLost("gone")
        return "done"

    assert await reconnect(ANY, ANY, Record(), work, notice=notice) == "done"  # type: ignore[arg-type]
    assert len(tries) == 3

    async def hopeless(_connection: object) -> None:
        raise asyncssh.ConnectionLost("gone")

    with pytest.raises(SessionRestarted):
        await reconnect(ANY, ANY, Record(), hopeless, notice=notice)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("stopped", "the person at the device stopped it"),
        ("expired", "its time is over"),
        ("x" * 300, "x" * 100),
        ("", "the session is over"),
    ],
)
async def test_the_end_is_told_by_whom_and_why(
    reason: str, words: str, connecting: Callable[[str], None]
) -> None:
    error = await why_ended(Relay(reason), "s-aaaaaaaaaaaaaaaa")  # type: ignore[arg-type]
    assert (error.code, error.message.endswith(words)) == ("session-ended", True)
    connecting("session-ended")
    with pytest.raises(FarhandError, match="session-ended"):
        async with connect_ssh(ANY, Relay(reason), Record(), notice=notice):  # type: ignore[arg-type]
            raise asyncssh.ConnectionLost("gone")


async def test_waiting_for_a_restart_ends_when_another_instance_answers(
    monkeypatch: pytest.MonkeyPatch, connecting: Callable[[str], None]
) -> None:
    connecting("")
    monkeypatch.setattr(restart, "_LOOK_S", 0.0)
    answers: list[Any] = [
        restart._Answer(instance="old"),
        FarhandError("session-not-connected", "away"),
        FarhandError("session-lost", "away"),
        restart._Answer(instance="new"),
    ]

    async def answer(*_: Any) -> Any:
        one = answers.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(restart, "_ask", answer)
    await restart.wait_for_restart(ANY, ANY, Record(), "old", within_s=30, say=notice)  # type: ignore[arg-type]
    assert answers == []
    answers[:] = [FarhandError("session-ended", "over")]
    with pytest.raises(ExceptionGroup) as caught:
        await restart.wait_for_restart(ANY, ANY, Record(), "old", within_s=30, say=notice)  # type: ignore[arg-type]
    assert caught.group_contains(FarhandError, match="session-ended")
    answers[:] = [restart._Answer(instance="old")] * 1000
    monkeypatch.setattr(restart, "_LOOK_S", 0.01)
    with pytest.raises(FarhandError, match="reboot-timeout"):
        await restart.wait_for_restart(ANY, ANY, Record(), "old", within_s=0.05, say=notice)  # type: ignore[arg-type]
