"""The tree that every package holds; what it looks like says `farhand_agent.install.tree`.

Libraries come from the environment that the locked requirements were installed into (make setup).
Each must have the version that requirements/run.txt pins, and each of its files the hash that its
wheel's RECORD names: what was changed by hand is not packed.
"""

from __future__ import annotations

import base64
import compileall
import hashlib
import platform
import py_compile
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["VERSION", "content_key", "make_tree"]

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.1.0"
_OURS = {"farhand-protocol": "protocol/farhand_protocol", "farhand-agent": "agent/farhand_agent"}
_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_LAUNCHER = """#!/bin/sh
# Starts the agent from wherever this folder is.
here="$(dirname "$(readlink -f "$0")")"
exec "$here/python3" -P -m farhand_agent "$@"
"""
_LEFT_OUT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "entry_points.txt")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked() -> dict[str, str]:
    text = (ROOT / "requirements" / "run.txt").read_text("utf-8")
    return {_normal(one[1]): one[2] for one in re.finditer(r"(?m)^([\w.-]+)==([^\s;]+)", text)}


def _libraries() -> list[metadata.Distribution]:
    """Return everything that the agent needs beside our own code, and that in turn, by name."""
    locked: dict[str, str] = _locked()
    found: dict[str, metadata.Distribution] = {}
    waiting = list(_OURS)
    seen: set[str] = set()
    while waiting:
        name = _normal(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        if name in _OURS:
            # From the source: what is installed may tell of a state that was changed since.
            member = ROOT / _OURS[name].partition("/")[0] / "pyproject.toml"
            requires = tomllib.loads(member.read_text("utf-8"))["project"]["dependencies"]
        else:
            found[name] = metadata.distribution(name)
            if locked.get(name) != found[name].version:
                raise SystemExit(
                    f"{name} is {found[name].version} here and {locked.get(name)} in"
                    " requirements/run.txt: make setup"
                )
            requires = found[name].requires or []
        for text in requires:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                waiting.append(wanted.name)
    return [found[name] for name in sorted(found)]


def _library_files(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """Yield name and place of what goes along of a library, each checked against its wheel."""
    for file in distribution.files or []:
        name = str(file)
        if name.startswith("..") or "__pycache__" in name or file.name in _LEFT_OUT:
            continue
        if "/tests/" in name or name.startswith("tests/"):
            continue
        place = Path(str(distribution.locate_file(file)))
        if file.hash is None:
            continue
        digest = hashlib.new(file.hash.mode, place.read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            raise SystemExit(f"{place} is not the file that its wheel held: make setup")
        yield name, place


def _our_files() -> Iterator[tuple[str, Path]]:
    for folder in _OURS.values():
        base = ROOT / folder
        for place in sorted(base.rglob("*")):
            if place.is_file() and "__pycache__" not in place.parts:
                yield f"{base.name}/{place.relative_to(base)}", place


def _all_files() -> Iterator[tuple[str, Path]]:
    for distribution in _libraries():
        yield from _library_files(distribution)
    yield from _our_files()


def content_key() -> str:
    """Return the SHA-256 over everything that makes a package, the builder itself too."""
    digest = hashlib.sha256(f"{_PYTHON} {platform.machine()} {sys.platform}\n".encode())
    own = [(f"builder/{one.name}", one) for one in sorted(Path(__file__).parent.glob("*.py"))]
    for name, place in (*_all_files(), *own):
        digest.update(f"{name} {hashlib.sha256(place.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def make_tree(folder: Path, key: str) -> Path:
    """Make the tree in a new folder, but for the link to the interpreter, and return it."""
    libraries = folder / "lib" / _PYTHON / "site-packages"
    for name, place in _all_files():
        target = libraries / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, target)
        target.chmod(0o755 if ".so" in target.suffixes else 0o644)
    # By content, not by time: whoever runs the agent may not write here, and copies change times.
    compileall.compile_dir(
        libraries,
        quiet=2,
        stripdir=str(libraries),
        prependdir="site-packages",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    (folder / "bin").mkdir()
    launcher = folder / "bin" / "farhand-agent"
    launcher.write_text(_LAUNCHER)
    launcher.chmod(0o755)
    (folder / "BUILD").write_text(key + "\n")
    (folder / "pyvenv.cfg").write_text(pyvenv("/usr/bin"))
    return folder


def pyvenv(home: str) -> str:
    """Return pyvenv.cfg for an interpreter that lies in the folder `home`."""
    version = ".".join(map(str, sys.version_info[:2]))
    return f"home = {home}\ninclude-system-site-packages = false\nversion = {version}\n"
