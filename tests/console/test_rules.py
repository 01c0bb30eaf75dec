"""The rules of groups on the command line: one option for each field, made from its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec
import pyrage
import pytest
from click.testing import CliRunner, Result

from farhand_console.cli.base import Context
from farhand_console.cli.entry import farhand
from farhand_console.cli.rules import _changes
from farhand_console.home import Home
from farhand_protocol.errors import UsageError
from farhand_protocol.trust import POLICY_PATH, GroupPolicy, Policy, decode_document
from tests.console.organisation import Organisation, settings
from tests.console.test_command_line import command_of


def options(*words: str) -> dict[str, click.Option]:
    found = command_of([*words]).params
    return {one.name or "": one for one in found if isinstance(one, click.Option)}


def test_every_field_has_an_option_with_words() -> None:
    assert isinstance(farhand, click.Group)
    for struct, command, elsewhere in (
        (GroupPolicy, "policy", set()),
        (Policy, "rules", {"tenant", "groups"}),
    ):
        there = options("trust", command)
        for field in msgspec.structs.fields(struct):
            if field.name not in elsewhere:
                assert there[field.name].help, field.name


def test_what_is_not_given_is_not_changed_and_lists_are_replaced() -> None:
    given: dict[str, Any] = dict.fromkeys(options("trust", "policy"), None) | {
        "attended": False,
        "scopes": ("view, files", "view"),
        "files_roots": ("/srv", "/home"),
        "hours": ("mon,tue 08:00-18:00",),
        "forward_to": ("",),
        "audit_keys": (),
    }
    assert _changes(GroupPolicy, given) == {
        "attended": False,
        "scopes": ["view", "files"],
        "files_roots": ["/srv", "/home"],
        "hours": ["mon,tue 08:00-18:00"],
        "forward_to": [],
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [("forward_to", "host:0"), ("forward_to", ":80"), ("files_roots", "/a/../b"), ("risks", "R4")],
)
def test_values_of_lists_are_checked(field: str, value: str) -> None:
    with pytest.raises(UsageError):
        _changes(GroupPolicy, {field: (value,)})


def test_none_takes_a_bound_away() -> None:
    kind = options("trust", "policy")["file_bytes_max"].type
    assert _changes(GroupPolicy, {"file_bytes_max": kind.convert("none", None, None)}) == {
        "file_bytes_max": None
    }
    assert _changes(GroupPolicy, {"file_bytes_max": kind.convert("7", None, None)}) == {
        "file_bytes_max": 7
    }


Publishing = tuple[Callable[..., Result], list[Policy]]


@pytest.fixture
def publishing(
    home: Home, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> Publishing:
    """`trust policy office WORDS`, and what it signed."""
    signed: list[Policy] = []

    def publish(_relay: Any, fresh: Any, _signer: Any, change: Any) -> None:
        body = change(fresh()).files[POLICY_PATH]
        signed.append(decode_document(body, Policy))
        organisation.trust.policy = signed[-1]

    monkeypatch.setattr("farhand_console.cli.rules.publish", publish)
    monkeypatch.setattr(Context, "fresh_trust", lambda _: organisation.trust)
    monkeypatch.setattr(Context, "signer", lambda _: organisation.admin)
    settings(home)

    def policy(*words: str) -> Result:
        line = ["--home", str(home.folder), "trust", "policy", "office", *words]
        return CliRunner().invoke(farhand, line)

    return policy, signed


def test_recordings_that_cannot_be_are_not_signed(publishing: Publishing) -> None:
    policy, signed = publishing
    key = ("--audit-key", str(pyrage.x25519.Identity.generate().to_public()))
    refused = policy("--recording", "required")
    assert (refused.exit_code, signed) == (2, [])
    assert "error: recording-impossible: " in refused.stderr
    told = policy("--recording", "on")
    assert (told.exit_code, len(signed)) == (0, 1)
    assert "nothing is recorded" in told.stderr
    assert "nothing is recorded" not in policy("--recording", "required", *key).stderr
    # Nor is the key taken away from under it.
    assert policy("--audit-key", "").exit_code == 2
    assert len(signed) == 2


def test_names_that_nobody_knows_are_told_of_and_what_is_no_name_is_refused(
    publishing: Publishing,
) -> None:
    policy, signed = publishing
    known = ("--schedule", "a: every 1d; checks disk.space, uptime")
    told = policy(*known, "--schedule", "b: every 1d; inventory os, software")
    assert (told.exit_code, len(signed)) == (0, 1)
    assert "called" not in told.stderr
    told = policy("--schedule", "a: every 1d; checks disk.spce", "--inventory-section", "processs")
    assert (told.exit_code, len(signed)) == (0, 2)
    assert "warning: no check is called disk.spce here; is it disk.space?" in told.stderr
    assert "warning: no section is called processs here; is it processes?" in told.stderr
    for line in ("a: every 1d; checks Disk", "a: every 1d; inventory S!", "a: every 1d; look os"):
        refused = policy("--schedule", line)
        assert (refused.exit_code, len(signed)) == (2, 2), line
        assert "error: usage: " in refused.stderr


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("disk.space warning_percent=99", "warning_percent 99 lies beyond critical_percent 95"),
        ("disk.space critical_percent=10", "warning_percent 85 lies beyond critical_percent 10"),
        ("net.wifi warning_dbm=-85", "warning_dbm -85 lies beyond critical_dbm -80"),
        ("net.wifi warning_dbm=-60 critical_dbm=-50", "warning_dbm -60 lies beyond"),
    ],
)
def test_thresholds_that_contradict_each_other_are_not_signed(
    publishing: Publishing, check: str, words: str
) -> None:
    policy, signed = publishing
    refused = policy("--schedule", f"disks: every 1d; checks {check}")
    assert (refused.exit_code, signed) == (2, [])
    assert "error: check-parameters: schedule disks: " in refused.stderr
    assert words in refused.stderr


def test_thresholds_that_agree_and_those_of_newer_checks_are_signed(publishing: Publishing) -> None:
    policy, signed = publishing
    checks = "disk.space warning_percent=95, net.wifi critical_dbm=-70, new.check warning_x=9"
    assert policy("--schedule", f"disks: every 1d; checks {checks}").exit_code == 0
    assert len(signed) == 1
