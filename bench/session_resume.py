"""What lost lines cost: a copy whose connections are all reset every second, beside one left alone.

Both ends dial the relay through a front that can cut; the pipe under SSH goes on at the byte.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.report import Figure
from bench.session_bulk import bulk
from bench.session_stage import Opened, open_session
from tests.support.front import Front

__all__ = ["run"]

_BETWEEN_CUTS_S = 1.0


async def _measure(opened: Opened, front: Front, seconds: float) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.write_bytes(bytes(32_000_000))
        async with bulk(opened) as copier:
            copier.start("get", seconds, source, target)
            alone = await copier.rate()
            copier.start("get", seconds, source, target)
            over = asyncio.Event()
            cuts = 0

            async def cut() -> None:
                nonlocal cuts
                while not over.is_set():
                    await asyncio.sleep(_BETWEEN_CUTS_S)
                    cuts += await asyncio.to_thread(front.cut)

            async with asyncio.TaskGroup() as group:
                group.create_task(cut())
                lossy = await copier.rate()
                over.set()
    return [
        Figure("get, every line cut each second", lossy, "MB/s", "uncut", alone),
        Figure("  connections reset meanwhile", cuts, ""),
    ]


def run(*, quick: bool) -> list[Figure]:
    """Copy with and without cuts."""
    with Front() as front, open_session(front=front) as opened:
        return asyncio.run(_measure(opened, front, 4 if quick else 12))
