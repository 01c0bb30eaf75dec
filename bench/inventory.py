"""What collecting costs: beside fusioninventory, on the link, and in the resident agent's memory.

Both collect the sections that both report, without processes and environments, each as a process
of its own from start to end, in turns within the same run.  An unchanged upload is measured as the
messages that the agent would send for what was just collected, and the resident's memory after the
relay has acknowledged a whole report.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from contextlib import closing
from typing import Final

from bench.report import Figure
from bench.resident import memory_mib, until_rested
from farhand_agent.config import Home
from farhand_agent.inventory.catalogue import CATALOGUE, PACES, of_pace
from farhand_agent.inventory.runner import collect_all
from farhand_agent.inventory_upload import MAX_BATCH_SECTIONS
from farhand_agent.journal import Journal
from farhand_protocol.messages import ReportSections, encode_message
from tests.support.stage import Stage

__all__ = ["run"]

_BOTH: Final = (
    "cpu", "devices_pci", "disks", "firewall", "groups", "logins", "memory", "network", "os",
    "software", "system", "usage", "users", "virtualisation", "volumes",
)  # fmt: skip
_PEER: Final = ("fusioninventory-inventory", "--no-category=process,environment")
_SECONDS_TO_REPORT: Final = 180


def run(*, quick: bool) -> list[Figure]:
    """Time both in turns, weigh the messages, and weigh the resident after a whole report."""
    rounds = 3 if quick else 9
    own = [sys.executable, "-I", "-m", "farhand_agent.inventory", "--json"]
    both = [*own, "--section", ",".join(_BOTH)]
    peer = shutil.which(_PEER[0]) and [*_PEER]
    ours, theirs = [], []
    _timed(both)  # compiles what was never compiled, and fills the caches for both
    for _ in range(rounds):
        ours.append(_timed(both))
        if peer:
            theirs.append(_timed(peer))
    without_updates = ",".join(name for name in CATALOGUE if name != "updates")
    rest = statistics.median(_timed([*own, "--section", without_updates]) for _ in range(3))
    whole = _timed(own)
    figures = [
        Figure(
            "collecting what both report", statistics.median(ours), "s", _PEER[0],
            statistics.median(theirs) if theirs else None, at_most=1.0 if theirs else None,
        ),
        Figure("  every section but updates, opt-in ones too", rest, "s"),
        Figure("  the whole report, package managers asked", whole, "s"),
    ]  # fmt: skip
    figures += _weights()
    figures.append(_resident())
    return figures


def _timed(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _weights() -> list[Figure]:
    """Return the bytes of what says that nothing changed."""
    reports = collect_all(leave_out=["updates"])
    short = {name: one.hash[:16] for name, one in reports.items()} | {"updates": "0" * 16}
    sizes = []
    for pace in PACES:
        names = sorted(of_pace(pace))
        for start in range(0, len(names), MAX_BATCH_SECTIONS):
            hashes = {name: short[name] for name in names[start : start + MAX_BATCH_SECTIONS]}
            sizes.append(len(encode_message(ReportSections(seq=1, changed=[], hashes=hashes))))
    return [
        Figure("an unchanged upload, largest of the paces", max(sizes), "bytes", at_most=1024),
        Figure("  all paces together, as after a reconnection", sum(sizes), "bytes"),
    ]


def _resident() -> Figure:
    """Return the resident's memory once a relay has all of its sections."""
    with Stage(whole_inventory=True) as stage:
        stage.url = stage.url.replace("http://", "https://")
        stage.init_relay(url=stage.url)
        stage.start_relay()
        admin = stage.first_admin(library=False)
        agent = stage.agent("collecting")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start().end()
        pid = agent.start().popen.pid
        deadline = time.monotonic() + _SECONDS_TO_REPORT
        while True:
            with closing(Journal(Home.at(str(agent.home)).journal)) as journal:
                acknowledged = len(journal.section_hashes())
            if acknowledged >= len(CATALOGUE):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{acknowledged} of {len(CATALOGUE)} sections were acknowledged")
            time.sleep(0.5)
        until_rested(pid)
        _, pss = memory_mib(pid)
    return Figure("resident agent PSS after a whole report", pss, "MiB", at_most=22)
