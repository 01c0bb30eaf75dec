"""Unpacks a release beside what runs: one folder, whole or not there at all.

The file is what `make packages` builds as a single file (a zip with `tree/` in it), and its hash
was checked before.  It is bounded all the same, and nothing in it may lie outside its folder or be
anything but a plain file.  The link to the interpreter is this system's own.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Final

from farhand_agent.config import Home
from farhand_agent.platforms.current import platform_name
from farhand_agent.updates.state import tree_of, versions_folder
from farhand_protocol.errors import FarhandError

__all__ = ["is_unpacked", "own_platform", "unpack_release"]

MAX_RELEASE_FILES: Final = 20_000
MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
_TREE: Final = "tree/"


def own_platform() -> str:
    """Return this device's platform as releases name it."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        os.uname().machine.lower(), os.uname().machine.lower()
    )
    return f"{platform_name()}-{machine}-py{sys.version_info[0]}.{sys.version_info[1]}"


def is_unpacked(home: Home, version: str, sha256: str) -> bool:
    """Tell whether the tree of exactly this file is there."""
    try:
        return (tree_of(home, version) / "SHA256").read_text("ascii").strip() == sha256
    except (OSError, ValueError):
        return False


def unpack_release(home: Home, file: Path, version: str, sha256: str) -> None:
    """Put the tree of a checked file into its place.

    Raises:
        FarhandError: `release-malformed` when the file holds no tree that could run here.
        OSError: the disk is full; nothing has changed.
    """
    folder, place = versions_folder(home), tree_of(home, version)
    for left in folder.glob(".arriving-*"):
        shutil.rmtree(left, ignore_errors=True)  # of an unpacking that was cut off
    arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=folder))
    try:
        tree = arriving / "tree"
        tree.mkdir()
        try:
            with zipfile.ZipFile(file) as archive:
                _extract(archive, tree)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
            raise _malformed("it is no zip that can be read", str(error)) from error
        _finish(tree, sha256)
        # Once for some thousand files: after a power cut the folder must not be there half empty.
        os.sync()
        if place.exists():
            os.rename(place, arriving / "old")
        os.rename(tree, place)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _malformed(words: str, detail: str | None = None) -> FarhandError:
    return FarhandError(
        "release-malformed", f"the release cannot be unpacked: {words}", detail=detail
    )


def _extract(archive: zipfile.ZipFile, tree: Path) -> None:
    entries = [one for one in archive.infolist() if one.filename.startswith(_TREE)]
    if len(entries) > MAX_RELEASE_FILES:
        raise _malformed("it holds too many files")
    if sum(one.file_size for one in entries) > MAX_UNPACKED_BYTES:
        raise _malformed("it is too large when unpacked")
    for entry in entries:
        parts = entry.filename.removeprefix(_TREE).split("/")
        mode = entry.external_attr >> 16
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            raise _malformed("a name in it leads elsewhere")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _malformed("something in it is no plain file")
        place = tree.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, place.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        place.chmod(0o755 if mode & 0o100 else 0o644)


def _finish(tree: Path, sha256: str) -> None:
    """Give the tree its interpreter, and say what it came from."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not (tree / "lib" / f"python{version}" / "site-packages" / "farhand_agent").is_dir():
        raise _malformed(f"there is no agent for Python {version} in it")
    interpreter = os.path.realpath(sys.executable)
    (tree / "bin").mkdir(exist_ok=True)
    link = tree / "bin" / "python3"
    link.unlink(missing_ok=True)
    link.symlink_to(interpreter)
    (tree / "pyvenv.cfg").write_text(
        f"home = {os.path.dirname(interpreter)}\n"
        f"include-system-site-packages = false\nversion = {version}\n"
    )
    (tree / "SHA256").write_text(sha256 + "\n")
