"""From a checked order to its outcome: links, answers, and what the runner found wrong itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.scripts.check import Facts, Plan
from farhand_agent.scripts.links import make_assignment
from farhand_agent.scripts.outcome import Outcome, carry_out
from farhand_agent.scripts.workspace import Workspace
from farhand_protocol.answers import read_answer
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.manifest import Manifest, check_manifest
from farhand_protocol.orders import Order
from farhand_protocol.trust import Floors
from tests.agent.organisation import Organisation, now
from tests.agent.scripts.test_check import Case

FINDING = b'printf "{\\"state\\":\\"%s\\",\\"summary\\":\\"-\\"}" '


class Remedy:
    """A remedy with a check before and after it, whose answers a test chooses."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.place.mkdir()
        self.case = Case()
        self.organisation = self.case.organisation
        self.link(b"$(cat %s/state)" % str(place).encode())
        self.found("critical")

    def found(self, state: str) -> None:
        (self.place / "state").write_text(state)

    def link(self, state: bytes, **fields: Any) -> None:
        values = {"id": "check.trouble"} | fields
        self.organisation.add_script(FINDING + state + b"\n", **values)

    def run(self, body: str, parameters: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        text = f"echo ran >>{self.place}/trace\n{body}\n".encode()
        values: dict[str, Any] = {
            "id": "remedy.trouble",
            "risk": "R1",
            "detect": "check.trouble",
            "verify": "check.trouble",
        } | fields
        script = self.organisation.add_script(text, **values)
        _, data = self.organisation.order(script, "d-x", "host", parameters=parameters or {})
        order = open_payload(decode_envelope(data), Order)
        plan = Plan(order, self.organisation.manifest(text, **values), text, parameters or {})
        folder = self.place / "folder"
        folder.mkdir(exist_ok=True)
        assignment = make_assignment(
            plan,
            self.case.verified(),
            self.organisation.targets.get,
            Facts("t", "d", "h", "default", "linux", frozenset({"sh", "python"}), True),
            now(),
        )
        assert assignment.operator_keys == (self.organisation.boss.public_key,)
        with Workspace(folder, plan) as space:
            outcome = carry_out(assignment, folder, space)
        assert list(folder.iterdir()) == []
        return outcome

    @property
    def runs(self) -> int:
        trace = self.place / "trace"
        return trace.read_text().count("ran") if trace.exists() else 0

    def ended(self, outcome: Outcome) -> tuple[str, str | None, str | None, str | None]:
        code = outcome.error.code if outcome.error else None
        return outcome.state, code, outcome.before, outcome.after


@pytest.fixture
def remedy(tmp_path: Path) -> Remedy:
    return Remedy(tmp_path / "remedy")


def test_where_nothing_is_wrong_nothing_runs(remedy: Remedy) -> None:
    remedy.found("ok")
    outcome = remedy.run("true")
    assert remedy.ended(outcome) == ("no_change", None, "ok", None)
    assert (remedy.runs, outcome.ending) == (0, None)


def test_a_remedy_that_helped_and_one_that_did_not(remedy: Remedy) -> None:
    helped = remedy.run(f"printf ok >{remedy.place}/state")
    assert remedy.ended(helped) == ("succeeded", None, "critical", "ok")
    remedy.found("warning")
    useless = remedy.run("true")
    assert remedy.ended(useless) == ("failed", "remedy-without-effect", "warning", "warning")
    assert useless.ending is not None
    assert useless.ending.exit_code == 0
    assert remedy.runs == 2


@pytest.mark.parametrize("said", ["unknown", "unsupported", "nonsense"])
def test_where_nobody_can_tell_the_body_runs(remedy: Remedy, said: str) -> None:
    remedy.found(said)
    seen = "unsupported" if said == "unsupported" else "unknown"
    assert remedy.ended(remedy.run("true")) == ("succeeded", None, seen, seen)
    assert remedy.runs == 1


def test_a_body_that_fails_is_not_looked_after(remedy: Remedy) -> None:
    assert remedy.ended(remedy.run("exit 3")) == ("failed", None, "critical", None)
    assert remedy.ended(remedy.run("sleep 300", timeout_s=1)) == ("timeout", None, "critical", None)


def test_a_script_that_takes_itself_away_and_fails_is_told(remedy: Remedy) -> None:
    outcome = remedy.run(f"rm {remedy.place}/folder/*/script.sh; exit 1", detect=None)
    assert remedy.ended(outcome) == ("failed", "script-vanished", None, None)


def test_parameters_that_a_link_knows_reach_it(remedy: Remedy) -> None:
    schema = {
        "type": "object",
        "properties": {"service": {"type": "string", "enum": ["ok", "critical"]}},
        "additionalProperties": False,
    }
    named = rb"$(sed 's/.*:\"\(.*\)\".*/\1/' \$FARHAND_PARAMETERS)".replace(rb"\$", b"$")
    remedy.link(named, parameters=schema, version=2)
    outcome = remedy.run("true", {"service": "ok", "other": 1})
    assert remedy.ended(outcome) == ("no_change", None, "ok", None)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"id": "check.other"}, "not published"),
        ({"risk": "R1"}, "more than look"),
        ({"expires": "2020-01-01T00:00:00Z"}, "expired"),
        ({"platforms": ["windows"]}, "kind of device"),
        ({"version": 1}, "newer version"),
        ({"network": False}, "network"),
    ],
)
def test_a_link_that_cannot_be_used_refuses_the_remedy(
    remedy: Remedy, fields: dict[str, Any], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Facts.__init__, "__defaults__", (lambda _: None, lambda: False))
    if word == "newer version":
        floors = Floors(tenant=remedy.organisation.tenant, scripts={"check.trouble": 2})
        remedy.organisation.floors = floors
    if word == "not published":
        remedy.organisation.targets.clear()
    remedy.link(b"ok", **fields)
    with pytest.raises(RefusedError) as caught:
        remedy.run("true")
    assert caught.value.code == "script-link"
    assert word in caught.value.message
    assert remedy.runs == 0


