"""What the resident agent weighs when idle: TLS link up, journal open.

RSS and PSS in MiB from the kernel's smaps_rollup, beside a bare interpreter of the same build.  The
agent that is measured is the second one: the first compiles what was never compiled, as installing
does, and what a compiler leaves in a process's memory is none of the agent's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.report import Figure
from tests.support.stage import Stage

__all__ = ["memory_mib", "run"]


def memory_mib(pid: int) -> tuple[float, float]:
    """Return (RSS, PSS) of a process in MiB."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss"):
            found[name] = int(rest.split()[0]) / 1024
    return found["Rss"], found["Pss"]


def cpu_s(pid: int) -> float:
    """Return the processor time a process has used, in seconds."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(int(one) for one in ticks) / 100


def until_rested(pid: int) -> None:
    """Wait until a process used no processor time for two seconds, at most a minute."""
    deadline = time.monotonic() + 60
    last, since = cpu_s(pid), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 2:
        time.sleep(0.2)
        now = cpu_s(pid)
        if now != last:
            last, since = now, time.monotonic()


def run(*, quick: bool) -> list[Figure]:
    """Start a TLS relay and one agent, wait until it rests, and read its memory."""
    idle_s = 3 if quick else 40
    with Stage(whole_inventory=True) as stage:
        stage.url = stage.url.replace("http://", "https://")
        stage.init_relay(url=stage.url)
        stage.start_relay()
        admin = stage.first_admin(library=False)
        agent = stage.agent("idle")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start().end()
        process = agent.start()
        pid = process.popen.pid
        until_rested(pid)
        before = cpu_s(pid)
        time.sleep(idle_s)
        used = cpu_s(pid) - before
        rss, pss = memory_mib(pid)
    bare = subprocess.Popen(
        [sys.executable, "-I", "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert bare.stdout is not None
    bare.stdout.readline()
    bare_rss, bare_pss = memory_mib(bare.pid)
    bare.communicate(timeout=10)
    return [
        Figure("resident agent RSS, TLS link up", rss, "MiB", at_most=34),
        Figure("resident agent PSS, TLS link up", pss, "MiB", at_most=22),
        Figure("  beside a bare interpreter, RSS", rss, "MiB", "python -I", bare_rss),
        Figure("  beside a bare interpreter, PSS", pss, "MiB", "python -I", bare_pss),
        Figure("resident agent CPU when idle", used / idle_s * 1000, "ms/s"),
    ]
