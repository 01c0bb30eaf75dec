"""Surveys: planned when a ticket is resolved, sent when it is time, answered once.

What is asked for is one number and, if she likes, words.  The link holds 32 random bytes of which
only the hash is kept here; opening the page changes nothing, since programs open links too.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.references import format_number
from farhand_server.desk.service import ALWAYS_OPEN, get_calendar
from farhand_server.desk.tickets import Sight, get_ticket
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.errors import not_found
from farhand_server.mail.outgoing import queue_mail
from farhand_server.measures.survey_rules import (
    LINK_DAYS,
    LOW_UP_TO,
    SurveySettings,
    due_at,
    why_not,
)
from farhand_server.measures.survey_words import survey_mail
from farhand_server.people.modules import make_modules
from farhand_server.people.people import find_person, main_address
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    csat,
    event_queue,
    organisations,
    people,
    ticket_events,
    tickets,
)
from farhand_server.wording import check_body, check_line

__all__ = [
    "EVERY_S",
    "MAX_COMMENT_CHARS",
    "SETTING",
    "Question",
    "answer_open_survey",
    "answer_survey",
    "heed_resolution",
    "open_survey",
    "question_of",
    "skip_survey",
    "start_asking",
    "sweep_surveys",
]

_log = logging.getLogger(__name__)

SETTING: Final = "surveys"
EVERY_S: Final = 60.0
MAX_COMMENT_CHARS: Final = 2000
_AT_ONCE: Final = 200
_THE_RELAY: Final = "relay"
_LINK_LIKE: Final = re.compile(r"[<>\[\]`*_|\\]|://|www\.|\w\.\w{2,}/", re.IGNORECASE)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the page of a link shows; `score` once it is answered."""

    ticket: str
    title: str
    language: str
    score: int | None


async def _settings(c: AsyncConnection, relay: Relay) -> SurveySettings:
    return await get_setting(c, relay.tenant, SETTING, SurveySettings, default=SurveySettings())


async def _ticket(c: AsyncConnection, tenant: str, number: int) -> RowMapping:
    query = select(tickets).where(tickets.c.tenant == tenant, tickets.c.number == number)
    return (await c.execute(query)).mappings().one()


async def _person(c: AsyncConnection, tenant: str, ticket: RowMapping) -> RowMapping | None:
    """Return who asked for help: the ticket's person, or whose account or address it names."""
    wanted = ticket["person"]
    if wanted is None and ticket["requester"]:
        name = ticket["requester"]
        query = select(people.c.id).where(people.c.tenant == tenant, people.c.account == name)
        wanted = await c.scalar(query)
        if wanted is None and "@" in name:
            found = await find_person(c, tenant, "mail", name)
            wanted = None if found is None else found.id
    if wanted is None:
        return None
    query = select(people).where(people.c.tenant == tenant, people.c.id == wanted)
    return (await c.execute(query)).mappings().first()


async def _last_asked(c: AsyncConnection, tenant: str, person: str) -> datetime | None:
    query = select(func.max(csat.c.sent_at)).where(csat.c.tenant == tenant, csat.c.person == person)
    text = await c.scalar(query)
    return None if text is None else parse_instant(text)


async def _why_not(
    c: AsyncConnection,
    relay: Relay,
    ticket: RowMapping,
    person: RowMapping | None,
    resolved_by: str,
) -> str:
    settings = await _settings(c, relay)
    asked = None
    address = None
    if person is not None:
        asked = await _last_asked(c, relay.tenant, person["id"])
        address = await main_address(c, relay.tenant, person["id"])
    known = person is not None and address is not None and person["active"]
    return why_not(
        settings,
        resolved_by=resolved_by,
        created_by=ticket["created_by"],
        kind=ticket["kind"],
        person_kind=person["kind"] if person is not None and known else None,
        last_asked=asked,
        now=relay.now(),
    )


