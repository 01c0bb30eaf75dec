"""Routes of what of the desk is switched on: profiles, and single modules."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Page
from farhand_server.people.modules import MODULES, PROFILES, Profile, Switched, make_modules
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Name = Annotated[str, msgspec.Meta(max_length=40)]
_Names = Annotated[list[_Name], msgspec.Meta(max_length=100)]


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile to begin from, and what differs from it."""

    profile: _Name | None = None
    on: _Names = []
    off: _Names = []


class ModuleLine(msgspec.Struct, frozen=True, kw_only=True):
    """One module."""

    name: str
    words: str
    on: bool


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The profile, and each module as it is now."""

    profile: str
    off: list[str]
    modules: list[ModuleLine]


def _shown(switched: Switched) -> Chosen:
    return Chosen(
        profile=switched.profile,
        off=list(switched.off),
        modules=[
            ModuleLine(name=one.name, words=one.words, on=one.name not in switched.off)
            for one in MODULES.values()
        ],
    )


class ProfileController(Controller):
    """What is switched on."""

    @get("/profile", action="profile.read")
    async def show(self, relay: FromRelay) -> Chosen:
        """Return the profile and the modules."""
        return _shown(relay.service(make_modules).switched)

    @post("/profile", action="profile.write", status_code=200)
    async def choose(self, relay: FromRelay, actor: FromActor, data: JSONBody[Choice]) -> Chosen:
        """Choose a profile, or switch single modules."""
        chosen = await relay.service(make_modules).switch(
            profile=data.profile, on=data.on, off=data.off, actor=actor.name
        )
        return _shown(chosen)

    @get("/profiles", action="profile.read")
    async def profiles(self) -> Page[Profile]:
        """Return every profile; they are few."""
        return Page(items=list(PROFILES.values()))


async def _start(relay: Relay) -> None:
    modules = relay.service(make_modules)
    # Before the port listens, so that nobody is served what is off.
    await modules.load()
    relay.tasks.spawn(modules.run(), name="modules")


AREA = Area(
    name="profile",
    controllers=[ProfileController],
    statuses={"module-off": 409},
    start=_start,
)
