"""What a relay may send in the place of a release, and what a release's file may hold."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.errors import AgentNotRunning
from farhand_agent.trust.verified import ReleaseEntry
from farhand_agent.updates import fetching, unpacking
from farhand_agent.updates.fetching import fetch_release
from farhand_agent.updates.unpacking import is_unpacked, own_platform, unpack_release
from farhand_protocol.errors import FarhandError
from farhand_protocol.releases import release_path

PATH = release_path(own_platform(), "0.2.0")
BODY = bytes(range(256)) * 5000
SITE = f"tree/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def entry(body: bytes = BODY) -> ReleaseEntry:
    return ReleaseEntry(hashlib.sha256(body).hexdigest(), len(body), "ada", ["bo", "cy"])


class Resident:
    """Answers as the resident agent does, out of a file that a relay would serve."""

    def __init__(self, body: bytes = BODY) -> None:
        self.body = body
        self.offsets: list[int] = []
        self.trouble: list[FarhandError] = []

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        assert request["do"] == "release-piece"
        if self.trouble:
            raise self.trouble.pop()
        offset = request["offset"]
        self.offsets.append(offset)
        piece = self.body[offset : offset + 512 * 1024]
        return {"total": len(self.body), "body": base64.b64encode(piece).decode()}


def test_a_release_comes_in_pieces_and_goes_on_where_it_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.0)
    resident = Resident()
    resident.trouble = [AgentNotRunning(), FarhandError("not-connected", "no link")]
    place = tmp_path / "part"
    place.write_bytes(BODY[:700_000])
    fetch_release(resident, PATH, entry(), place)
    assert place.read_bytes() == BODY
    assert resident.offsets[0] == 700_000


def wrong_bytes(resident: Resident) -> None:
    resident.body = BODY[:-1] + b"?"


def longer(resident: Resident) -> None:
    resident.body = BODY + b"?"


def shorter(resident: Resident) -> None:
    resident.body = BODY[:-1]


@pytest.mark.parametrize("spoil", [wrong_bytes, longer, shorter])
def test_a_relay_that_serves_other_bytes_is_refused(tmp_path: Path, spoil: Any) -> None:
    resident = Resident()
    spoil(resident)
    with pytest.raises(FarhandError, match="release-mismatch"):
        fetch_release(resident, PATH, entry(), tmp_path / "part")
    # The next try begins anew, and with an honest relay it ends well.
    fetch_release(Resident(), PATH, entry(), tmp_path / "part")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"total": -1, "body": ""}, "release-missing"),
        ({"total": len(BODY), "body": ""}, "release-mismatch"),
        ({"total": len(BODY), "body": "?"}, "release-unreachable"),
        ({}, "release-unreachable"),
        (
            {"total": len(BODY), "body": base64.b64encode(bytes(600_000)).decode()},
            "release-mismatch",
        ),
    ],
)
def test_every_other_answer_has_its_code(tmp_path: Path, answer: dict[str, Any], code: str) -> None:
    with pytest.raises(FarhandError, match=code):
        fetch_release(lambda _: answer, PATH, entry(), tmp_path / "part")


def test_patience_ends_and_what_came_is_kept(tmp_path: Path) -> None:
    def silent(_: dict[str, Any]) -> dict[str, Any]:
        raise AgentNotRunning

    (tmp_path / "part").write_bytes(BODY[:10])
    with pytest.raises(FarhandError, match="release-unreachable"):
        fetch_release(silent, PATH, entry(), tmp_path / "part", patience_s=0)
    assert (tmp_path / "part").read_bytes() == BODY[:10]

    def forbidden(_: dict[str, Any]) -> dict[str, Any]:
        raise FarhandError("request-unknown", "no")

    with pytest.raises(FarhandError, match="request-unknown"):
        fetch_release(forbidden, PATH, entry(), tmp_path / "part")


def archive(tmp_path: Path, *names: str, mode: int = 0o644, body: bytes = b"x") -> Path:
    """Write a release's file with the agent and these names in it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(f"{SITE}/farhand_agent/__init__.py", "")
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            made.writestr(info, body)
    file = tmp_path / "release.pyz"
    file.write_bytes(b"#!/usr/bin/env python3\n" + data.getvalue())
    return file


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    (home.path / "versions").mkdir(parents=True)
    return home


def test_a_release_is_unpacked_whole_with_an_interpreter_of_this_system(
    home: Home, tmp_path: Path
) -> None:
    left = home.path / "versions" / ".arriving-left"
    left.mkdir()
    half = home.path / "versions" / "0.2.0"
    half.mkdir()
    (half / "half").touch()
    file = archive(tmp_path, "tree/bin/farhand-agent", "elsewhere/ignored", mode=0o755)
    assert not is_unpacked(home, "0.2.0", "ab")
    unpack_release(home, file, "0.2.0", "ab")
    assert is_unpacked(home, "0.2.0", "ab")
    assert not is_unpacked(home, "0.2.0", "cd")
    tree = home.path / "versions" / "0.2.0"
    assert (tree / "bin" / "python3").resolve() == Path(sys.executable).resolve()
    assert (tree / "bin" / "farhand-agent").stat().st_mode & 0o777 == 0o755
    assert not (tree / "half").exists()
    assert [one.name for one in (home.path / "versions").iterdir()] == ["0.2.0"]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("tree/../outside", 0o644),
        ("tree//outside", 0o644),
        ("tree/a\\b", 0o644),
        ("tree/.", 0o644),
        ("tree/link", stat.S_IFLNK | 0o777),
        ("tree/pipe", stat.S_IFIFO | 0o644),
    ],
)
def test_a_file_that_leads_elsewhere_is_refused(
    home: Home, tmp_path: Path, name: str, mode: int
) -> None:
    with pytest.raises(FarhandError, match="release-malformed"):
        unpack_release(home, archive(tmp_path, name, mode=mode), "0.2.0", "ab")
    assert list((home.path / "versions").iterdir()) == []


def test_what_is_too_large_or_no_release_is_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_text("no zip")
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as made:
        made.writestr("tree/lib/python2.7/site-packages/farhand_agent/__init__.py", "")
    cut = tmp_path / "cut"
    cut.write_bytes(archive(tmp_path, "tree/a", body=b"y" * 9000).read_bytes()[:-30])
    for file in (tmp_path / "text", empty, cut):
        with pytest.raises(FarhandError, match="release-malformed"):
            unpack_release(home, file, "0.2.0", "ab")
    with monkeypatch.context() as patched:
        patched.setattr(unpacking, "MAX_UNPACKED_BYTES", 100)
        with pytest.raises(FarhandError, match="too large"):
            unpack_release(home, archive(tmp_path, "tree/a", body=bytes(101)), "0.2.0", "ab")
    with monkeypatch.context() as patched:
        patched.setattr(unpacking, "MAX_RELEASE_FILES", 1)
        with pytest.raises(FarhandError, match="too many files"):
            unpack_release(home, archive(tmp_path, "tree/a", "tree/b"), "0.2.0", "ab")
    assert list((home.path / "versions").iterdir()) == []
