"""Who counts as a person at this computer, and so may see and answer what goes on there.

    user                                       counts as
    root, and the agent's own user             a person, always
    policy.toml names `people`                 exactly those: names, `@group`, or numbers
    it does not: she has an active session     a person, while she has it
      at this computer's own screen (logins.py)
    everybody else                             a stranger: may ask for help, and sees nothing
    policy.toml cannot be read                 everybody but root is a stranger

What policy forbids to a session stays forbidden, whoever says yes; `people` says no more than who
may say it.  It is looked at for each request, so that who logs out loses it at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from farhand_agent.config import Home
from farhand_agent.people.logins import Logins
from farhand_agent.policy import own_people
from farhand_protocol.errors import FarhandError

__all__ = ["Person", "Persons", "is_named"]

_ROOT = 0


@dataclass(frozen=True)
class Person:
    """One user of this computer.

    `is_here` says whether she counts as a person at it.
    """

    uid: int
    name: str
    is_here: bool


class Persons:
    """Tells people and strangers apart.

    Args:
        home: of the agent; its policy.toml is read.
        logged_in: returns the users with an active session at this computer's own screen; for
            tests, instead of the system's word.
    """

    def __init__(
        self, home: Home, *, logged_in: Callable[[], Awaitable[Collection[int]]] | None = None
    ) -> None:
        self._home = home
        self._logged_in = logged_in or Logins().users

    async def look(self, uid: int) -> Person:
        """Say who a user is just now."""
        name, named = await asyncio.to_thread(_known, self._home, uid)
        if uid in (_ROOT, os.geteuid()):
            return Person(uid, name, is_here=True)
        if named is None:
            return Person(uid, name, is_here=uid in await self._logged_in())
        return Person(uid, name, is_here=named)


def is_named(uid: int, people: Collection[str]) -> bool:
    """Tell whether a list of names, groups and numbers holds a user; blocks."""
    # Windows has neither, and no door.
    import grp
    import pwd

    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return str(uid) in people
    for one in people:
        if one in (account.pw_name, str(uid)):
            return True
        if one.startswith("@"):
            try:
                group = grp.getgrnam(one[1:])
            except KeyError:
                continue  # there is no such group here, so nobody is in it
            if group.gr_gid == account.pw_gid or account.pw_name in group.gr_mem:
                return True
    return False


def user_name(uid: int) -> str:
    """Return a user's name, or her number where she has none; blocks."""
    import pwd  # Windows has none

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _known(home: Home, uid: int) -> tuple[str, bool | None]:
    """Return a user's name, and whether policy names her; None where it names nobody."""
    try:
        people = own_people(home)
    except FarhandError:
        people = []
    return user_name(uid), None if people is None else is_named(uid, people)
