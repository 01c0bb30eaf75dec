"""Notices on the screens of those who are logged in: real terminals, recorded commands."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.platforms.commands import CommandMissing, Outcome
from farhand_agent.platforms.screens import MAX_SCREENS, show_on_screens


class Commands:
    """Notes what is started; nothing runs."""

    def __init__(self, exit_code: int = 0) -> None:
        self.started: list[tuple[list[str], dict[str, str]]] = []
        self._exit_code = exit_code

    def __call__(self, argv: Any, *, env: Any = None, **_: Any) -> Outcome:
        self.started.append((list(argv), dict(env or {})))
        if self._exit_code < 0:
            raise CommandMissing(argv[0])
        return Outcome(self._exit_code, b"", b"")


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    ours, theirs = pty.openpty()
    yield ours, os.ttyname(theirs).removeprefix("/dev/")
    os.close(ours)
    os.close(theirs)


def _linux(text: str, *names: str, **options: Any) -> int:
    options = {"runtime": Path("/nowhere"), "command": Commands(), **options}
    return show_on_screens(text, platform="linux", logged_in=lambda: names, **options)


def test_a_terminal_gets_one_line_that_cannot_steer_it(terminal: tuple[int, str]) -> None:
    ours, name = terminal
    assert _linux("tess\x1b[2J is here\n", name, name) == 1
    shown = os.read(ours, 1000)
    assert b"[Farhand] tess\\x1b[2J is here\\x0a" in shown
    assert b"\x1b" not in shown


def test_what_is_no_terminal_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    names = ["file", "missing", "../../etc/passwd", ":0"]
    assert _linux("hello", *names, devices=tmp_path) == 0
    assert (tmp_path / "file").read_bytes() == b""
    assert _linux("hello", "null", "../dev/null") == 0


def test_what_is_for_those_who_sit_here_comes_to_nobody_else(
    tmp_path: Path, terminal: tuple[int, str]
) -> None:
    """Two terminals that both would show it: the machine's console, and one from anywhere."""
    ours, name = terminal
    other, theirs = pty.openpty()
    try:
        (tmp_path / "dev" / "pts").mkdir(parents=True)
        (tmp_path / "dev" / "tty1").symlink_to(f"/dev/{name}")
        (tmp_path / "dev" / "pts" / "9").symlink_to(os.ttyname(theirs))
        bus = tmp_path / "run" / str(os.geteuid()) / "bus"
        bus.parent.mkdir(parents=True)
        bus.touch()
        commands = Commands()
        options: dict[str, Any] = {
            "devices": tmp_path / "dev",
            "runtime": tmp_path / "run",
            "command": commands,
        }
        names = ("pts/9", "tty1", "ttyS0")
        assert _linux("secret", *names, seated={os.geteuid() + 1}, **options) == 1
        assert b"secret" in os.read(ours, 1000)
        assert commands.started == [], "a bus of somebody who is logged in from elsewhere"
        assert _linux("secret", "pts/9", seated=frozenset(), **options) == 0
        assert _linux("secret", "pts/9", seated={os.geteuid()}, **options) == 1
        assert len(commands.started) == 1
        os.set_blocking(other, False)
        with pytest.raises(BlockingIOError):
            os.read(other, 1000)
    finally:
        os.close(other)
        os.close(theirs)


@pytest.mark.parametrize("platform", ["macos", "windows"])
def test_where_seats_are_not_told_apart_nobody_reads_it(platform: str) -> None:
    commands = Commands()
    assert show_on_screens("x", seated={0}, platform=platform, command=commands) == 0
    assert commands.started == []


def test_only_so_many(terminal: tuple[int, str]) -> None:
    _, name = terminal
    assert _linux("hello", *["missing"] * MAX_SCREENS, name) == 0


@pytest.mark.parametrize(("exit_code", "shown"), [(0, 1), (1, 0), (-1, 0)])
def test_a_desktop_is_notified_as_its_owner(tmp_path: Path, exit_code: int, shown: int) -> None:
    bus = tmp_path / str(os.geteuid()) / "bus"
    bus.parent.mkdir()
    bus.touch()
    commands = Commands(exit_code)
    assert _linux("hello", runtime=tmp_path, command=commands) == shown
    (words, environment), *_ = commands.started
    assert words[-2:] == ["Farhand", "hello"]
    assert words[0] == "notify-send"
    assert environment == {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_root_becomes_the_owner_first(tmp_path: Path) -> None:
    bus = tmp_path / "1000" / "bus"
    bus.parent.mkdir()
    bus.touch()
    os.chown(bus, 1000, 1001)
    commands = Commands()
    _linux("hello", runtime=tmp_path, command=commands)
    words = commands.started[0][0]
    assert words[:4] == ["setpriv", "--reuid=1000", "--regid=1001", "--clear-groups"]


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        (
            "macos",
            [
                "osascript",
                "-e",
                'on run argv\ndisplay notification (item 1 of argv) with title "Farhand"\nend run',
                "it\\x0as",
            ],
        ),
        ("windows", ["msg.exe", "*", "/TIME:60", "it\\x0as"]),
    ],
)
def test_other_platforms_get_the_text_as_an_argument(platform: str, words: list[str]) -> None:
    commands = Commands()
    assert show_on_screens("it\ns", platform=platform, command=commands) == 1
    assert commands.started == [(words, {})]


def test_a_platform_without_a_way() -> None:
    assert show_on_screens("hello", platform="plan9", command=Commands()) == 0
