"""A session's process that plays a script: two events, then a yes, then the others.

Run as a program with the home, in which `events` holds one event per line.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from farhand_agent.config import Home
from farhand_agent.session.events import decode_event
from farhand_agent.session.watched import Watched


async def play(home: Home) -> None:
    """Play the script of a home."""
    first, second, *others = (home.path / "events").read_bytes().splitlines()
    watched, allowed = Watched(home), asyncio.Event()

    def hear(fields: Mapping[str, object]) -> bool:
        with (home.path / "heard").open("a") as heard:
            heard.write(f"{fields.get('answer')} {fields.get('person')}\n")
        allowed.set()
        return True

    watched.hear = hear
    await watched.open()
    for line in (first, second):
        watched.emit(decode_event(line))
    await allowed.wait()
    for line in others:
        watched.emit(decode_event(line))
    await watched.close()


if __name__ == "__main__":
    asyncio.run(play(Home.at(Path(sys.argv[1]))))
