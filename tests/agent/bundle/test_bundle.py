"""A bundle from the collecting to the sealed file, and what its command asks and refuses."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner, Result

from farhand_agent.bundle import contents as contents_module
from farhand_agent.bundle import logs, sealing
from farhand_agent.bundle.contents import Wanted, collect
from farhand_agent.bundle.crashes import list_crashes
from farhand_agent.bundle.logs import LOGS, collect_log
from farhand_agent.bundle.names import KnownNames, NameCleaner
from farhand_agent.bundle.sealing import signature_of, token_key
from farhand_agent.cli import cli
from farhand_agent.config import Home
from farhand_agent.platforms.commands import CommandMissing, Outcome
from farhand_protocol.bundles import open_bundle_manifest
from farhand_protocol.envelopes import decode_envelope, signers

IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check and no package manager is asked here; what they answer is tested with them."""
    monkeypatch.setattr(contents_module, "run_checks", lambda: [{"id": "disk.space"}])
    monkeypatch.setattr(contents_module, "list_all", list)


def command(*arguments: str, typed: str = "", language: str = "en") -> Result:
    words = ["bundle", *arguments]
    return CliRunner().invoke(cli, words, input=typed, env={"FARHAND_LANG": language})


def opened(path: Path) -> dict[str, bytes]:
    plain = pyrage.decrypt(path.read_bytes(), [IDENTITY])
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """The command for a device that was never enrolled."""
    to = tmp_path / "to.txt"
    to.write_text(f"# help desk\n{IDENTITY.to_public()}\n")
    return ["--home", str(tmp_path / "home"), "--to", str(to), "--out", str(tmp_path / "b"),
            "--sections", "os", "--logs", "none"]  # fmt: skip


def test_a_device_that_was_never_enrolled_makes_one_unsigned(
    words: list[str], tmp_path: Path
) -> None:
    done = command(*words, "--yes", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    files = opened(tmp_path / "b")
    assert sorted(files) == ["about.json", "checks.json", "crashes.json", "inventory.json",
                             "manifest.json", "patches.json"]  # fmt: skip
    envelope = decode_envelope(files["manifest.json"])
    manifest = open_bundle_manifest(envelope)
    assert (manifest.device, envelope.signatures) == ("", [])
    assert [one.name for one in manifest.files] == [one["name"] for one in told["files"]]
    assert json.loads(files["inventory.json"])["sections"]["os"]["status"] == "ok"
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert "Not signed: this device was never enrolled." in done.stderr
    again = command(*words, "--yes")
    assert again.exit_code != 0
    assert getattr(again.exception, "code", "") == "file-exists"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda w: w, "bundle-declined"),
        (lambda w: [*w, "--yes", "--clean", "shoes"], "clean-unknown"),
        (lambda w: [*w, "--yes", "--logs", "diary"], "log-unknown"),
        (lambda w: [*w, "--yes", "--sections", "shoes"], "section-unknown"),
        (lambda w: [*w, "--yes", "--without", "shoes"], "usage"),
        (lambda w: [*w[:2], *w[4:], "--yes"], "bundle-no-recipient"),
    ],
)
def test_nothing_is_written_otherwise(
    words: list[str], tmp_path: Path, change: Callable[[list[str]], list[str]], code: str
) -> None:
    done = command(*change(words))
    assert getattr(done.exception, "code", "") == code
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("language", "typed", "is_written"),
    [
        ("en", "yes\n", True),
        ("de", "checks.json\nja\n", True),
        ("pt", "sim\n", True),
        ("en", "\n", False),
        ("en", "ja\n", False),
        ("ru", "нет\n", False),
    ],
)
def test_she_sees_it_first_and_only_her_yes_writes_it(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    typed: str,
    is_written: bool,
) -> None:
    monkeypatch.setattr("farhand_agent.bundle.command._is_somebody_there", lambda: True)
    done = command(*words, typed=typed, language=language)
    assert (tmp_path / "b").exists() is is_written
    assert "inventory.json" in done.stderr
    assert str(IDENTITY.to_public()) in done.stderr
    if language == "de":
        assert "Was diese Datei enthalten würde" in done.stderr
        assert "disk.space" in done.output
    if not is_written:
        assert getattr(done.exception, "code", "") == "bundle-declined"


def test_a_key_file_that_holds_none(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "to.txt").write_text("age1nonsense\n")
    assert getattr(command(*words, "--yes").exception, "code", "") == "audit-key-malformed"


