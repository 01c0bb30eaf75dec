"""Signing in as people do it: passwords, second factors, lost ones, and who hears of what."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pyotp
import pytest

from tests.support.stage import ConsoleHome, Process, Stage

_PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A relay, its admin and the technician tess."""
    with Stage() as made:
        made.settle(library=False)
        made.start_relay()
        yield made


def _enrol(stage: Stage, console: ConsoleHome) -> list[str]:
    """Add an authenticator app as a person would; returns the recovery codes."""
    words = console.words("account", "factor", "add", "--json")
    process = Process(words, env=stage.env, stdin=True)
    try:
        secret = process.wait_line("secret ").split()[1]
        assert process.popen.stdin is not None
        process.popen.stdin.write(f"{pyotp.TOTP(secret).now()}\n")
        process.popen.stdin.flush()
        answer: dict[str, Any] = process.next_json()
    finally:
        process.end()
    codes: list[str] = answer["recovery_codes"]
    return codes


def _token(console: ConsoleHome) -> str:
    settings = tomllib.loads((console.home / "config.toml").read_text("utf-8"))
    return str(settings["api_token"])


def test_a_person_signs_in_with_two_factors_and_ends_it_everywhere(stage: Stage) -> None:
    admin, tess = stage.console("admin"), stage.console("tess")
    tess.run("account", "password", stdin=f"\n{_PASSWORD}\n".encode())
    codes = _enrol(stage, tess)
    assert len(codes) == 10
    login = ("login", stage.url, "--name", "tess")
    wrong = tess.run(*login, stdin=f"{_PASSWORD}\n000000\n".encode(), expect=1)
    assert b"factor-wrong" in wrong.stderr
    before = _token(tess)
    done = tess.run(*login, stdin=f"{_PASSWORD}\n{codes[0]}\n".encode())
    assert _token(tess) != before
    assert _PASSWORD.encode() not in done.stdout + done.stderr
    listed = tess.json("account", "sessions")["items"]
    assert [one["how"] for one in listed if one["is_this"]] == ["password"]
    assert admin.json("account", "sessions", "tess")["items"][0]["id"] == listed[0]["id"]
    other = next(one["id"] for one in listed if not one["is_this"])
    tess.run("account", "sign-out", other)
    assert other not in {one["id"] for one in tess.json("account", "sessions")["items"]}
    tess.run("account", "sign-out", "--all")
    assert tess.refused("whoami") == "not-signed-in"
    # What was lost is made anew by an admin; the factor stays until she takes that, too.
    reset = admin.json("account", "reset", "tess")["token"]
    tess.run("account", "use-reset", reset, stdin=b"another long password\n")
    again = tess.run("account", "use-reset", reset, stdin=b"another long password\n", expect=1)
    assert b"reset-over" in again.stderr
    admin.run("account", "factor", "reset", "tess")
    tess.run(*login, stdin=b"another long password\n")
    assert tess.json("whoami")["account"] == "tess"


def test_settings_and_what_one_is_told(stage: Stage) -> None:
    admin, tess = stage.console("admin"), stage.console("tess")
    kept = admin.json(
        "account", "settings", "--links", "nobody", "--tier-right", "ticket.resolve=2"
    )
    assert (kept["links_for"], kept["tier_rights"]) == ("nobody", {"ticket.resolve": 2})
    number = admin.json("ticket", "new", "--title", "no sound")["number"]
    assert tess.refused("ticket", "resolve", number, "--note", "done", expect=3) == "not-permitted"
    assert admin.json("account", "set", "tess", "--tier", "2")["tier"] == 2
    assert tess.refused("account", "settings", expect=3) == "not-permitted"
    set_to = tess.json("notify", "set", "--queue", "desk", "--quiet", "22:00-07:00")
    assert set_to["quiet"] == [22 * 60, 7 * 60]
    told = tess.start("notices", "--wait")
    admin.json("ticket", "new", "--title", "still none")
    shown = told.next_json()
    if "no sound" in shown["words"]:  # a busy relay came to that ticket only after she had asked
        shown = told.next_json()
    assert (shown["kind"], "still none" in shown["words"]) == ("new", True)
    assert told.end() != 0
    oidc = admin.json("account", "oidc", "--issuer", "off")
    assert oidc["issuer"] == ""
    assert tess.refused("login", stage.url, "--oidc") == "oidc-off"