def test_a_link_that_was_revoked_or_exchanged_refuses_the_remedy(remedy: Remedy) -> None:
    targets = remedy.organisation.targets
    (path,) = (path for path in targets if path.startswith("scripts/"))
    kept, targets[path] = targets[path], b"evil\n"
    with pytest.raises(RefusedError):
        remedy.run("true")
    assert hashlib.sha256(kept).hexdigest() in path
    targets[path] = kept
    remedy.organisation.revoke("script", "check.trouble")
    with pytest.raises(RefusedError) as caught:
        remedy.run("true")
    assert "revoked" in caught.value.message
    assert remedy.runs == 0


def test_a_link_without_a_finding_judges_nothing(remedy: Remedy) -> None:
    remedy.organisation.add_script(b"echo looked >&2\n", id="patch.look")
    outcome = remedy.run("true", detect="patch.look", verify="patch.look")
    assert remedy.ended(outcome) == ("succeeded", None, None, None)


@pytest.mark.parametrize(
    ("kind", "printed", "state"),
    [
        ("text", "anything", "succeeded"),
        ("object", '{"a":[1]}', "succeeded"),
        ("object", "[1]", "failed"),
        ("object", "{", "failed"),
        ("change", '{"changed":true}', "succeeded"),
        ("change", '{"changed":false}', "no_change"),
        ("change", '{"changed":1}', "failed"),
        ("finding", '{"state":"critical","summary":"x"}', "succeeded"),
        ("finding", '{"state":"bad","summary":"x"}', "failed"),
        ("finding", '{"state":"ok"}', "failed"),
    ],
)
def test_an_answer_is_held_to_its_kind(remedy: Remedy, kind: str, printed: str, state: str) -> None:
    outcome = remedy.run(f"printf %s '{printed}'", answer=kind, detect=None, verify=None)
    assert outcome.state == state
    assert (outcome.error.code if outcome.error else None) == (
        "answer-malformed" if state == "failed" else None
    )


def test_an_answer_that_was_cut_is_none() -> None:
    with pytest.raises(FarhandError):
        read_answer("object", b"{}" + b" " * (256 * 1024))
    assert read_answer("text", b"x") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"run_as": "user:-x"}, {"run_as": "user:"}, {"run_as": "admin"}, {"grace_s": 61},
    ],
)  # fmt: skip
def test_a_manifest_with_what_no_runner_can_do_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(FarhandError):
        check_manifest(Organisation().manifest(b"true\n", **fields))


def test_a_manifest_without_the_newer_fields_reads_as_it_did() -> None:
    made = Organisation().manifest(b"true\n")
    assert (made.network, made.answer, made.limits.files) == (True, "text", 1024)
    assert isinstance(made, Manifest)
