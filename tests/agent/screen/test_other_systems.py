"""Windows and macOS: what their libraries would be told, byte for byte where there are bytes."""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Any

import pytest

from farhand_agent.screen import backends
from farhand_agent.screen.injector import Injector
from farhand_agent.screen.macos_clipboard import MacClipboard
from farhand_agent.screen.macos_input import MacHands
from farhand_agent.screen.rfb_clipboard import MAX_CLIPBOARD_BYTES
from farhand_agent.screen.windows_input import Input, WindowsHands


class User32:
    """Two monitors, the second left of the first."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, inputs: list[Input]) -> None:
        self.sent += [bytes(one) for one in inputs]

    def desktop(self) -> tuple[int, int, int, int]:
        return -1920, 0, 3840, 1080


def mouse(dx: int, dy: int, data: int, flags: int) -> bytes:
    return struct.pack("<I4xiiIIIxxxxQ", 0, dx, dy, data, flags, 0, 0)


def key(virtual_key: int, scan: int, flags: int) -> bytes:
    return struct.pack("<I4xHHII", 1, virtual_key, scan, flags, 0).ljust(40, b"\0")


def windows() -> tuple[Injector, User32]:
    user32 = User32()
    made = Injector(WindowsHands(user32))
    made.place(3840, 1080, -1920, 0)
    made.allow(True, frozen=False)
    return made, user32


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="structures of 64-bit Windows")
def test_windows_is_told_where_the_mouse_is_and_what_it_does() -> None:
    made, user32 = windows()
    assert ctypes.sizeof(Input) == 40
    made.pointer(0, 0, 0)
    made.pointer(3839, 1079, 0b1)
    made.pointer(3839, 1079, 0b10000)
    moved, corner = mouse(0, 0, 0, 0xC001), mouse(65535, 65535, 0, 0xC001)
    assert user32.sent == [
        moved,
        corner, mouse(0, 0, 0, 0x0002),
        corner, mouse(0, 0, 0, 0x0004), mouse(0, 0, 2**32 - 120, 0x0800),
    ]  # fmt: skip


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="structures of 64-bit Windows")
def test_windows_is_told_characters_and_shortcuts() -> None:
    made, user32 = windows()
    for is_down in (True, False):
        made.key(0x0100263A, is_down)  # a smile
    made.key(0x0101F600, True)  # one of two units
    made.key(0xFFE3, True)  # Ctrl
    made.key(0x63, True)
    made.key(0xFFFF, True)  # Delete
    assert user32.sent == [
        key(0, 0x263A, 4), key(0, 0x263A, 6),
        key(0, 0xD83D, 4), key(0, 0xDE00, 4),
        key(0xA2, 0, 0), key(0x43, 0, 0), key(0x2E, 0, 1),
    ]  # fmt: skip
    user32.sent.clear()
    made.release()
    assert user32.sent == [
        key(0x2E, 0, 3), key(0x43, 0, 2), key(0xA2, 0, 2), key(0, 0xD83D, 6), key(0, 0xDE00, 6)
    ]  # fmt: skip


class Quartz:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def mouse(self, kind: int, x: float, y: float, button: int) -> None:
        self.told.append((kind, x, y, button))

    def scroll(self, up: int, left: int) -> None:
        self.told.append(("scroll", up, left))

    def key(self, code: int, is_down: bool, text: str, flags: int) -> None:
        self.told.append(("key", code, is_down, text, flags))


def macos() -> tuple[Injector, Quartz]:
    quartz = Quartz()
    made = Injector(MacHands(quartz))
    made.place(1440, 900, 0, 0)
    made.allow(True, frozen=False)
    return made, quartz


def test_macos_is_told_of_clicks_and_drags() -> None:
    made, quartz = macos()
    made.pointer(10, 20, 0)
    made.pointer(10, 20, 0b100)
    made.pointer(11, 20, 0b100)
    made.pointer(11, 20, 0b1000)
    assert quartz.told == [
        (5, 10.0, 20.0, 0), (5, 10.0, 20.0, 0), (3, 10.0, 20.0, 1), (7, 11.0, 20.0, 1),
        (7, 11.0, 20.0, 1), (4, 11.0, 20.0, 1), ("scroll", 1, 0),
    ]  # fmt: skip


def test_macos_is_told_characters_and_shortcuts() -> None:
    made, quartz = macos()
    made.key(0xE9, True)
    made.key(0xE9, False)
    made.key(0xFFEB, True)  # Command
    made.key(0x63, True)
    made.release()
    command = 1 << 20
    assert quartz.told == [
        ("key", 0, True, "é", 0), ("key", 0, False, "é", 0),
        ("key", 55, True, "", command), ("key", 8, True, "", command),
        ("key", 8, False, "", command), ("key", 55, False, "", 0),
    ]  # fmt: skip


def test_the_clipboard_of_macos_tells_only_what_was_copied_meanwhile() -> None:
    there, now = [b"a password of before"], [0.0]

    def run(words: list[str], text: bytes) -> bytes:
        if words == ["/usr/bin/pbcopy"]:
            there[0] = text
        return there[0]

    def later() -> str | None:
        now[0] += 1
        return clipboard.poll(take=True)

    clipboard = MacClipboard(run, lambda: now[0])
    assert later() is None
    there[0] = "übrig".encode()
    assert later() == "übrig"
    assert later() is None
    clipboard.put("mine")
    assert later() is None, "what came from there does not go back"
    there[0] = b"x" * (MAX_CLIPBOARD_BYTES + 1)
    assert later() is None
    there[0] = b"while it was closed"
    assert clipboard.poll(take=False) is None
    assert later() is None


@pytest.mark.parametrize("system", ["win32", "darwin", "sunos"])
def test_without_its_library_a_system_says_so(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert backends.open_cursor() is None
    if system == "sunos":
        assert backends.open_hands() is None
    else:
        with pytest.raises(Exception, match="screen-unavailable"):
            backends.open_hands()
