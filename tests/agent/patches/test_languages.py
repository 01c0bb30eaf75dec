"""The pip and npm providers: asked only when named, and never changing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farhand_agent.patches import command
from farhand_agent.patches.command import list_all
from farhand_agent.patches.npm_output import classify, parse_audit, parse_outdated
from farhand_agent.patches.npm_provider import NpmProvider
from farhand_agent.patches.pip_output import parse_audit as parse_pip_audit
from farhand_agent.patches.pip_provider import PipProvider
from farhand_agent.patches.provider import Plan, ProviderError
from farhand_agent.platforms.files import SystemFiles
from tests.agent.patches.replay import Replay, printed, recorded

INTERPRETER = "/usr/bin/python3"
MARKER = "/usr/lib/python3.11/EXTERNALLY-MANAGED"
OUTDATED = json.dumps(
    [
        {"name": "pip", "version": "23.0.1", "latest_version": "26.0", "latest_filetype": "wheel"},
        {"name": "--evil", "version": "1", "latest_version": "2", "latest_filetype": "sdist"},
    ]
)
AUDIT = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "corepack": {
            "name": "corepack",
            "severity": "high",
            "via": [{"source": 1, "url": "https://example.org/GHSA-1"}, "other"],
        }
    },
}
REFUSED = '{"message": "405 Method Not Allowed - POST https://r/-/npm/v1/security/advisories/bulk"}'


def python(tmp_path: Path, *, managed: bool) -> tuple[PipProvider, Replay]:
    for name in (INTERPRETER, *((MARKER,) if managed else ())):
        path = tmp_path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    replay = Replay({"--outdated": printed(OUTDATED), "-c": printed(MARKER + "\n")})
    return PipProvider(replay, SystemFiles(tmp_path), interpreters=(INTERPRETER,)), replay


@pytest.mark.parametrize("managed", [True, False])
def test_pip_leaves_what_the_system_manages_to_the_system(tmp_path: Path, managed: bool) -> None:
    one, replay = python(tmp_path, managed=managed)
    found = one.list()
    (update,) = found.updates
    assert (update.id, update.name) == (f"pip@{INTERPRETER}", "pip")
    assert update.kept_back is managed
    assert (INTERPRETER in found.reason) is managed
    assert not found.security_labelled
    assert "-I" in replay.called("--outdated")


def test_an_interpreter_without_pip_is_passed_over(tmp_path: Path) -> None:
    one, replay = python(tmp_path, managed=False)
    replay.answers["--outdated"] = printed(
        error="/usr/bin/python3: No module named pip\n", exit_code=1
    )
    assert one.list().updates == ()


def test_an_index_that_cannot_be_reached_is_no_empty_list(tmp_path: Path) -> None:
    one, replay = python(tmp_path, managed=False)
    replay.answers["--outdated"] = printed(
        error="WARNING: Retrying ... NewConnectionError('Failed to establish a new connection')\n",
        exit_code=2,
    )
    with pytest.raises(ProviderError) as caught:
        one.list()
    assert caught.value.code == "patch-network"


def test_pip_audit_is_judged_by_its_document() -> None:
    document = {"dependencies": [{"name": "Jinja2", "version": "2", "vulns": [{"id": "PYSEC-1"}]}]}
    assert parse_pip_audit(json.dumps(document)) == {"jinja2": ["PYSEC-1"]}
    with pytest.raises(ProviderError) as caught:
        parse_pip_audit("ERROR:pip_audit:connection refused")
    assert caught.value.code == "patch-unreadable"


def test_one_stands_for_outdated_packages() -> None:
    replay = Replay({"outdated": printed(recorded("npm-11-outdated.json"), exit_code=1)})
    found = NpmProvider(replay).list()
    assert [(u.name, u.installed, u.available) for u in found.updates] == [
        ("corepack", "0.34.6", "0.34.7"),
        ("npm", "11.19.1", "11.21.2"),
    ]
    assert not found.security_labelled
    # npm audits no global packages, so nobody asks it to.
    assert len(replay.calls) == 1


def test_one_stands_for_errors_too() -> None:
    error = '{"error": {"code": "ENOTFOUND", "summary": "network getaddrinfo", "detail": ""}}'
    with pytest.raises(ProviderError) as caught:
        NpmProvider(Replay({"outdated": printed(error, exit_code=1)})).list()
    assert caught.value.code == "patch-network"


def test_nothing_outdated_is_an_empty_object() -> None:
    assert NpmProvider(Replay({"outdated": printed("{}\n")})).list().updates == ()


@pytest.mark.parametrize(("audit", "labelled"), [(json.dumps(AUDIT), True), (REFUSED, False)])
def test_an_audit_is_judged_by_its_document(tmp_path: Path, audit: str, labelled: bool) -> None:
    outdated = printed(recorded("npm-11-outdated.json"), exit_code=1)
    replay = Replay({"outdated": outdated, "audit": printed(audit, exit_code=1)})
    found = NpmProvider(replay, project=tmp_path).list()
    assert found.security_labelled is labelled
    corepack, npm = found.updates
    assert corepack.kind == ("security" if labelled else "unknown")
    assert corepack.severity == ("important" if labelled else "unknown")
    assert npm.kind == "unknown"


def test_errors_of_an_audit_are_told_from_reports() -> None:
    for text, code in (
        (REFUSED, "patch-network"),
        (recorded("npm-11-audit-global.json").decode(), "patch-unknown-update"),
        ("{}", "patch-unreadable"),
        ("npm error", "patch-unreadable"),
    ):
        with pytest.raises(ProviderError) as caught:
            parse_audit(text)
        assert caught.value.code == code
    assert parse_outdated("") == []
    assert classify(1, "EACCES: permission denied").code == "patch-denied"


def test_both_report_only(tmp_path: Path) -> None:
    for one in (python(tmp_path, managed=False)[0], NpmProvider(Replay({}))):
        with pytest.raises(ProviderError) as caught:
            one.apply(Plan(provider=one.name, updates=()))
        assert caught.value.code == "patch-report-only"


def test_nobody_asks_them_who_did_not_name_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, replay = python(tmp_path, managed=False)
    monkeypatch.setattr(command, "providers", lambda: [one])
    monkeypatch.setattr(command, "state_folder", lambda: tmp_path / "state")
    assert list_all() == []
    assert replay.calls == []
    assert len(list_all(["pip"])) == 1
    assert len(list_all(languages=True)) == 1
