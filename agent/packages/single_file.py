"""The single file: a zip that Python runs, which unpacks the tree once and goes on from there.

Compiled libraries cannot be loaded out of a zip, and the agent starts processes of its own modules;
so `bootstrap` puts the tree into the person's cache, under its build, and becomes its interpreter.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

__all__ = ["build_single_file"]

_LINE = b"#!/usr/bin/env python3\n"
_OLDEST = (1980, 1, 1, 0, 0, 0)


def build_single_file(tree: Path, place: Path) -> None:
    """Write the file."""
    with place.open("wb") as file:
        file.write(_LINE)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            bootstrap = Path(__file__).with_name("bootstrap.py").read_bytes()
            _write(archive, "__main__.py", bootstrap, 0o644)
            for one in sorted(tree.rglob("*")):
                if one.is_file():
                    name = f"tree/{one.relative_to(tree)}"
                    _write(archive, name, one.read_bytes(), one.stat().st_mode & 0o777)
    os.chmod(place, 0o755)  # noqa: S103 - it is a program


def _write(archive: zipfile.ZipFile, name: str, data: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(name, _OLDEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = mode << 16
    archive.writestr(entry, data)
