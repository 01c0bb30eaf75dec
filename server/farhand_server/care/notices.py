"""Notices: something that many people should know, such as a new version or a planned repair.

    draft -> published -> ended        `until_at` has passed, or somebody ended it

A notice is for everybody, for an organisation, for the people of a group of devices (those who
asked for help with one), or for named people (those whose tickets a bug explains).  Who it is for
sees it (`current_notices`) and is mailed once, in pages through the outbox: whoever is several of
these is one person, and no node that dies on the way tells anybody twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import parse_instant
from farhand_server.care.papers import check_web_address
from farhand_server.clock import stamp
from farhand_server.errors import not_found
from farhand_server.outbox.items import Item, put
from farhand_server.outbox.sending import GiveUp
from farhand_server.people.letters import language_of, more_words, post_letter
from farhand_server.people.organisations import get_organisation
from farhand_server.people.people import Person, get_person, main_address
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, notice_people, notices, people, tickets
from farhand_server.wording import check_body, check_line

__all__ = [
    "AUDIENCES",
    "Audience",
    "NewNotice",
    "Notice",
    "create_notice",
    "current_notices",
    "end_notice",
    "get_notice",
    "list_notices",
    "notice_of_fix",
    "publish_notice",
    "send_notice",
]

Audience = Literal["all", "group", "organisation", "people"]
AUDIENCES: Final[tuple[Audience, ...]] = get_args(Audience)
_KIND: Final = "notice"
# People written to in one transaction.
_PAGE: Final = 100
_MAX_BODY_CHARS: Final = 8_000
_SHOWN: Final = 50


class NewNotice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A notice to be; `target` is the group, or the organisation's id or name."""

    title: str
    body: str
    audience: Literal["all", "group", "organisation"] = "all"
    target: str = ""
    link: str = ""
    until: str | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notice; `source` says what brought it where no person did."""

    id: str
    audience: str
    target: str
    title: str
    body: str
    link: str
    source: str
    created_by: str
    created_at: str
    published_at: str | None
    until_at: str | None


def _notice(row: RowMapping) -> Notice:
    return Notice(**{name: row[name] for name in Notice.__struct_fields__})


async def create_notice(c: AsyncConnection, relay: Relay, *, new: NewNotice, actor: str) -> Notice:
    """Write a notice that nobody sees yet.

    Raises:
        FarhandError: `invalid`; `not-found` for the organisation.
    """
    target = ""
    if new.audience == "organisation":
        target = (await get_organisation(c, relay.tenant, new.target)).id
    elif new.audience == "group":
        target = check_line(new.target, "group", max_chars=80)
    elif new.target.strip():
        raise UsageError("invalid", "a notice for everybody has no target")
    until = None
    if new.until is not None:
        until = stamp(parse_instant(new.until))
        if until <= relay.stamp():
            raise UsageError("invalid", "the time until which it is shown has passed")
    return await _insert(
        c,
        relay,
        audience=new.audience,
        target=target,
        title=check_line(new.title, "title"),
        body=check_body(new.body, "notice", max_chars=_MAX_BODY_CHARS),
        link=check_web_address(new.link, "link"),
        source="",
        actor=actor,
        until_at=until,
    )


async def _insert(
    c: AsyncConnection,
    relay: Relay,
    *,
    audience: Audience,
    target: str,
    title: str,
    body: str,
    link: str,
    source: str,
    actor: str,
    until_at: str | None,
) -> Notice:
    made = make_id("nt", relay.random(10))
    await relay.audit.append(
        c, actor=actor, action="notice.create", subject=made, detail={"audience": audience}
    )
    await c.execute(
        insert(notices).values(
            tenant=relay.tenant,
            id=made,
            audience=audience,
            target=target,
            title=title,
            body=body,
            link=link,
            source=source,
            created_by=actor,
            created_at=relay.stamp(),
            published_at=None,
            until_at=until_at,
        )
    )
    return await get_notice(c, relay.tenant, made)


async def notice_of_fix(
    c: AsyncConnection,
    relay: Relay,
    *,
    bug: str,
    title: str,
    fixed_in: str,
    numbers: Sequence[int],
    actor: str,
    link: str = "",
) -> Notice | None:
    """Draft a notice for the people whose tickets a bug explains, once for each bug and version.

    Nobody is written to before somebody of the desk publishes it.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        bug: its id.
        title: what the bug is, in words for its people.
        fixed_in: the version that has it no more.
        numbers: of the tickets linked to it.
        actor: who, or what, told that it is fixed.
        link: where more is written; may be empty.

    Returns: the draft; None where none of the tickets is anybody's, or it was drafted already.
    """
    source = f"bug:{bug} {fixed_in}"
    mine = (notices.c.tenant == relay.tenant, notices.c.source == source)
    if await c.scalar(select(notices.c.id).where(*mine)) is not None:
        return None
    query = (
        select(tickets.c.person)
        .distinct()
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.number.in_(numbers),
            tickets.c.person.is_not(None),
        )
    )
    whom = list(await c.scalars(query.order_by(tickets.c.person)))
    if not whom:
        return None
    name = check_line(title[:150], "title")
    made = await _insert(
        c,
        relay,
        audience="people",
        target="",
        title=f"{name}: {check_line(fixed_in[:40], 'version')}",
        body=f"{name}\n\n{fixed_in}",
        link=check_web_address(link, "link"),
        source=source,
        actor=actor,
        until_at=None,
    )
    rows = [{"tenant": relay.tenant, "notice": made.id, "person": one} for one in whom]
    await c.execute(insert(notice_people), rows)
    return made


async def get_notice(c: AsyncConnection, tenant: str, notice: str) -> Notice:
    """Return a notice.

    Raises:
        FarhandError: `not-found`.
    """
    query = select(notices).where(notices.c.tenant == tenant, notices.c.id == notice)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("notice", notice)
    return _notice(row)


async def list_notices(
    c: AsyncConnection, tenant: str, *, before: tuple[str, str] | None = None, limit: int = 50
) -> list[Notice]:
    """Return every notice, drafts and ended ones too, newest first; `before` is the cursor."""
    where: list[ColumnElement[bool]] = [notices.c.tenant == tenant]
    if before is not None:
        same = and_(notices.c.created_at == before[0], notices.c.id < before[1])
        where.append(or_(notices.c.created_at < before[0], same))
    query = select(notices).where(*where)
    query = query.order_by(notices.c.created_at.desc(), notices.c.id.desc()).limit(limit)
    return [_notice(row) for row in (await c.execute(query)).mappings()]


async def publish_notice(c: AsyncConnection, relay: Relay, *, notice: str, actor: str) -> Notice:
    """Show a notice, and mail it to whom it is for; doing so again changes nothing.

    Raises:
        FarhandError: `not-found`; `notice-ended`.
    """
    found = await get_notice(c, relay.tenant, notice)
    at = relay.stamp()
    if found.until_at is not None and found.until_at <= at:
        raise FarhandError("notice-ended", f"{found.id} ended at {found.until_at}")
    if found.published_at is not None:
        return found
    await relay.audit.append(c, actor=actor, action="notice.publish", subject=found.id)
    await c.execute(
        update(notices)
        .where(notices.c.tenant == relay.tenant, notices.c.id == found.id)
        .values(published_at=at)
    )
    await _put_page(c, relay, found.id, after="")
    return await get_notice(c, relay.tenant, found.id)


async def end_notice(c: AsyncConnection, relay: Relay, *, notice: str, actor: str) -> Notice:
    """Show a notice no more; mails that did not go yet do not go.

    Raises:
        FarhandError: `not-found`.
    """
    found = await get_notice(c, relay.tenant, notice)
    at = relay.stamp()
    if found.until_at is None or found.until_at > at:
        await relay.audit.append(c, actor=actor, action="notice.end", subject=found.id)
        await c.execute(
            update(notices)
            .where(notices.c.tenant == relay.tenant, notices.c.id == found.id)
            .values(until_at=at)
        )
    return await get_notice(c, relay.tenant, found.id)


# Who it is for.


def _concerned(notice: Notice) -> ColumnElement[bool]:
    """Return what a row of `people` must be for this notice to be for her."""
    same_tenant = people.c.tenant == tickets.c.tenant
    active = and_(people.c.active, people.c.kind == "user")
    if notice.audience == "organisation":
        return and_(active, people.c.organisation == notice.target)
    if notice.audience == "people":
        named = select(notice_people.c.person).where(
            notice_people.c.tenant == people.c.tenant, notice_people.c.notice == notice.id
        )
        return and_(active, people.c.id.in_(named))
    if notice.audience == "group":
        of_device = and_(devices.c.tenant == tickets.c.tenant, devices.c.id == tickets.c.device)
        asked = (
            select(tickets.c.person)
            .join(devices, of_device)
            .where(same_tenant, devices.c.device_group == notice.target)
        )
        return and_(active, people.c.id.in_(asked))
    return active


async def current_notices(
    c: AsyncConnection, relay: Relay, *, person: str | None, of_desk: bool
) -> list[Notice]:
    """Return what is shown now, the newest first, at most 50.

    Args:
        c: any connection.
        relay: the wiring; its clock says what is shown now.
        person: who asks, where she is known.
        of_desk: whether the desk asks, which is shown all of it.
    """
    at = relay.stamp()
    query = (
        select(notices)
        .where(
            notices.c.tenant == relay.tenant,
            notices.c.published_at.is_not(None),
            or_(notices.c.until_at.is_(None), notices.c.until_at > at),
        )
        .order_by(notices.c.published_at.desc(), notices.c.id.desc())
        .limit(_SHOWN)
    )
    found = [_notice(row) for row in (await c.execute(query)).mappings()]
    if of_desk:
        return found
    shown = []
    for one in found:
        if one.audience == "all" or await _is_for(c, relay.tenant, one, person):
            shown.append(one)
    return shown


async def _is_for(c: AsyncConnection, tenant: str, notice: Notice, person: str | None) -> bool:
    if person is None:
        return False
    mine = (people.c.tenant == tenant, people.c.id == person)
    return await c.scalar(select(people.c.id).where(*mine, _concerned(notice))) is not None


# The mails.


async def _put_page(c: AsyncConnection, relay: Relay, notice: str, *, after: str) -> None:
    payload = {"notice": notice, "after": after}
    await put(c, relay, kind=_KIND, payload=payload, key=f"{notice}:{after}")


async def send_notice(relay: Relay, item: Item) -> None:
    """Write the mails of one page of people, and leave the next page to another item.

    The sender of the outbox's kind `notice`; one transaction, so that a page is written whole.

    Raises:
        GiveUp: the notice is gone.
    """
    async with relay.db.write() as c:
        try:
            notice = await get_notice(c, relay.tenant, str(item.payload["notice"]))
        except FarhandError as error:
            raise GiveUp("the notice is gone") from error
        if notice.until_at is not None and notice.until_at <= relay.stamp():
            return
        after = str(item.payload["after"])
        query = (
            select(people.c.id)
            .where(people.c.tenant == relay.tenant, people.c.id > after, _concerned(notice))
            .order_by(people.c.id)
            .limit(_PAGE)
        )
        page = list(await c.scalars(query))
        for one in page:
            await _write_to(c, relay, notice, await get_person(c, relay.tenant, one))
        if len(page) == _PAGE:
            await _put_page(c, relay, notice.id, after=page[-1])


async def _write_to(c: AsyncConnection, relay: Relay, notice: Notice, person: Person) -> None:
    to = await main_address(c, relay.tenant, person.id)
    if to is None:
        return  # she is known by phone only, and sees it in the portal
    language = await language_of(c, relay.tenant, person)
    text = notice.body
    if notice.link:
        text = f"{text}\n\n{more_words(language, notice.link)}"
    await post_letter(
        c,
        relay,
        to=to,
        subject=notice.title,
        text=text,
        language=language,
        key=f"notice:{notice.id}:{person.id}",
        auto=True,
    )
