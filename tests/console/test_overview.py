"""What `trust status` tells: who can do what, what expires when, and what needs attention."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farhand_console.cli import trust_status
from farhand_console.cli.trust_status import _show
from farhand_console.overview import overview, what_may
from farhand_console.trust.ceremonies import with_roster
from farhand_console.trust.signing import Change
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.instants import format_instant
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    POLICY_PATH,
    GroupPolicy,
    Operator,
    Policy,
    encode_document,
    manifest_path,
)
from tests.console.organisation import TENANT, manifest, signer
from tests.console.test_ceremonies import Case


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An organisation with an admin, a technician, a lab, and two published scripts."""
    made = Case(tmp_path)
    tess = Operator(
        name="tess",
        keys=[signer().public_key],
        permissions=["order", "author", "approve:read", "session:terminal@lab"],
    )
    made.sign(lambda trust: with_roster(trust, [*trust.roster.operators, tess]))
    policy = Policy(
        tenant=TENANT, approvals=dict(DEFAULT_APPROVALS), groups={"lab": GroupPolicy(lab=True)}
    )
    soon = format_instant(datetime.now(UTC).replace(microsecond=0) + timedelta(days=3))
    files = {POLICY_PATH: encode_document(policy)}
    for name, by in (("check.a", [made.admin]), ("check.b", [])):
        sealed = seal(manifest(id=name, expires=soon), *by)
        files[manifest_path(name, 1)] = encode_envelope(sealed)
    made.sign(lambda _: Change(files))
    return made


def told(case: Case, *, days: float = 0, recovery_here: bool = False) -> Any:
    now = datetime.now(UTC) + timedelta(days=days)
    return overview(case.load(), now=now, recovery_here=recovery_here)


def test_who_can_do_what(case: Case) -> None:
    seen = told(case)
    may = {one["name"]: one["may"] for one in seen.people}
    assert may["tess"] == ["approve R0", "write scripts", "order scripts", "open terminal@lab"]
    assert may["ada"][:3] == ["sign root and targets", "break glass", "approve R0, R1, R2, R3"]
    assert seen.approvals["R0"] == {
        "permission": "approve:read",
        "count": 1,
        "who": ["ada", "tess"],
        "enough": True,
    }
    assert seen.approvals["R3"]["enough"] is False
    assert [(one["group"], one["lab"]) for one in seen.groups] == [("lab", True)]
    everything = Operator(name="x", keys=[], permissions=["session:*@*"])
    assert what_may(everything, case.load().policy) == ["open sessions"]


def test_what_expires_when_the_soonest_first(case: Case) -> None:
    seen = told(case)
    rows = [(one["what"], one["state"]) for one in seen.expires]
    assert rows == [
        ("snapshot", "ok"),
        ("timestamp", "ok"),
        ("check.a 1", "soon"),
        ("check.b 1", "soon"),
        ("targets", "ok"),
        ("root", "ok"),
    ]
    later = {one["what"]: one["state"] for one in told(case, days=25).expires}
    assert (later["targets"], later["check.a 1"], later["timestamp"]) == (
        "soon",
        "expired",
        "expired",
    )


def test_what_needs_attention_is_said(case: Case) -> None:
    seen = told(case, recovery_here=True)
    assert seen.unapproved == ["check.b 1"]
    assert seen.warnings == [
        "check.a 1 expires in 2 days",
        "check.b 1 expires in 2 days",
        "R2 needs 2 people with approve:change, and 1 hold it",
        "R3 needs 2 people with approve:destructive, and 1 hold it",
        "there is one admin: a lost key costs the recovery key",
        "break-glass needs 2 people, and ada alone holds it",
        "1 published scripts lack an approval now",
        "the recovery key still lies in this home: move it away",
    ]


def test_one_screen_shows_all_of_it(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = case.load()
    shown: list[dict[str, Any]] = []

    def show(answer: dict[str, Any], readable: Callable[[], None]) -> None:
        shown.append(answer)
        readable()

    home = SimpleNamespace(folder=tmp_path)
    context: Any = SimpleNamespace(trust=lambda: trust, home=home, show=show)
    trust_status.show_status(context)
    (answer,) = shown
    json.dumps(answer)
    said = capsys.readouterr()
    for words in ("sign root and targets", "2 x approve:destructive", "targets", "lab"):
        assert words in said.out
    assert len(said.out.splitlines()) < 40, "one screen"
    assert "there is one admin" in said.err
    _show(answer | {"groups": [], "warnings": []})
    assert "warning" not in capsys.readouterr().err
