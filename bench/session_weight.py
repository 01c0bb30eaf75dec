"""What a large sparse file makes of the processes that carry it: growth over idle, in MiB.

The device's session process and the relay by their high-water mark in /proc, the console (a process
per `farhand cp`) beside one that copies a single byte.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from bench.report import Figure
from bench.session_stage import Opened, open_session

__all__ = ["run"]

_BOUND_MIB = 64


def _mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {name} of {pid}")


def _copy(opened: Opened, source: str, target: str) -> float:
    """Run `farhand cp`; return the most that it weighed, in MiB."""
    words = opened.console.words("--json", "cp", source, target)
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            words, env=opened.stage.env, stdout=subprocess.DEVNULL, stderr=complaints
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaints.seek(0)
            raise AssertionError(complaints.read().decode(errors="replace"))
    return used.ru_maxrss / 1024


def run(*, quick: bool) -> list[Figure]:
    """Copy four gigabytes there and back."""
    size = 200_000_000 if quick else 4_000_000_000
    figures = []
    with open_session() as opened, tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder) / "here", Path(folder) / "there"
        for one in (here, there):
            one.mkdir()
        (here / "small").write_bytes(b"x")
        with (here / "large").open("wb") as file:
            file.truncate(size)
        far = f"{opened.session}:{there}"
        resting = _copy(opened, str(here / "small"), far)
        ways = {"put": (str(here / "large"), far), "get": (f"{far}/large", str(here / "back"))}
        for way, ends in ways.items():
            pids = opened.pids()
            before = {name: _mib(pid, "VmRSS") for name, pid in pids.items()}
            for pid in pids.values():
                Path(f"/proc/{pid}/clear_refs").write_text("5")
            grown = {"console": _copy(opened, *ends) - resting}
            for name, pid in pids.items():
                grown[name] = _mib(pid, "VmHWM") - before[name]
            words = f"{way} of {size / 1e9:g} GB: growth of"
            for name, mib in grown.items():
                figures.append(Figure(f"{words} {name}", mib, "MiB", at_most=_BOUND_MIB))
    return figures
