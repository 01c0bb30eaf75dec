"""A terminal beside a copy: how slow the one gets, and how much of its speed the other keeps.

The terminal and the copy are connections of their own on one session, in processes of their own.
Echo sends one byte there and back through a terminal, fifty times a second, as somebody does who
types fast.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import asyncssh

from bench.report import Figure, percentile
from bench.session_bulk import Bulk, bulk
from bench.session_stage import Opened, open_session
from farhand_console.session.ssh import connect_ssh

__all__ = ["run"]

_GAP_S = 0.02
_ROUNDS = 3


async def _echo(connection: asyncssh.SSHClientConnection, seconds: float) -> list[float]:
    process = await connection.create_process(
        "stty raw -echo; echo; exec cat", term_type="dumb", encoding=None
    )
    await process.stdout.readline()
    took = []
    until = time.perf_counter() + seconds
    while (start := time.perf_counter()) < until:
        process.stdin.write(b"x")
        await process.stdout.readexactly(1)
        took.append((time.perf_counter() - start) * 1000)
        await asyncio.sleep(_GAP_S)
    process.close()
    await process.wait_closed()
    return took


async def _measure(
    copier: Bulk,
    connection: asyncssh.SSHClientConnection,
    way: str,
    seconds: float,
    ends: tuple[Path, Path],
) -> list[Figure]:
    idle: list[float] = []
    beside: list[float] = []
    alone = shared = 0.0
    for _ in range(_ROUNDS):
        idle += await _echo(connection, seconds)
        copier.start(way, seconds, *ends)
        alone = max(alone, await copier.rate())
        copier.start(way, seconds, *ends)
        beside += await _echo(connection, seconds)
        shared = max(shared, await copier.rate())
    resting = percentile(idle, 0.5)
    p50, p99 = percentile(beside, 0.5), percentile(beside, 0.99)
    return [
        Figure(f"echo p50 beside a {way}", p50, "ms", "idle", resting, at_most=3),
        Figure(f"echo p99 beside a {way}", p99, "ms", "idle", percentile(idle, 0.99)),
        Figure(f"{way} beside a terminal", shared, "MB/s", f"{way} alone", alone, at_least=0.5),
    ]


async def _both(opened: Opened, seconds: float) -> list[Figure]:
    context, record = opened.context(), opened.record()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.write_bytes(bytes(64_000_000))
        async with (
            bulk(opened) as copier,
            connect_ssh(
                context.home,
                context.relay,
                record,
                notice=lambda words: print(words, file=sys.stderr),
            ) as connection,
        ):
            await _echo(connection, 1)
            for way in ("get", "put"):
                figures += await _measure(copier, connection, way, seconds, (source, target))
    return figures


def run(*, quick: bool) -> list[Figure]:
    """Measure both directions."""
    with open_session() as opened:
        return asyncio.run(_both(opened, 2 if quick else 6))
