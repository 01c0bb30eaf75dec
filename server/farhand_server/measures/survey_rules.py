"""When somebody is asked how content she is, and when not.  Pure.

    planned -> sent -> answered
            -> skipped (why: see `SKIPPED`)

She is asked once for each resolution, by a person, after a delay in the hours of service, and not
more often than every few days, however many of her tickets are resolved.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_server.actors import is_a_person
from farhand_server.desk.calendars import Calendar, due_after

__all__ = [
    "LINK_DAYS",
    "LOW_UP_TO",
    "SKIPPED",
    "SurveySettings",
    "check_settings",
    "due_at",
    "why_not",
]

LINK_DAYS: Final = 30
# Of 1 to 5: the desk hears of it at once.
LOW_UP_TO: Final = 2
SKIPPED: Final = {
    "off": "surveys are switched off",
    "not-by-a-person": "no person resolved it",
    "monitoring": "no person asked for help",
    "nobody-to-ask": "nobody is known who could be asked, or no mail address of hers",
    "not-a-customer": "who asked is of the desk, or a vendor",
    "asked-lately": "she was asked a few days ago",
    "not-resolved": "it was not resolved any more when she was to be asked",
}
_MAX_DELAY_S: Final = 30 * 86_400


class SurveySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin sets.

    Attributes:
        on: whether anybody is asked.
        delay_s: open time between the resolution and the question.
        calendar: in which hours that is counted; None counts around the clock.
        every_days: a person is not asked again for so many days.
    """

    on: bool = True
    delay_s: int = 86_400
    calendar: str | None = None
    every_days: int = 7


def check_settings(settings: SurveySettings) -> None:
    """Refuse settings that mean nothing.

    Raises:
        FarhandError: `invalid`.
    """
    if not 0 <= settings.delay_s <= _MAX_DELAY_S or not 1 <= settings.every_days <= 365:
        raise FarhandError("invalid", "the delay is 0 to 30 days of open time, the rest 1 to 365")


def due_at(settings: SurveySettings, calendar: Calendar, resolved_at: datetime) -> datetime:
    """Return when to ask; a calendar that never opens does not hold it up."""
    due = due_after(calendar, resolved_at, settings.delay_s)
    return due if due is not None else resolved_at + timedelta(seconds=settings.delay_s)


def why_not(
    settings: SurveySettings,
    *,
    resolved_by: str,
    created_by: str,
    kind: str,
    person_kind: str | None,
    last_asked: datetime | None,
    now: datetime,
) -> str:
    """Return the reason of `SKIPPED` for which nobody is asked; empty when somebody is.

    Args:
        settings: what an admin set.
        resolved_by: actor of the resolution.
        created_by: who made the ticket.
        kind: of the ticket.
        person_kind: of who asked for help; None when nobody is known.
        last_asked: when she was asked last.
        now: aware.
    """
    if not settings.on:
        return "off"
    if not is_a_person(resolved_by):
        return "not-by-a-person"
    if kind != "walk-in" and created_by in ("relay", "monitor"):
        return "monitoring"
    if person_kind is None:
        return "nobody-to-ask"
    if person_kind != "user":
        return "not-a-customer"
    if last_asked is not None and now - last_asked < timedelta(days=settings.every_days):
        return "asked-lately"
    return ""
