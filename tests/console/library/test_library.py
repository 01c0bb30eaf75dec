"""The shipped scripts: whole, within the rules for manifests, and the read-only ones really run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from farhand_agent.checks.registry import checks
from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_console.library.catalogue import BODIES, ShippedScript, read_script, shipped
from farhand_console.library.known_names import SECTIONS, check_names, unknown_names
from farhand_console.library.thresholds import contradictions, threshold_names
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
    if not script.parameters.get("required"):
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


# The checks share one body, and each check is tried in tests/agent/checks: two of them here as
# processes.
RUN = ("check.disk.space", "check.time.zone")


@pytest.mark.parametrize(
    "script",
    [one for one in READING if one.id in RUN or one.id.startswith("patch.")],
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
    "document",
    [
        "[]",
        "{",
        "{}",
        '{"check": "uptime", "warning_days": "many"}',
        '{"check": "uptime", "warning_days": 91, "critical_days": 90}',
    ],
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


def test_remedies_named_by_checks_exist_and_change_no_more_than_is_said() -> None:
    for check in checks().values():
        for remedy in check.remedies:
            assert SCRIPTS[remedy].risk in ("R1", "R2")
            assert SCRIPTS[remedy].risk <= check.risk


def test_the_shell_remedy_is_sound_and_says_what_it_did(tmp_path: Path) -> None:
    script = SCRIPTS["remedy.dns.flush"]
    subprocess.run(["sh", "-n"], input=script.body, check=True)
    done = run_as_the_runner_would(script, tmp_path, {})
    assert set(json.loads(done.stdout)) == {"flushed", "failed"}


def tools(folder: Path, **bodies: str) -> None:
    """Make programs that write down how they were called, and then do what their body says."""
    folder.mkdir()
    for name in ("grep", "sed", "cut", "du", "sleep"):
        (folder / name).symlink_to(shutil.which(name) or "/missing")
    for name, body in bodies.items():
        program = folder / name.replace("_", "-")
        program.write_text(f'#!/bin/sh\necho "{program.name} $*" >>"$CALLS"\n{body}\n')
        program.chmod(0o755)


def with_tools(
    script: str, tmp_path: Path, **bodies: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a shell remedy that sees only made-up programs; return how it ended and their calls."""
    folder = tmp_path / "bin"
    tools(folder, **bodies)
    line = b"PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
    body = SCRIPTS[script].body
    assert body.count(line) == 1
    (tmp_path / "body").write_bytes(body.replace(line, f"PATH={folder}\n".encode()))
    calls = tmp_path / "calls"
    calls.touch()
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "body")],
        capture_output=True,
        text=True,
        env={"CALLS": str(calls)},
        timeout=60,
        check=False,
    )
    return done, calls.read_text().splitlines()


def test_the_clock_is_set_by_whoever_keeps_it(tmp_path: Path) -> None:
    done, calls = with_tools("remedy.clock.sync", tmp_path, chronyc="")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"by": "chrony", "done": True})
    assert calls[-1] == "chronyc makestep"


def test_the_clock_without_chrony_and_without_anybody(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    done, calls = with_tools("remedy.clock.sync", tmp_path / "a", systemctl="")
    assert json.loads(done.stdout) == {"by": "systemd-timesyncd", "done": True}
    assert calls[-1] == "systemctl restart systemd-timesyncd"
    (tmp_path / "b").mkdir()
    done, calls = with_tools("remedy.clock.sync", tmp_path / "b", systemctl="exit 1")
    assert (done.returncode, json.loads(done.stdout)["done"]) == (1, False)


def test_printing_is_started_again(tmp_path: Path) -> None:
    lpstat = (
        'case $1 in -o) echo "Office-12 ada 1024 Sun";; -r) echo "scheduler is running";;'
        ' -p) echo "printer Office disabled since Sun -"; echo "printer Home is idle.";; esac'
    )
    bodies = {"lpstat": lpstat, "cancel": "", "systemctl": "", "cupsenable": "", "cupsaccept": ""}
    done, calls = with_tools("remedy.print.reset", tmp_path, **bodies)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"jobs_cancelled": 1, "queues_enabled": 1}
    for call in ("cancel -a", "systemctl restart cups", "cupsenable Office", "cupsaccept Office"):
        assert call in calls


def test_the_journal_is_shortened(tmp_path: Path) -> None:
    done, calls = with_tools("remedy.journal.vacuum", tmp_path, journalctl="")
    assert set(json.loads(done.stdout)) == {"before_bytes", "after_bytes"}
    assert (done.returncode, calls) == (
        0,
        ["journalctl --rotate", "journalctl --vacuum-size=500M"],
    )


def test_caches_are_emptied_by_those_that_are_there(tmp_path: Path) -> None:
    done, calls = with_tools("remedy.packages.clean", tmp_path, apt_get="", pacman="exit 3")
    assert json.loads(done.stdout) == {"cleaned": ["apt"], "failed": ["pacman"]}
    assert (done.returncode, calls) == (1, ["apt-get clean", "pacman -Sc --noconfirm"])


@pytest.mark.parametrize(("audit", "code"), [("", 0), ('echo " libfoo1 x"', 1)])
def test_installations_are_finished(tmp_path: Path, audit: str, code: int) -> None:
    dpkg = f'[ "$1" = --audit ] || exit 0\n{audit}'
    done, calls = with_tools("remedy.packages.repair", tmp_path, dpkg=dpkg, apt_get="")
    assert done.returncode == code
    found = json.loads(done.stdout)
    assert found == {"configured": True, "completed": True, "left": code}
    assert calls[0].endswith("--configure -a")
    assert "--no-remove" in calls[1]


def test_a_service_that_is_no_name_cannot_be_restarted() -> None:
    schema = SCRIPTS["remedy.service.restart"].parameters
    check_parameters(schema, {"service": "ssh"})
    for bad in ({}, {"service": "--now"}, {"service": "a b"}, {"service": "a/../b"}):
        with pytest.raises(FarhandError):
            check_parameters(schema, bad)


@pytest.mark.parametrize("broken", ["", "x = 1", 'id = "other"\ninterpreter = "perl"'])
def test_a_broken_folder_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "manifest.toml").write_text(broken)
    with pytest.raises(FarhandError) as caught:
        read_script(tmp_path)
    assert caught.value.code == "library-broken"


def test_the_names_of_checks_and_sections_are_those_of_the_agent() -> None:
    assert set(CATALOGUE) == SECTIONS
    assert check_names() == checks().keys()
    assert unknown_names("section", ["softwre", "os", "softwre"], SECTIONS) == [
        "no section is called softwre here; is it software?"
    ]


def test_the_thresholds_that_are_compared_are_the_checks_own() -> None:
    for check_id, check in checks().items():
        known = threshold_names(check_id)
        assert known == {
            name: (limit.warning, limit.critical) for name, limit in check.limits.items()
        }
        for name, limit in check.limits.items():
            beyond = {f"warning_{name}": limit.critical, f"critical_{name}": limit.warning}
            assert len(contradictions(check_id, beyond)) == (limit.warning != limit.critical)
            assert not contradictions(check_id, {f"warning_{name}": limit.critical})
    assert threshold_names("../check.disk.space") == threshold_names("no.such") == {}
    assert contradictions("disk.space", {"warning_percent": "many"})
