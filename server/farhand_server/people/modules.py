"""What of the desk is switched off, so that a small one is not shown what only a large one needs.

Nothing has to be chosen: by default everything is there, works with one queue and no settings, and
is used by using it.  A *profile* is a name for what a desk of some kind does without; single
modules can be switched on and off besides.  What is switched off answers with `module-off`, does
nothing by itself, and keeps what it has until it is switched on again.  Tickets, mail, devices,
sessions, people, promises and reports are the desk itself and no modules.

Each node keeps what is off in memory.  Whoever changes it tells the others, and each looks again
now and then in case it was not told.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay

__all__ = ["MODULES", "PROFILES", "Module", "Modules", "Profile", "Switched", "make_modules"]

_log = logging.getLogger(__name__)

_SETTING: Final = "modules"
_LOOK_AGAIN_S: Final = 60.0
_WHOLE: Final = "whole"


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """A part that a desk can do without; `paths` is what it answers on, as a pattern."""

    name: str
    words: str
    paths: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of desk, and what it does without."""

    name: str
    words: str
    off: tuple[str, ...]


class Switched(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was chosen: the profile, and all that is off."""

    profile: str = _WHOLE
    off: tuple[str, ...] = ()


_API: Final = "/api/v1"
_TICKET: Final = rf"{_API}/tickets/[^/]+"
MODULES: Final[dict[str, Module]] = {
    one.name: one
    for one in (
        Module(name="chat", words="talking as it is typed", paths=rf"({_API}/chats|/chat)"),
        Module(name="phone", words="calls with a timer", paths=rf"{_API}/calls"),
        Module(name="visits", words="visits in calendars", paths=rf"{_API}/visits"),
        Module(
            name="knowledge",
            words="articles, and the questions and the assistant that live on them",
            paths=rf"({_API}/knowledge|{_API}/assistant|/kb|/questions)",
        ),
        Module(
            name="questions",
            words="questions and answers in public",
            paths=rf"({_API}/knowledge/(questions|moderation)|/questions)",
        ),
        Module(name="assistant", words="the assistant", paths=rf"{_API}/assistant"),
        Module(
            name="contracts",
            words="contracts, hours, statements",
            # What a session asks before it begins is answered all the same.
            paths=rf"({_API}/contracts(?!/cover)|{_API}/rate-card|{_TICKET}/contract|/my/contract)",
        ),
        Module(
            name="surveys",
            words="asking how content people were; links that are out still work",
            paths=rf"({_API}/surveys|{_TICKET}/survey)",
        ),
        Module(name="bugs", words="bugs of many tickets", paths=rf"{_API}/bugs"),
        Module(name="connectors", words="other people's desks", paths=rf"{_API}/connectors"),
        Module(name="automation", words="rules", paths=rf"{_API}/rules"),
        Module(name="webhooks", words="webhooks and hooks", paths=rf"{_API}/(webhooks|hooks)"),
        Module(
            name="vendors",
            words="vendors, repair, replacement",
            paths=rf"({_API}/referrals|{_TICKET}/vendor)",
        ),
        Module(
            name="papers",
            words="orders, shipments, invoices of other systems",
            paths=rf"({_API}/papers|{_TICKET}/papers)",
        ),
        Module(
            name="skills",
            words="skills and certificates",
            paths=rf"({_API}/skills|{_TICKET}/owners)",
        ),
        Module(name="notices", words="what many people are told", paths=rf"{_API}/notices"),
    )
}
PROFILES: Final[dict[str, Profile]] = {
    one.name: one
    for one in (
        Profile(name=_WHOLE, words="everything", off=()),
        Profile(
            name="small",
            words="one or two people who answer mail and help on devices",
            off=(
                "assistant", "automation", "bugs", "connectors", "contracts", "notices", "papers",
                "phone", "questions", "skills", "vendors", "visits", "webhooks",
            ),
        ),
        Profile(name="software", words="makers of software", off=("papers", "vendors", "visits")),
        Profile(
            name="hardware", words="repair, installation", off=("bugs", "connectors", "questions")
        ),
        Profile(
            name="hosting", words="hosts of sites and mail", off=("papers", "vendors", "visits")
        ),
        Profile(
            name="shop",
            words="shops, where questions are about orders",
            off=("bugs", "skills", "vendors", "visits"),
        ),
    )
}  # fmt: skip
_PATHS: Final = {one.name: re.compile(rf"{one.paths}(/|\Z)") for one in MODULES.values()}


def make_modules(relay: Relay) -> Modules:
    """Return the relay's modules; everything is on until `load` was called."""
    return Modules(relay)


class Modules:
    """What is switched off, as this node knows it."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.switched = Switched()

    @property
    def off(self) -> Collection[str]:
        """Return the names of what is off."""
        return self.switched.off

    def check(self, path: str) -> None:
        """Refuse a request for what is off.

        Raises:
            FarhandError: `module-off`.
        """
        for name in self.switched.off:
            if _PATHS[name].match(path):
                raise FarhandError(
                    "module-off",
                    f"{name} is switched off here: {MODULES[name].words}",
                    hint=f"an admin switches it on: farhand profile set --on {name}",
                )

    async def load(self) -> None:
        """Look up what is off.

        Raises:
            FarhandError: the store's.
        """
        relay = self._relay
        async with relay.db.read() as c:
            kept = await get_setting(c, relay.tenant, _SETTING, Switched, default=Switched())
        # A module that a later version had is none to this one.
        known = tuple(name for name in kept.off if name in MODULES)
        self.switched = msgspec.structs.replace(kept, off=known)

    async def switch(
        self, *, profile: str | None, on: Sequence[str], off: Sequence[str], actor: str
    ) -> Switched:
        """Choose a profile, or switch single modules; returns what is chosen now.

        Args:
            profile: everything else begins from this; None from what is.
            on: modules to switch on.
            off: modules to switch off.
            actor: who does it.

        Raises:
            UsageError: `invalid` for a name that does not exist, or one that is in both.
        """
        if profile is not None and profile not in PROFILES:
            raise UsageError("invalid", f"the profiles are {', '.join(PROFILES)}")
        unknown = [name for name in (*on, *off) if name not in MODULES]
        if unknown:
            raise UsageError("invalid", f"the modules are {', '.join(MODULES)}")
        if both := set(on) & set(off):
            raise UsageError("invalid", f"{min(both)} is to be switched on and off")
        relay = self._relay
        async with relay.db.write() as c:
            kept = await get_setting(c, relay.tenant, _SETTING, Switched, default=Switched())
            begin = (
                kept if profile is None else Switched(profile=profile, off=PROFILES[profile].off)
            )
            now = sorted((set(begin.off) | set(off)) - set(on))
            chosen = msgspec.structs.replace(begin, off=tuple(now))
            await set_setting(c, relay, _SETTING, chosen, actor)
        self.switched = chosen
        await relay.bus.publish(self._subject, b"")
        return chosen

    @property
    def _subject(self) -> str:
        return f"modules.{self._relay.tenant}"

    async def run(self) -> None:
        """Hear of changes, and look again now and then; runs until cancelled."""

        async def hear(_data: bytes) -> None:
            await self._look()

        subscription = await self._relay.bus.subscribe(self._subject, hear)
        try:
            while True:
                await self._look()
                await asyncio.sleep(_LOOK_AGAIN_S)
        finally:
            await subscription.close()

    async def _look(self) -> None:
        try:
            await self.load()
        except FarhandError as error:
            _log.warning("what is switched off was not looked up: %s", error)
