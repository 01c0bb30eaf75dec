"""A disk that can be full: a small tmpfs, which needs root and the right to mount.

Where that right is missing the test is skipped with a reason.  With FARHAND_CI=1 a mount that fails
although this process has the right (CAP_SYS_ADMIN) fails the test.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["fill", "small_disk"]


@contextmanager
def small_disk(place: Path, *, size: str = "8m") -> Iterator[Path]:
    """Mount a tmpfs of that size on a new folder for as long as the block runs."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(place)]
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        who = "root" if os.geteuid() == 0 else "a user who is not root"
        reason = f"mounting a small tmpfs is not permitted to {who} here: {done.stderr.strip()}"
        if os.environ.get("FARHAND_CI") == "1" and _may_mount():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _may_mount() -> bool:
    """Tell whether this process has CAP_SYS_ADMIN (capabilities(7), bit 21)."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> 21 & 1)


def fill(disk: Path) -> Path:
    """Leave no byte free; removing the file that is returned frees them again."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast
