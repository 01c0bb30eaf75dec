"""Builds what carries the agent to a device: the Debian package and the single file.

    python agent/packages/build.py --out dist [--only deb|pyz] [--python /usr/bin/python3]

Both hold the same tree (`tree`): our code and exactly the libraries that requirements/run.txt pins,
taken from this interpreter's environment, every file compared with the hash that its wheel gave it.
So nothing is fetched, and what is built is what was tested.  Compiled libraries bind a build to the
Python version (3.11 and so on) and the kind of machine that it was made with; both programs say so
in plain words where they do not fit.

The same content makes the same tree.  `--cache` keeps trees and packages by their content.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from debian import build_deb
from single_file import build_single_file
from tree import VERSION, content_key, make_tree

__all__ = ["main"]


def main() -> int:
    """Build what was asked for; prints one path per line."""
    asked = argparse.ArgumentParser(description="Builds the agent's packages.")
    asked.add_argument("--out", type=Path, default=Path("dist"))
    asked.add_argument("--only", choices=("deb", "pyz"))
    asked.add_argument("--python", default="/usr/bin/python3", help="what the package runs with")
    asked.add_argument("--cache", type=Path, help="a folder that keeps what was built")
    given = asked.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    key = content_key()
    kinds = [given.only] if given.only else ["deb", "pyz"]
    with tempfile.TemporaryDirectory(prefix="farhand-packages-") as work:
        tree: Path | None = None
        for kind in kinds:
            name = _name(kind)
            place = given.out / name
            kept = given.cache / f"{key[:32]}-{_mark(given.python)}-{name}" if given.cache else None
            if kept is not None and kept.exists():
                shutil.copyfile(kept, place)
            else:
                tree = tree or make_tree(Path(work) / "tree", key)
                if kind == "deb":
                    build_deb(tree, place, work=Path(work), python=given.python)
                else:
                    build_single_file(tree, place)
                if kept is not None:
                    _keep(place, kept)
            if kind == "pyz":
                place.chmod(0o755)
            sys.stdout.write(f"{place}\n")
    return 0


def _name(kind: str) -> str:
    if kind == "pyz":
        return f"farhand-agent-{VERSION}.pyz"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return f"farhand-agent_{VERSION}_{machine}.deb"


def _mark(python: str) -> str:
    return python.strip("/").replace("/", "-")


def _keep(place: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.with_name(f".{kept.name}.{os.getpid()}")
    shutil.copyfile(place, beside)
    beside.replace(kept)
    for other in kept.parent.glob(f"*-{place.name}"):
        if other != kept:
            other.unlink(missing_ok=True)  # of a content that is no more


if __name__ == "__main__":
    sys.exit(main())
