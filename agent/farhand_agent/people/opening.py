"""Whether an agent has a door for its computer's people, and its opening.

    root's agent, or one in the system's own home    has one: it is a service
    policy.toml names `people`                       has one
    any other                                        is its user's own, and has none

Where the door cannot be opened the agent says so and goes on without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from farhand_agent.config import Home
from farhand_agent.local import SYSTEM_HOME
from farhand_agent.notices import say
from farhand_agent.people.desk import OPEN_TO_ALL, PeopleDesk
from farhand_agent.people.door_server import DoorServer
from farhand_agent.people.persons import Persons
from farhand_agent.policy import own_people
from farhand_protocol.errors import FarhandError

__all__ = ["has_door", "open_door"]


def has_door(home: Home) -> bool:
    """Tell whether the agent of this home serves other users of the computer."""
    if sys.platform not in ("linux", "darwin"):
        return False
    if os.geteuid() == 0 or home.path == SYSTEM_HOME:
        return True
    try:
        return own_people(home) is not None
    except FarhandError:
        return False


@asynccontextmanager
async def open_door(
    home: Home, desk: PeopleDesk, *, folder: Path | None = None
) -> AsyncIterator[None]:
    """Keep the door open for as long as the block runs, where there is one.

    Args:
        home: of the agent.
        desk: does the work.
        folder: for tests, instead of the system's.
    """
    if not has_door(home):
        yield
        return
    door = DoorServer(
        home, Persons(home), desk.work, open_to_all=OPEN_TO_ALL, held=desk.held, folder=folder
    )
    try:
        await door.__aenter__()
    except (FarhandError, OSError) as error:
        say(f"other users of this computer cannot reach the agent: {error}")
        yield
        return
    try:
        yield
    finally:
        await door.__aexit__(None, None, None)
