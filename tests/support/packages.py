"""The agent's packages for tests: built once for each content, and kept in pytest's cache."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

__all__ = ["build_package"]

ROOT = Path(__file__).parents[2]


def build_package(kind: str, cache: Path, out: Path) -> Path:
    """Return a package of this very source; `kind` is `deb` or `pyz`."""
    # A Python that fits the libraries here: Debian's own, where it is of this version.
    python = Path("/usr/bin/python3")
    version = ".".join(map(str, sys.version_info[:2]))
    if not python.exists() or python.resolve().name != f"python{version}":
        python = Path(sys.executable).resolve()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, str(ROOT / "agent/packages/build.py"), "--only", kind,
             "--out", str(out), "--cache", str(cache), "--python", str(python)],
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())
