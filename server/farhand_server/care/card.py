"""The support card: how the desk is reached, and whether somebody is there now.

One card for the desk, which anybody may read, so it holds nothing private; and one for each
organisation that is served in other hours or under other numbers, for those who are signed in.
What an organisation's card does not say, the desk's says.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.care.papers import check_web_address
from farhand_server.clock import stamp
from farhand_server.desk.calendars import Calendar, is_open, next_opening, open_seconds
from farhand_server.desk.service import ALWAYS_OPEN, get_calendar
from farhand_server.people.organisations import Organisation
from farhand_server.people.people import normalise_address
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay
from farhand_server.wording import check_line

__all__ = ["CardTerms", "Hours", "SupportCard", "card_of", "card_terms", "hours_of", "set_card"]

_SETTING: Final = "support-card"
# Further off than this nobody needs to know when it closes.
_AHEAD: Final = timedelta(days=8)


class CardTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin writes on a card; empty is not said."""

    phone: str = ""
    mail: str = ""
    portal: str = ""
    calendar: str = ""
    words: str = ""


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it is open now; `until` is when that changes (RFC 3339), null where it does not."""

    open: bool
    until: str | None
    zone: str
    calendar: str


class SupportCard(msgspec.Struct, frozen=True, kw_only=True):
    """How the desk is reached."""

    title: str
    phone: str
    mail: str
    portal: str
    words: str
    hours: Hours


async def card_of(
    c: AsyncConnection, relay: Relay, organisation: Organisation | None = None
) -> SupportCard:
    """Return the desk's card, or an organisation's."""
    desk = await card_terms(c, relay.tenant, None)
    own = CardTerms()
    calendar = desk.calendar or ALWAYS_OPEN
    if organisation is not None:
        own = await card_terms(c, relay.tenant, organisation)
        calendar = own.calendar or organisation.calendar
    return SupportCard(
        title=relay.settings.org,
        phone=own.phone or desk.phone,
        mail=own.mail or desk.mail,
        portal=own.portal or desk.portal or relay.settings.url,
        words=own.words or desk.words,
        hours=await hours_of(c, relay, calendar),
    )


def _name(organisation: Organisation | None) -> str:
    return _SETTING if organisation is None else f"{_SETTING}:{organisation.id}"


async def card_terms(
    c: AsyncConnection, tenant: str, organisation: Organisation | None
) -> CardTerms:
    """Return what was written on a card; nothing where nobody wrote."""
    return await get_setting(c, tenant, _name(organisation), CardTerms, default=CardTerms())


async def hours_of(c: AsyncConnection, relay: Relay, calendar: str) -> Hours:
    """Return whether a calendar is open now; one that is gone is taken for always open."""
    try:
        kept = await get_calendar(c, relay.tenant, calendar)
    except FarhandError:
        # An organisation may name a calendar before anybody has written it.
        kept = await get_calendar(c, relay.tenant, ALWAYS_OPEN)
    now = relay.now()
    opened = is_open(kept.calendar, now)
    changes = _closing(kept.calendar, now) if opened else next_opening(kept.calendar, now)
    return Hours(
        open=opened,
        until=None if changes is None else stamp(changes),
        zone=kept.calendar.zone,
        calendar=kept.name,
    )


def _closing(calendar: Calendar, now: datetime) -> datetime | None:
    """Return when it closes; None when it does not within `_AHEAD`."""
    if open_seconds(calendar, now, now + _AHEAD) >= _AHEAD.total_seconds():
        return None
    # Halving finds the first moment up to which not all of the time was open.
    early, late = now, now + _AHEAD
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if open_seconds(calendar, now, middle) >= (middle - now).total_seconds() - 0.001:
            early = middle
        else:
            late = middle
    # Windows end at whole minutes.
    return (late + timedelta(seconds=30)).replace(second=0, microsecond=0)


async def set_card(
    c: AsyncConnection,
    relay: Relay,
    *,
    organisation: Organisation | None,
    terms: CardTerms,
    actor: str,
) -> SupportCard:
    """Write a card.

    Raises:
        FarhandError: `invalid`; `not-found` for a calendar.
    """
    checked = CardTerms(
        phone=check_line(terms.phone, "phone", max_chars=40) if terms.phone.strip() else "",
        mail=normalise_address("mail", terms.mail) if terms.mail.strip() else "",
        portal=check_web_address(terms.portal, "portal"),
        calendar=terms.calendar.strip(),
        words=check_line(terms.words, "words") if terms.words.strip() else "",
    )
    if checked.calendar:
        await get_calendar(c, relay.tenant, checked.calendar)
    await set_setting(c, relay, _name(organisation), checked, actor)
    return await card_of(c, relay, organisation)
