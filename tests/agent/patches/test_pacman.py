"""The pacman provider against the real program in a scratch root."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from farhand_agent.patches.pacman_output import classify, parse_plan, parse_updates
from farhand_agent.patches.pacman_provider import PacmanProvider
from farhand_agent.patches.provider import Change, ProviderError
from farhand_agent.platforms.files import SystemFiles


class ScratchPacman:
    """A root with fhpac 1-1 and fhheld 1-1 (ignored), and a repository with 2-1 of both."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.repository = folder / "repository"
        self.private = folder / "private"
        for name in ("var/lib/pacman", "var/cache/pacman/pkg", "var/log", "etc"):
            (self.root / name).mkdir(parents=True)
        self.repository.mkdir()
        self.config = self.root / "etc/pacman.conf"
        self.config.write_text(
            f"[options]\nRootDir={self.root}\nDBPath={self.root}/var/lib/pacman/\n"
            f"CacheDir={self.root}/var/cache/pacman/pkg/\nLogFile={self.root}/var/log/pacman.log\n"
            f"GPGDir={self.root}/etc/gnupg\nHookDir={self.root}/etc/hooks\nArchitecture=auto\n"
            "IgnorePkg=fhheld\nSigLevel=Never\nLocalFileSigLevel=Never\n"
            f"[fh]\nServer=file://{self.repository}\n"
        )
        cache = self.root / "var/cache/pacman/pkg"
        old = [str(build(cache, name, "1-1")) for name in ("fhpac", "fhheld")]
        subprocess.run(
            ["pacman", "--config", str(self.config), "-U", "--noconfirm", *old],
            check=True, capture_output=True,
        )  # fmt: skip
        offered = [("fhpac", "2-1", "fhnew"), ("fhheld", "2-1", ""), ("fhnew", "1-1", "")]
        with tarfile.open(self.repository / "fh.db", "w:gz") as database:
            for name, version, needs in offered:
                file = build(self.repository, name, version, needs)
                data = file.read_bytes()
                fields = {
                    "FILENAME": file.name, "NAME": name, "VERSION": version, "ARCH": "any",
                    "CSIZE": len(data), "ISIZE": 0,
                    "SHA256SUM": hashlib.sha256(data).hexdigest(),
                } | ({"DEPENDS": needs} if needs else {})  # fmt: skip
                text = "".join(f"%{key}%\n{value}\n\n" for key, value in fields.items())
                add(database, f"{name}-{version}/desc", text)

    def provider(self) -> PacmanProvider:
        return PacmanProvider(
            files=SystemFiles(self.root),
            options={"pacman": ("--config", str(self.config))},
            private=self.private,
        )


def build(folder: Path, name: str, version: str, needs: str = "") -> Path:
    file = folder / f"{name}-{version}-any.pkg.tar.gz"
    text = f"pkgname = {name}\npkgver = {version}\narch = any\nsize = 0\nbuilddate = 1700000000\n"
    with tarfile.open(file, "w:gz") as package:
        add(package, ".PKGINFO", text + (f"depend = {needs}\n" if needs else ""))
        add(package, f"usr/share/{name}", version)
    return file


def add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text.encode()))


@pytest.fixture
def system(tmp_path: Path) -> ScratchPacman:
    return ScratchPacman(tmp_path)


@pytest.mark.needs("pacman")
@pytest.mark.skipif(os.geteuid() != 0, reason="pacman changes nothing for anyone but root")
class TestForReal:
    """Everything that the real program answers."""

    def test_it_lists_plans_applies_and_goes_back(self, system: ScratchPacman) -> None:
        one = system.provider()
        one.refresh()
        # The system's own indexes stay as they are: with new ones and old packages it is an
        # upgrade in part, which Arch does not support.
        assert not (system.root / "var/lib/pacman/sync/fh.db").exists()
        found = one.list()
        by_id = {update.id: update for update in found.updates}
        assert set(by_id) == {"fhpac", "fhheld"}
        assert (by_id["fhpac"].installed, by_id["fhpac"].available) == ("1-1", "2-1")
        assert by_id["fhheld"].held
        assert not found.security_labelled
        assert found.refreshed_at is not None

        plan = one.plan(None)
        assert {update.id for update in plan.updates} == {"fhpac", "fhnew"}
        result = one.apply(plan)
        assert set(result.done) == {"fhpac", "fhnew"}
        assert [update.id for update in one.list().updates] == ["fhheld"]

        back = one.rollback(result.changes)  # fhnew was not there before: it stays
        assert back.changes == (Change(id="fhpac", name="fhpac", before="2-1", after="1-1"),)
        with pytest.raises(ProviderError) as caught:
            one.rollback([Change(id="fhpac", name="fhpac", before="0-1", after="1-1")])
        assert caught.value.code == "patch-no-rollback"

    def test_never_refreshed_is_not_up_to_date(self, system: ScratchPacman) -> None:
        with pytest.raises(ProviderError) as caught:
            system.provider().list()
        assert caught.value.code == "patch-not-refreshed"

    def test_a_lock_is_told_and_left_alone(self, system: ScratchPacman) -> None:
        one = system.provider()
        one.refresh()
        plan = one.plan(None)
        lock = system.root / "var/lib/pacman/db.lck"
        lock.touch()
        with pytest.raises(ProviderError) as caught:
            one.apply(plan)
        assert caught.value.code == "patch-locked"
        assert lock.exists()

    def test_a_part_of_an_upgrade_is_refused(self, system: ScratchPacman) -> None:
        one = system.provider()
        one.refresh()
        with pytest.raises(ProviderError) as caught:
            one.plan(["fhheld"])
        assert caught.value.code == "patch-all-or-nothing"

    def test_one_stands_for_nothing_to_update_too(self, system: ScratchPacman) -> None:
        (system.repository / "fh.db").write_bytes(empty_database())
        one = system.provider()
        one.refresh()
        assert one.list().updates == ()


def empty_database() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz"):
        pass
    return data.getvalue()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("error: failed to init transaction (unable to lock database)\nerror: could not lock "
         "database: File exists", "locked"),
        ("error: you cannot perform this operation unless you are root.", "denied"),
        ("error: target not found: nosuch", "unknown-update"),
        ("error: fh: signature from \"X\" is unknown trust", "untrusted"),
        ("error: failed retrieving file 'core.db' from mirror : Could not resolve host", "network"),
        ("error: failed to commit transaction (conflicting files)", "unmet-dependencies"),
        ("error: ?", "failed"),
    ],
)  # fmt: skip
def test_words_tell_the_class(words: str, code: str) -> None:
    assert classify(1, words).code == f"patch-{code}"


def test_rows_that_are_none_are_skipped() -> None:
    assert parse_updates("warning: x\n--root 1 -> 2\nfoo 1 2\n") == []
    assert parse_plan("http://x/y.pkg\n") == []


def test_a_pacman_without_packages_rules_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farhand_agent.patches.pacman_provider.installed", lambda name: True)
    local = tmp_path / "var/lib/pacman/local"
    local.mkdir(parents=True)
    (local / "ALPM_DB_VERSION").write_text("9\n")
    provider = PacmanProvider(files=SystemFiles(tmp_path))
    assert not provider.present()
    (local / "zlib-1:1.3-1").mkdir()
    assert provider.present()