async def heed_resolution(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Plan a survey for a resolution, or write down why nobody is asked."""
    if event.kind != "resolved":
        return
    known = select(csat.c.id).where(
        csat.c.tenant == relay.tenant, csat.c.resolve_event == event.seq
    )
    if await c.scalar(known) is not None:
        return  # somebody was faster, and wants nobody asked
    ticket = await _ticket(c, relay.tenant, event.ticket)
    person = await _person(c, relay.tenant, ticket)
    skipped = await _why_not(c, relay, ticket, person, event.actor)
    settings = await _settings(c, relay)
    kept = await get_calendar(c, relay.tenant, settings.calendar or ALWAYS_OPEN)
    due = due_at(settings, kept.calendar, parse_instant(event.at))
    await c.execute(
        insert(csat).values(
            tenant=relay.tenant,
            id=make_id("c", relay.random(10)),
            ticket=event.ticket,
            resolve_event=event.seq,
            person=None if person is None else person["id"],
            resolved_by=event.actor,
            state="skipped" if skipped else "planned",
            skip_reason=skipped,
            due_at=None if skipped else stamp(due),
            comment="",
        )
    )


# Asking.


async def sweep_surveys(relay: Relay) -> int:
    """Ask whoever is due to be asked; returns how many surveys were looked at.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    if "surveys" in relay.service(make_modules).off:
        return 0
    query = select(csat.c.id).where(
        csat.c.tenant == relay.tenant, csat.c.state == "planned", csat.c.due_at <= relay.stamp()
    )
    async with relay.db.read() as c:
        due = list(
            await c.scalars(query.order_by(csat.c.due_at, csat.c.resolve_event).limit(_AT_ONCE))
        )
    for survey in due:
        async with relay.db.write() as c:
            await _ask(c, relay, survey)
    return len(due)


async def _ask(c: AsyncConnection, relay: Relay, survey: str) -> None:
    mine = and_(csat.c.tenant == relay.tenant, csat.c.id == survey)
    query = select(csat).where(mine, csat.c.state == "planned").with_for_update()
    row = (await c.execute(query)).mappings().first()
    if row is None:
        return  # another node was faster
    ticket = await _ticket(c, relay.tenant, row["ticket"])
    person = await _person(c, relay.tenant, ticket)
    if person is not None:
        # Two surveys of one person at once, on two nodes: the second sees that she was asked.
        hers = and_(people.c.tenant == relay.tenant, people.c.id == person["id"])
        await c.execute(select(people.c.id).where(hers).with_for_update())
    skipped = await _why_not(c, relay, ticket, person, row["resolved_by"])
    if ticket["state"] not in ("resolved", "closed") or await _came_back(c, relay.tenant, row):
        # Resolved again, it is asked about that resolution, when that one is due.
        skipped = "not-resolved"
    token = base64.urlsafe_b64encode(relay.random(32)).decode().rstrip("=")
    if not skipped and person is not None:
        skipped = await _send(c, relay, survey, ticket, person, token)
    values: dict[str, Any] = {"state": "skipped", "skip_reason": skipped}
    if not skipped:
        values = {
            "state": "sent",
            "sent_at": relay.stamp(),
            "token_sha256": _hash(token),
            "person": person["id"] if person is not None else None,
        }
    await c.execute(update(csat).where(mine).values(**values))


async def _came_back(c: AsyncConnection, tenant: str, survey: RowMapping) -> bool:
    query = select(ticket_events.c.seq).where(
        ticket_events.c.tenant == tenant,
        ticket_events.c.ticket == survey["ticket"],
        ticket_events.c.kind == "reopened",
        ticket_events.c.seq > survey["resolve_event"],
    )
    return await c.scalar(query.limit(1)) is not None


async def _send(
    c: AsyncConnection,
    relay: Relay,
    survey: str,
    ticket: RowMapping,
    person: RowMapping,
    token: str,
) -> str:
    """Queue the mail; returns why it could not be, or nothing."""
    address = await main_address(c, relay.tenant, person["id"])
    if address is None:
        return "nobody-to-ask"
    language = await _language(c, relay.tenant, ticket, person)
    number = format_number(ticket["number"])
    subject, text = survey_mail(
        language,
        number=number,
        title=_title(ticket) or number,
        link=f"{relay.settings.url}/csat/{token}",
        days=LINK_DAYS,
    )
    made = await queue_mail(
        c,
        relay,
        to=[address],
        subject=subject,
        text=text,
        ticket=ticket["number"],
        auto=True,
        language=language,
        key=f"csat:{survey}",
    )
    return "nobody-to-ask" if made is None else ""


def _title(ticket: RowMapping) -> str:
    # What a security ticket is about does not travel by mail; nor does what a mail program would
    # make a link of, since whoever wrote it need not be whose address it is.
    title = str(ticket["title"])
    return "" if ticket["security"] or _LINK_LIKE.search(title) else title


async def _language(c: AsyncConnection, tenant: str, ticket: RowMapping, person: RowMapping) -> str:
    if said := ticket["language"] or person["locale"]:
        return str(said)
    query = select(organisations.c.locale).where(
        organisations.c.tenant == tenant, organisations.c.id == person["organisation"]
    )
    return str(await c.scalar(query) or "en")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# Answering.


async def _by_token(c: AsyncConnection, relay: Relay, token: str) -> RowMapping:
    """Return the survey of a link.

    Raises:
        FarhandError: `not-found`; `survey-over` for a link that is too old.
    """
    query = select(csat).where(csat.c.tenant == relay.tenant, csat.c.token_sha256 == _hash(token))
    row = (await c.execute(query)).mappings().first()
    if row is None:
        # The token is not repeated: it is a secret, even a wrong one.
        raise not_found("survey", "of this link")
    if relay.now() - parse_instant(row["sent_at"]) > timedelta(days=LINK_DAYS):
        raise FarhandError("survey-over", f"this link worked for {LINK_DAYS} days")
    return row


async def question_of(c: AsyncConnection, relay: Relay, token: str) -> Question:
    """Return what the page of a link shows; it changes nothing, whoever opens it.

    Raises:
        FarhandError: `not-found`, `survey-over`.
    """
    row = await _by_token(c, relay, token)
    ticket = await _ticket(c, relay.tenant, row["ticket"])
    person = await _person(c, relay.tenant, ticket)
    language = "en" if person is None else await _language(c, relay.tenant, ticket, person)
    return Question(
        ticket=format_number(row["ticket"]),
        title=_title(ticket),
        language=language,
        score=row["score"],
    )


async def answer_survey(
    c: AsyncConnection, relay: Relay, *, token: str, score: int, comment: str
) -> Question:
    """Take an answer, the first one; a low one is told to the desk.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        token: of the link.
        score: 1 to 5.
        comment: what she says besides; may be empty.

    Raises:
        FarhandError: `not-found`, `survey-over`, `invalid`; `survey-answered`.
    """
    await _answer(c, relay, await _by_token(c, relay, token), score, comment)
    return await question_of(c, relay, token)


async def open_survey(
    c: AsyncConnection, relay: Relay, *, ticket: int, person: str | None
) -> str | None:
    """Return the survey that this person was sent about a ticket and has not answered yet."""
    since = stamp(relay.now() - timedelta(days=LINK_DAYS))
    query = select(csat.c.id).where(
        csat.c.tenant == relay.tenant,
        csat.c.ticket == ticket,
        csat.c.person == person,
        csat.c.state == "sent",
        csat.c.sent_at > since,
    )
    found: str | None = await c.scalar(query.order_by(csat.c.sent_at.desc()).limit(1))
    return found if person is not None else None


async def answer_open_survey(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: int,
    person: str | None,
    score: int,
    comment: str,
) -> None:
    """Take the answer of somebody who reads her ticket, and was asked.

    Raises:
        FarhandError: `invalid`; `survey-answered` where nothing is to be answered.
    """
    survey = await open_survey(c, relay, ticket=ticket, person=person)
    if survey is None:
        raise _answered()
    query = select(csat).where(csat.c.tenant == relay.tenant, csat.c.id == survey)
    await _answer(c, relay, (await c.execute(query)).mappings().one(), score, comment)


async def _answer(
    c: AsyncConnection, relay: Relay, row: RowMapping, score: int, comment: str
) -> None:
    if not 1 <= score <= 5:
        raise FarhandError("invalid", "an answer is 1 to 5")
    words = check_body(comment, "comment", max_chars=MAX_COMMENT_CHARS) if comment.strip() else ""
    at = relay.stamp()
    done = await c.execute(
        update(csat)
        .where(csat.c.tenant == relay.tenant, csat.c.id == row["id"], csat.c.state == "sent")
        .values(state="answered", score=score, comment=words, answered_at=at)
    )
    if done.rowcount != 1:
        raise _answered()
    ticket = await _ticket(c, relay.tenant, row["ticket"])
    detail = {"survey": row["id"], "score": score}
    number = row["ticket"]
    if score <= LOW_UP_TO:
        said = f"Satisfaction: {score} of 5." + (f"\n\n{words}" if words else "")
        await insert_message(c, relay.tenant, number, "note", _THE_RELAY, said, at)
        owner = {"owner": ticket["owner"]}
        await add_event(c, relay.tenant, number, "csat-low", _THE_RELAY, detail | owner, at)
    else:
        await add_event(c, relay.tenant, number, "csat", _THE_RELAY, detail, at)


def _answered() -> FarhandError:
    return FarhandError("survey-answered", "this was answered already; thank you")


async def skip_survey(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    reason: str,
    actor: str,
    sight: Sight | None = None,
) -> None:
    """Ask nobody about a ticket, with the reason; also right after it was resolved.

    Raises:
        FarhandError: `not-found`, `invalid`; `survey-none` when none is planned.
    """
    found = await get_ticket(c, relay.tenant, ref, sight=sight)
    why = check_line(reason, "reason")
    await _plan_queued(c, relay, found.row)
    done = await c.execute(
        update(csat)
        .where(csat.c.tenant == relay.tenant, csat.c.ticket == found.row, csat.c.state == "planned")
        .values(state="skipped", skip_reason=f"{actor}: {why}")
    )
    if not done.rowcount:
        raise FarhandError(
            "survey-none",
            f"nobody is going to be asked about {found.number}",
            hint="a survey is planned when a person resolves a ticket, and then sent once",
        )
    await relay.audit.append(c, actor=actor, action="survey.skip", subject=found.number)
    await add_event(
        c, relay.tenant, found.row, "survey-skipped", actor, {"reason": why}, relay.stamp()
    )


async def _plan_queued(c: AsyncConnection, relay: Relay, ticket: int) -> None:
    """Plan now what is planned as soon as the queue of events is heeded, moments from now."""
    query = (
        select(ticket_events)
        .join(
            event_queue,
            and_(
                event_queue.c.tenant == ticket_events.c.tenant,
                event_queue.c.event == ticket_events.c.seq,
            ),
        )
        .where(
            ticket_events.c.tenant == relay.tenant,
            ticket_events.c.ticket == ticket,
            ticket_events.c.kind == "resolved",
        )
        .order_by(ticket_events.c.seq)
        .with_for_update()
    )
    for row in (await c.execute(query)).mappings().all():
        event = HeededEvent(
            seq=row["seq"], ticket=ticket, kind=row["kind"], actor=row["actor"],
            detail={}, at=row["at"],
        )  # fmt: skip
        await heed_resolution(c, relay, event)


async def _ask_for_ever(relay: Relay) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await sweep_surveys(relay)
        except FarhandError as error:
            _log.warning("surveys were not sent: %s", error)


async def start_asking(relay: Relay) -> None:
    """Begin to send surveys; ends with the relay's tasks."""
    relay.tasks.spawn(_ask_for_ever(relay), name="surveys")
