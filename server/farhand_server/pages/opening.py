"""How and when the desk is reached, as a reader sees it: her organisation's card, its week, and in
which time zone she reads.
"""

from __future__ import annotations

from datetime import UTC, date, timedelta, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.care.card import SupportCard, card_of, card_terms
from farhand_server.desk.calendars import Window
from farhand_server.desk.priorities import PRIORITIES
from farhand_server.desk.queues import DEFAULT_QUEUE, get_queue
from farhand_server.desk.service import ALWAYS_OPEN, get_calendar, get_policy
from farhand_server.pages.visitor import Visitor
from farhand_server.people.organisations import OrganisationTerms, get_organisation
from farhand_server.people.people import get_person
from farhand_server.relay import Relay

__all__ = [
    "DAY_WORDS",
    "PRIORITY_WORDS",
    "OpenDay",
    "Promised",
    "card_for",
    "promises_of",
    "special_days",
    "week_of",
    "zone_of",
]

DAY_WORDS: Final = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip
PRIORITY_WORDS: Final = {"urgent": "Urgent", "high": "High", "normal": "Normal", "low": "Low"}
_AHEAD: Final = timedelta(days=30)
_MOST: Final = 10


class Promised(NamedTuple):
    """What is promised for a priority, by its English name: seconds of open time, None for none."""

    priority: str
    first_response_s: int | None
    resolution_s: int | None


class OpenDay(NamedTuple):
    """A weekday by its English name, or a day as `2026-12-24` with why; `hours` empty: closed."""

    day: str
    hours: list[str]
    why: str = ""


async def card_for(c: AsyncConnection, relay: Relay, visitor: Visitor) -> SupportCard:
    """Return the card for a reader: her organisation's, or the desk's."""
    organisation = None
    if visitor.actor is not None and visitor.actor.person:
        of = (await get_person(c, relay.tenant, visitor.actor.person)).organisation
        organisation = None if of is None else await get_organisation(c, relay.tenant, of)
    return await card_of(c, relay, organisation)


async def zone_of(c: AsyncConnection, relay: Relay, organisation: str | None) -> tzinfo:
    """Return where times are read that nobody chose a zone for: at the organisation, at the desk.

    Args:
        c: any connection.
        relay: the wiring.
        organisation: an id; None where none is known.
    """
    if organisation is not None:
        of = await get_organisation(c, relay.tenant, organisation)
        # Every organisation has a zone; UTC is that of whoever was given none.
        if of.zone != OrganisationTerms().zone:
            return ZoneInfo(of.zone)
    terms = await card_terms(c, relay.tenant, None)
    try:
        kept = await get_calendar(c, relay.tenant, terms.calendar or ALWAYS_OPEN)
    except FarhandError:
        return UTC  # taken away meanwhile
    return ZoneInfo(kept.calendar.zone)


async def week_of(c: AsyncConnection, relay: Relay, card: SupportCard) -> list[OpenDay]:
    """Return the week of a card, Monday first; nothing where it is always open."""
    if card.hours.calendar == ALWAYS_OPEN:
        return []
    try:
        kept = await get_calendar(c, relay.tenant, card.hours.calendar)
    except FarhandError:
        return []  # taken away meanwhile
    days = zip(DAY_WORDS, kept.calendar.week, strict=True)
    return [OpenDay(name, _hours(windows)) for name, windows in days]


async def promises_of(c: AsyncConnection, relay: Relay) -> list[Promised]:
    """Return what the desk promises whom no contract promises anything, the most urgent first."""
    name = (await get_queue(c, relay.tenant, DEFAULT_QUEUE)).policy
    if name is None:
        return []
    targets = (await get_policy(c, relay.tenant, name)).policy.targets
    return [
        Promised(PRIORITY_WORDS[one], targets[one].first_response_s, targets[one].resolution_s)
        for one in PRIORITIES
        if one in targets
    ]


async def special_days(c: AsyncConnection, relay: Relay, card: SupportCard) -> list[OpenDay]:
    """Return the days of the next month that are unlike their weekday."""
    try:
        kept = await get_calendar(c, relay.tenant, card.hours.calendar)
    except FarhandError:
        return []  # taken away meanwhile
    today = relay.now().astimezone(ZoneInfo(kept.calendar.zone)).date()
    found = [
        OpenDay(one.day, _hours(one.windows), one.name)
        for one in sorted(kept.calendar.days, key=lambda one: one.day)
        if today <= date.fromisoformat(one.day) <= today + _AHEAD
    ]
    return found[:_MOST]


def _hours(windows: tuple[Window, ...]) -> list[str]:
    return [f"{_clock(start)}\u2013{_clock(end)}" for start, end in windows]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