async def test_an_enrolled_device_signs_for_the_keys_of_its_policy(
    enrolled: Home, tmp_path: Path
) -> None:
    enrolled.policy.write_text(f'audit_keys = ["{IDENTITY.to_public()}"]\n')
    out = tmp_path / "b"
    done = command("--home", str(enrolled.path), "--out", str(out), "--sections", "none",
                   "--logs", "none", "--yes", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    files = opened(out)
    envelope = decode_envelope(files["manifest.json"])
    manifest = open_bundle_manifest(envelope)
    assert signers(envelope, [manifest.device_key]) == {manifest.device_key}
    assert json.loads(done.stdout)["device"] == manifest.device
    assert token_key(signature_of(enrolled)) == token_key(signature_of(enrolled))


def test_everything_is_cleaned_and_nothing_ends_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> Any:
        raise RuntimeError("password=hunter2 on desk-7")

    monkeypatch.setattr(contents_module, "run_checks", broken)
    monkeypatch.setattr(
        contents_module,
        "collect_log",
        lambda name, hours: (
            logs.Excerpt(name, "desk-7 sshd: token=hunter2\n", "")
            if name == "system"
            else logs.Excerpt(name, "", "nobody wrote it")
        ),
    )
    cleaner = NameCleaner(frozenset({"hostname"}), KnownNames(hosts=("desk-7",)), b"k" * 32)
    wanted = Wanted(sections=(), logs=("system", "kernel"))
    made = collect(Home.at(tmp_path), wanted, cleaner)
    assert "checks.json" not in made.files
    token = cleaner.text("desk-7")
    assert made.omitted == [
        f"checks.json: RuntimeError: password=[removed: password] on {token}",
        "logs/kernel.txt: nobody wrote it",
    ]
    assert made.files["logs/system.txt"].decode() == (f"{token} sshd: token=[removed: password]\n")
    assert made.secrets_removed == 2
    assert b"hunter2" not in b"".join(made.files.values())


def test_what_does_not_fit_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.setattr(contents_module, "_ROOM_BYTES", 400)
    cleaner = NameCleaner(frozenset(), KnownNames(), b"k" * 32)
    made = collect(Home.at(tmp_path), Wanted(sections=("os",)), cleaner)
    assert "inventory.json" not in made.files
    assert any(one.startswith("inventory.json: there is no room") for one in made.omitted)
    monkeypatch.undo()
    monkeypatch.setattr(sealing, "MAX_BUNDLE_BYTES", 300)
    few = [*words, "--without", "checks,patches,crashes", "--yes"]
    assert getattr(command(*few).exception, "code", "") == "bundle-too-large"


def runner_of(stdout: bytes, seen: list[Any]) -> Any:
    def run(argv: Any, **options: Any) -> Outcome:
        seen.append((list(argv), options))
        return Outcome(0, stdout, b"")

    return run


def missing(argv: Any, **_: Any) -> Outcome:
    raise CommandMissing(argv[0])


@pytest.mark.parametrize("platform", ["linux", "macos", "windows"])
@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_asked_for_with_bounds(name: str, platform: str, tmp_path: Path) -> None:
    seen: list[Any] = []
    found = collect_log(name, hours=5, root=tmp_path, platform=platform,
                        runner=runner_of(b"line\n", seen))  # fmt: skip
    for argv, options in seen:
        assert options["overflow"] == "tail"
        assert options["max_bytes"] == logs.MAX_EXCERPT_BYTES
        assert argv[0] in ("journalctl", "log", "powershell.exe", "dmesg")
    assert bool(found.text) == bool(seen)
    assert bool(found.reason) != bool(found.text)


def test_without_a_journal_the_end_of_the_file_counts(tmp_path: Path) -> None:
    log = tmp_path / "var/log/syslog"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"first line\n" + b"x" * logs.MAX_EXCERPT_BYTES + b"\nlast line\n")
    found = collect_log("system", hours=5, root=tmp_path, platform="linux", runner=missing)
    assert found.text.startswith("==> /var/log/syslog\n")
    assert found.text.endswith("last line\n")
    assert "first line" not in found.text
    nothing = collect_log("printing", hours=5, root=tmp_path, platform="linux", runner=missing)
    assert (nothing.text, nothing.reason) == ("", "journalctl is not installed")


def test_crash_reports_are_named_and_never_read(tmp_path: Path) -> None:
    folder = tmp_path / "var/crash"
    folder.mkdir(parents=True)
    (folder / "_usr_bin_x.1000.crash").write_text("memory")
    (folder / "link").symlink_to("/etc/shadow")
    found, denied = list_crashes(tmp_path)
    assert [(one["path"], one["size_bytes"]) for one in found] == [
        ("/var/crash/_usr_bin_x.1000.crash", 6)
    ]
    assert denied == []
