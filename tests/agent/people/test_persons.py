"""Who counts as a person at this computer: the table of persons.py, row by row."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from farhand_agent.config import Home
from farhand_agent.people import logins
from farhand_agent.people.logins import Logins, logind_users
from farhand_agent.people.persons import Person, Persons
from farhand_agent.policy import effective_policy, load_own, own_people
from farhand_protocol.errors import FarhandError

ALICE, EVE = 4001, 4003


def persons(home: Path, *here: int) -> Persons:
    async def logged_in() -> frozenset[int]:
        return frozenset(here)

    return Persons(Home.at(home), logged_in=logged_in)


async def test_who_sits_here_counts_and_others_do_not(tmp_path: Path) -> None:
    who = persons(tmp_path, ALICE)
    assert await who.look(ALICE) == Person(ALICE, "4001", is_here=True)
    assert await who.look(EVE) == Person(EVE, "4003", is_here=False)
    assert (await who.look(0)).is_here
    assert (await who.look(os.geteuid())).is_here


@pytest.mark.parametrize(
    ("people", "is_here"),
    [
        ('["4003"]', True),
        ('["4001", "4003"]', True),
        ('["@no-such-group"]', False),
        ('["nobody", "@root"]', False),
        ("[]", False),
    ],
)
async def test_whom_policy_names_counts_wherever_she_sits(
    tmp_path: Path, people: str, is_here: bool
) -> None:
    (tmp_path / "policy.toml").write_text(f"people = {people}\n")
    who = persons(tmp_path, ALICE)
    assert (await who.look(EVE)).is_here is is_here
    assert (await who.look(ALICE)).is_here is ("4001" in people)
    assert (await who.look(0)).is_here


async def test_names_and_groups_are_those_of_the_system(tmp_path: Path) -> None:
    import grp
    import pwd

    account = pwd.getpwuid(65534)
    group = grp.getgrgid(account.pw_gid).gr_name
    for name in (account.pw_name, f"@{group}", "65534"):
        (tmp_path / "policy.toml").write_text(f'people = ["{name}"]\n')
        assert (await persons(tmp_path).look(65534)).is_here, name
        assert not (await persons(tmp_path).look(EVE)).is_here, name


@pytest.mark.parametrize("text", ["people = 7", 'people = [""]', "people = [1]", "peeple = []"])
async def test_a_policy_that_cannot_be_read_has_no_people(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    who = persons(tmp_path, ALICE)
    assert not (await who.look(ALICE)).is_here
    assert (await who.look(0)).is_here
    with pytest.raises(FarhandError, match="policy-malformed"):
        own_people(Home.at(tmp_path))


def test_people_change_nothing_of_what_is_allowed(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    (tmp_path / "policy.toml").write_text('people = ["alice"]\nminutes_max = 5\n')
    assert load_own(home) == {"minutes_max": 5}
    assert own_people(home) == ["alice"]
    assert effective_policy(home, "default").minutes_max == 5


def test_logind_tells_who_is_active_at_a_screen_of_this_computer(tmp_path: Path) -> None:
    def session(name: str, **fields: object) -> None:
        said: dict[str, object] = {"UID": ALICE, "ACTIVE": 1, "STATE": "active", "REMOTE": 0}
        said |= {"SEAT": "seat0", "CLASS": "user"} | fields
        (tmp_path / name).write_text("".join(f"{one}={value}\n" for one, value in said.items()))

    assert logind_users(tmp_path / "none") == frozenset()
    session("1")
    session("2", UID=4002, ACTIVE=0)
    session("3", UID=4003, REMOTE=1)
    session("4", UID=4004, CLASS="greeter")
    session("5", UID="root")
    # xrdp, VNC or `su -l` out of a service: logind calls what has no seat active.
    session("6", UID=4006, SEAT="")
    # Logged out, and something was left running.
    session("7", UID=4007, STATE="closing")
    (tmp_path / "8").write_text("UID=4008\nACTIVE=1\nREMOTE=0\nCLASS=user\n")
    (tmp_path / "9").mkdir()
    assert logind_users(tmp_path) == {ALICE}
    (tmp_path / "1").unlink()
    assert logind_users(tmp_path) == frozenset(), "who logs out is gone at once"


async def test_without_systemd_a_child_reads_the_list_of_logins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "_BOOTED", tmp_path / "none")
    seen = await Logins().users()
    assert all(isinstance(one, int) for one in seen)


async def test_however_many_ask_one_child_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = 0

    async def ask_child(*_: Any, timeout_s: float) -> dict[str, Any]:
        nonlocal children
        children += 1
        await asyncio.sleep(0)
        return {"uids": [ALICE]}

    monkeypatch.setattr(logins, "_BOOTED", tmp_path / "none")
    monkeypatch.setattr(logins, "ask_child", ask_child)
    here = Logins()
    assert await asyncio.gather(*(here.users() for _ in range(24))) == [{ALICE}] * 24
    assert children == 1


@pytest.mark.parametrize(
    ("terminal", "host", "is_here"),
    [
        ("tty2", "", True),
        ("tty7", ":0", True),
        (":0", "localhost", True),
        ("console", "", True),
        ("pts/3", "10.0.0.7", False),
        # GNU screen, and `utempter add :0`, in a session that came over ssh.
        ("pts/3", ":pts/0:S.0", False),
        ("pts/3", ":0", False),
        ("pts/3", "", False),
        ("ttys003", "", False),
        (":0", "10.0.0.7", False),
        (None, None, False),
    ],
)
def test_a_login_is_judged_by_the_terminal_that_nobody_chooses(
    monkeypatch: pytest.MonkeyPatch, terminal: str | None, host: str | None, is_here: bool
) -> None:
    login = SimpleNamespace(name="nobody", terminal=terminal, host=host)
    monkeypatch.setattr(psutil, "users", lambda: [login])
    assert bool(logins._logins({})["uids"]) is is_here
