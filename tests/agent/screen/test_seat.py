"""Whose desktop is shown, as pure facts, and as this machine tells them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from farhand_agent.screen import seat
from farhand_agent.screen.capture import check_session
from farhand_agent.screen.seat import Program, Seat, choose_seat
from farhand_protocol.errors import FarhandError

MIA, BOB, ROOT = 1000, 1001, 0
HERS = {"DISPLAY": ":0", "XAUTHORITY": "/run/user/1000/xauth"}
PROGRAMS = [
    Program(ROOT, {"LANG": "C"}),
    Program(MIA, {"LANG": "de_DE.UTF-8"}),
    Program(MIA, HERS),
    Program(BOB, {"LANG": "pt_BR.UTF-8"}),
]


def test_our_own_desktop_comes_first() -> None:
    own = choose_seat({"DISPLAY": ":7", "SECRET": "x"}, ROOT, PROGRAMS, active=MIA)
    assert own == Seat({"DISPLAY": ":7"}), "nothing else of ours goes along"


def test_a_service_finds_the_only_desktop_and_becomes_its_person() -> None:
    assert choose_seat({}, ROOT, PROGRAMS, active=None) == Seat(HERS, MIA)


def test_of_several_the_one_at_the_machine_counts() -> None:
    his = {"WAYLAND_DISPLAY": "wayland-0", "XDG_SESSION_TYPE": "wayland"}
    programs = [*PROGRAMS, Program(BOB, his)]
    assert choose_seat({}, ROOT, programs, active=BOB) == Seat(his, BOB)
    for active in (None, 1002):
        with pytest.raises(FarhandError, match="screen-unavailable: several"):
            choose_seat({}, ROOT, programs, active=active)


def test_what_runs_by_sudo_names_no_desktop_to_root() -> None:
    evil = Program(ROOT, {"DISPLAY": "evil:9", "XAUTHORITY": "/home/bob/x"})
    for active in (None, MIA):
        assert choose_seat({}, ROOT, [evil, *PROGRAMS], active=active) == Seat(HERS, MIA)
    for active in (None, BOB):
        with pytest.raises(FarhandError, match="screen-unavailable: nobody"):
            choose_seat({}, ROOT, [evil], active=active)
    # Where root herself sits there, it is hers.
    own = Program(ROOT, {"DISPLAY": ":0"})
    assert choose_seat({}, ROOT, [own, *PROGRAMS], active=ROOT) == Seat({"DISPLAY": ":0"})


def test_who_is_not_root_sees_only_her_own() -> None:
    assert choose_seat({}, MIA, PROGRAMS, active=None) == Seat(HERS, None)
    with pytest.raises(FarhandError, match="screen-unavailable: nobody"):
        choose_seat({}, BOB, PROGRAMS, active=MIA)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere whatever runs has the desktop")
def test_a_real_program_is_found_by_its_environment() -> None:
    waiting = [sys.executable, "-c", "import sys; print('on', flush=True); sys.stdin.read()"]
    with subprocess.Popen(
        waiting, env={**os.environ, "DISPLAY": ":4071"}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stdout.readline() == b"on\n"
        found = [one for one in seat._programs() if one.environment.get("DISPLAY") == ":4071"]
        program.communicate()
    assert [(one.uid, one.environment["DISPLAY"]) for one in found] == [(os.getuid(), ":4071")]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere whatever runs has the desktop")
def test_wayland_is_refused_with_another_way() -> None:
    with pytest.raises(FarhandError, match="screen-wayland") as caught:
        check_session({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"})
    assert "desktop" in (caught.value.hint or "")
    check_session({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0", "XDG_SESSION_TYPE": "x11"})
