"""cp between real processes: consoles and a device that are killed on the way, and what they weigh.

One stage and one session for all of it.  The large file is sparse, so that no disk is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.stage import ConsoleHome, Process, Stage
from tests.support.warm import WarmProcess

LARGE_BYTES = 200_000_000
GROWTH_KIB = 64 * 1024


@dataclass
class Bench:
    """A device with an open session, and where files lie at both ends."""

    stage: Stage
    technician: ConsoleHome
    session: str
    helper: Process
    here: Path
    there: Path

    def cp(self, *words: str) -> dict[str, object]:
        return self.technician.json("cp", *words)

    def session_pid(self) -> int:
        """Return the pid of the device's session process."""
        for folder in Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                status = (folder / "stat").read_text()
            except (OSError, ValueError):
                continue
            parent = int(status.rsplit(")", 1)[1].split()[1])
            if b"farhand_agent.session" in words and parent == self.helper.popen.pid:
                return int(folder.name)
        raise AssertionError("no session process")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Stage() as stage:
        admin, technician = stage.settle(library=False)
        stage.start_relay()
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        helper = agent.code("--yes")
        opened = technician.json("session", "open", "--code", helper.next_json()["code"])
        folder = tmp_path_factory.mktemp("copy")
        here, there = folder / "here", folder / "there"
        here.mkdir()
        there.mkdir()
        yield Bench(stage, technician, opened["session"], helper, here, there)


def parts(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if one.name.startswith(".farhand-part-")]


def until_part_has(folder: Path, size: int, process: subprocess.Popen[Any] | WarmProcess) -> None:
    """Wait until a part has grown to `size` bytes, while the copy still runs."""
    deadline = time.monotonic() + 90
    while not any(one.stat().st_size >= size for one in parts(folder)):
        assert process.poll() is None, "the copy was over too soon"
        assert time.monotonic() < deadline, "no part grows"
        time.sleep(0.005)


def make_sparse(path: Path) -> str:
    """Make a large file with a few bytes of its own; return its hash."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        file.truncate(LARGE_BYTES)
        for at in range(0, LARGE_BYTES, 50_000_000):
            file.seek(at)
            file.write(b"farhand %d" % at)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def rss_kib(pid: int, *, peak: bool) -> int:
    """Return what a process weighs now, or has weighed at most since `reset_peak`."""
    name = "VmHWM" if peak else "VmRSS"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(name)


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def run_weighed(words: list[str], env: dict[str, str]) -> tuple[dict[str, object], int]:
    """Run a command; return its JSON and the most that it weighed, in KiB."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = subprocess.Popen(words, env=env, stdout=said, stderr=complained)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        assert process.returncode == 0, complained.read().decode(errors="replace")
        return json.loads(said.read()), used.ru_maxrss


def test_large_files_resume_and_weigh_nothing(bench: Bench) -> None:
    digest = make_sparse(bench.here / "large")
    (bench.here / "small").write_bytes(b"x")
    console = bench.technician
    small = console.words(
        "--json", "cp", str(bench.here / "small"), f"{bench.session}:{bench.there}"
    )
    _, console_idle = run_weighed(small, bench.stage.env)
    assert bench.stage.relay is not None
    pids = [bench.session_pid(), bench.stage.relay.popen.pid]
    idle = [rss_kib(pid, peak=False) for pid in pids]
    for pid in pids:
        reset_peak(pid)

    # Up: the console is killed on the way, and the next one goes on from there.
    up = ("cp", str(bench.here / "large"), f"{bench.session}:{bench.there}/large")
    first = subprocess.Popen(console.words(*up), env=bench.stage.env, stderr=subprocess.PIPE)
    try:
        until_part_has(bench.there, 20_000_000, first)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert not (bench.there / "large").exists()
    sent, console_peak = run_weighed(console.words("--json", *up), bench.stage.env)
    assert sent["sha256"] == digest
    assert 19_000_000 < int(str(sent["bytes_resumed"])) < LARGE_BYTES
    assert (bench.there / "large").stat().st_size == LARGE_BYTES
    assert not parts(bench.there)
    assert console_peak - console_idle < GROWTH_KIB

    # Down, in one piece.
    down = ("cp", f"{bench.session}:{bench.there}/large", str(bench.here / "back"))
    got, console_peak = run_weighed(console.words("--json", *down), bench.stage.env)
    assert (got["sha256"], got["bytes"], got["files"]) == (digest, LARGE_BYTES, 1)
    assert console_peak - console_idle < GROWTH_KIB
    grown = [rss_kib(pid, peak=True) - was for pid, was in zip(pids, idle, strict=True)]
    assert max(grown) < GROWTH_KIB, f"session and relay grew by {grown} KiB"


def test_a_copy_goes_on_by_itself_when_the_devices_process_dies(bench: Bench) -> None:
    (bench.here / "tree").mkdir()
    for number in range(3):
        (bench.here / "tree" / str(number)).write_bytes(b"%d" % number * 20_000_000)
    ends = (str(bench.here / "tree"), f"{bench.session}:{bench.there}")
    going = bench.technician.start("cp", "-r", *ends)
    (bench.there / "tree").mkdir()
    until_part_has(bench.there / "tree", 5_000_000, going.popen)
    os.kill(bench.session_pid(), signal.SIGKILL)
    answer = going.next_json(timeout_s=120)
    going.end()
    assert (answer["files"], answer["bytes"]) == (3, 60_000_000)
    assert int(answer["bytes_resumed"]) > 0
    for number in range(3):
        name = str(number)
        landed = (bench.there / "tree" / name).read_bytes()
        assert landed == (bench.here / "tree" / name).read_bytes()
    assert not parts(bench.there / "tree")
