"""The shipped scripts: whole, within the rules for manifests, and the read-only ones really run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farhand_agent.checks.registry import checks
from farhand_console.library.catalogue import BODIES, ShippedScript, read_script, shipped
from farhand_protocol.errors import FarhandError
from farhand_protocol.parameters import check_parameters, check_schema

SCRIPTS = {script.id: script for script in shipped()}
READING = [script for script in SCRIPTS.values() if script.risk == "R0"]


def run_as_the_runner_would(
    script: ShippedScript, folder: Path, parameters: dict[str, object]
) -> subprocess.CompletedProcess[bytes]:
    body = folder / BODIES[script.interpreter]
    body.write_bytes(script.body)
    given = folder / "parameters.json"
    given.write_text(json.dumps(parameters))
    argv = (
        [sys.executable, "-I", str(body)] if script.interpreter == "python" else ["sh", str(body)]
    )
    return subprocess.run(
        argv,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={"FARHAND_PARAMETERS": str(given), "PATH": os.defpath},
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_every_script_keeps_the_rules(script: ShippedScript) -> None:
    check_schema(script.parameters)
    check_parameters(script.parameters, {})
    assert script.version >= 1
    assert set(script.platforms) <= {"linux", "windows", "macos"}
    assert script.platforms
    assert script.risk in ("R0", "R1", "R2", "R3")
    assert script.run_as in ("agent", "root")
    assert 1 <= script.timeout_s <= 86_400
    assert script.title.strip()
    assert script.description.strip()
    assert script.body.strip()
    for other in (script.detect, script.verify):
        assert other is None or SCRIPTS[other].risk == "R0"


def test_reading_needs_no_root_and_every_check_has_its_script() -> None:
    assert all(script.run_as == "agent" for script in READING)
    assert len(READING) >= 12
    named = {script.id.removeprefix("check.") for script in READING if script.id[:6] == "check."}
    assert named == set(checks())
    assert len({script.body for script in READING if script.id[:6] == "check."}) == 1


# The checks share one body (tests/agent/checks compares), and each check is tried there: two of them
# here as processes.
RUN = ("check.disk.space", "check.time.zone")


@pytest.mark.parametrize(
    "script",
    [one for one in READING if one.id in RUN or not one.id.startswith("check.")],
    ids=lambda script: script.id,
)
def test_every_reading_body_prints_one_finding(script: ShippedScript, tmp_path: Path) -> None:
    parameters = check_parameters(script.parameters, {})
    done = run_as_the_runner_would(script, tmp_path, parameters)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if script.id == "patch.check":
        assert found["next"] is None
        return
    assert set(found) >= {"id", "state", "summary", "plain", "value", "unit", "remedy"}
    assert found["id"] == script.id.removeprefix("check.")
    assert found["state"] in ("ok", "warning", "critical", "unknown", "unsupported")
    assert found["remedy"] is None or found["remedy"] in SCRIPTS


def test_parameters_reach_the_check(tmp_path: Path) -> None:
    script = SCRIPTS["check.uptime"]
    given = check_parameters(script.parameters, {"warning_days": 0, "critical_days": 0})
    done = run_as_the_runner_would(script, tmp_path, given)
    assert json.loads(done.stdout)["state"] == "critical"


@pytest.mark.parametrize(
    "document", ["[]", "{", "{}", '{"check": "uptime", "warning_days": "many"}']
)
def test_parameters_that_cannot_be_used_fail_the_script(tmp_path: Path, document: str) -> None:
    body = tmp_path / "script.py"
    body.write_bytes(SCRIPTS["check.uptime"].body)
    given = tmp_path / "parameters.json"
    given.write_text(document)
    done = subprocess.run(
        [sys.executable, "-I", str(body)],
        capture_output=True,
        env={"FARHAND_PARAMETERS": str(given)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"check-parameters" in done.stderr
    assert done.stdout == b""


def test_remedies_named_by_checks_exist() -> None:
    source = Path(__file__).parents[3] / "agent/farhand_agent/checks/builtin"
    text = "".join(file.read_text() for file in source.glob("*.py"))
    for name in ("remedy.dns.flush", "patch.apt.apply", "patch.dnf.apply"):
        assert name in text
        assert SCRIPTS[name].risk in ("R1", "R2")


def test_the_shell_remedy_is_sound_and_says_what_it_did(tmp_path: Path) -> None:
    script = SCRIPTS["remedy.dns.flush"]
    subprocess.run(["sh", "-n"], input=script.body, check=True)
    done = run_as_the_runner_would(script, tmp_path, {})
    assert set(json.loads(done.stdout)) == {"flushed", "failed"}


@pytest.mark.parametrize("broken", ["", "x = 1", 'id = "other"\ninterpreter = "perl"'])
def test_a_broken_folder_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "manifest.toml").write_text(broken)
    with pytest.raises(FarhandError) as caught:
        read_script(tmp_path)
    assert caught.value.code == "library-broken"
