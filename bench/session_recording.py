"""What recording costs: the same terminal work in a session with a recording and in one without.

Output is what is recorded, so lines as fast as they come are the worst case; echo is what a person
feels.
"""

from __future__ import annotations

import asyncio
import sys

import pyrage

from bench.report import Figure, percentile
from bench.session import echo, receive
from bench.session_stage import Opened, open_session
from farhand_console.session.ssh import connect_ssh

__all__ = ["run"]

_ROUNDS = 3
_LINES = "yes 'drwxr-xr-x 2 root root 4096 Nov 22 05:16 /usr/share/doc/farhand' |"


async def _measure(opened: Opened, size: int, echoes: int) -> tuple[float, float]:
    """Return (MB/s of output, echo p50 in ms)."""
    context = opened.context()
    async with connect_ssh(
        context.home,
        context.relay,
        opened.record(),
        notice=lambda words: print(words, file=sys.stderr),
    ) as connection:
        await echo(connection, 50)
        took: list[float] = []
        best = 0.0
        for _ in range(_ROUNDS):
            best = max(best, await receive(connection, size, source=_LINES))
            took += await echo(connection, echoes)
        return best, percentile(took, 0.5)


def run(*, quick: bool) -> list[Figure]:
    """Measure without, with, and without again; the better of the two is the baseline."""
    size, echoes = (2_000_000, 100) if quick else (16_000_000, 500)
    key = str(pyrage.x25519.Identity.generate().to_public())
    measured = []
    for policy in ((), ("--recording", "on", "--audit-key", key), ()):
        with open_session(policy=policy) as opened:
            measured.append(asyncio.run(_measure(opened, size, echoes)))
    (first, p50_first), (recorded, p50), (second, p50_second) = measured
    plain = max(first, second)
    resting = min(p50_first, p50_second)
    return [
        Figure("exec, recorded", recorded, "MB/s", "not recorded", plain),
        Figure("echo p50, recorded", p50, "ms", "not recorded", resting),
    ]
