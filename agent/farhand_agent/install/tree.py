"""The agent's own tree: interpreter link, libraries and code in one folder, told by its BUILD file.

The single-file build unpacks such a tree and the Debian package is one; a checkout or a virtual
environment is none, and stays where it is.

    BUILD                     SHA-256 over all that was built in
    pyvenv.cfg                makes this folder the interpreter's own place (PEP 405)
    bin/python3               link to the system's interpreter
    bin/farhand-agent         starts the program from wherever the folder is
    lib/pythonX.Y/site-packages

Trees are put beside each other by their build and `current` is turned over to the new one in one
step, so the program is whole at every moment; the one before stays for what still runs from it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["build_of", "own_tree", "place_tree", "remove_trees"]

_BUILD: Final = re.compile(r"[0-9a-f]{16,64}")
_NAME_CHARS: Final = 16


def own_tree() -> Path | None:
    """Return the tree that this process runs from, None where it runs from none."""
    tree = Path(sys.prefix)
    return tree if build_of(tree) else None


def build_of(tree: Path) -> str | None:
    """Return the build of a tree; None where this is no tree."""
    try:
        text = (tree / "BUILD").read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return text if _BUILD.fullmatch(text) else None


def place_tree(tree: Path, folder: Path) -> bool:
    """Put a tree into the folder of builds and make it the current one.

    Returns:
        False when it was there and current already.

    Raises:
        OSError: the disk is full or the folder cannot be written; the one before stays current.
    """
    build = build_of(tree)
    assert build is not None, "the caller has asked own_tree"
    name, current = build[:_NAME_CHARS], folder / "current"
    before = os.readlink(current) if current.is_symlink() else ""
    if before == name and build_of(folder / name) == build:
        return False
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=folder))
    try:
        shutil.copytree(tree, arriving / "tree", symlinks=True)
        if (folder / name).exists():
            shutil.rmtree(folder / name)  # half of it, from a copy that was cut off
        os.rename(arriving / "tree", folder / name)
        os.symlink(name, arriving / "current")
        os.replace(arriving / "current", current)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
    for old in folder.iterdir():
        if old.name not in (name, before, "current") and build_of(old) is not None:
            shutil.rmtree(old)
    return True


def remove_trees(folder: Path) -> bool:
    """Remove the folder of builds; False when there was none.

    What is in it and is no build of ours stays, and then the folder does.
    """
    if not folder.is_dir():
        return False
    (folder / "current").unlink(missing_ok=True)
    for one in folder.iterdir():
        if build_of(one) is not None:
            shutil.rmtree(one)
    if not any(folder.iterdir()):
        folder.rmdir()
    return True
