"""What technicians can do: skills, and certificates with the day on which they end.

A certificate that has ended is still listed, and counts for nothing.  Who is proposed for a ticket:
whoever has the skill today, may own the ticket, and has the fewest tickets open.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.directory import make_directory
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import Ticket
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, skills, tickets
from farhand_server.wording import check_line

__all__ = [
    "MAX_SKILLS",
    "NewSkill",
    "Proposal",
    "Skill",
    "add_skill",
    "list_skills",
    "propose_owners",
    "remove_skill",
]

MAX_SKILLS: Final = 100
_MAX_CHARS: Final = 80
_PROPOSED: Final = 20
_OWNERS: Final = ("technician", "admin")


class NewSkill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an account can do; with `certificate` its number, with `ends_on` (a day) until when."""

    account: str
    skill: str
    certificate: str = ""
    ends_on: str | None = None


class Skill(msgspec.Struct, frozen=True, kw_only=True):
    """One skill; `holds` says whether it counts today."""

    account: str
    skill: str
    certificate: str
    ends_on: str | None
    holds: bool
    noted_by: str
    noted_at: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who could own a ticket."""

    account: str
    skill: str
    ends_on: str | None
    open_tickets: int


def _named(skill: str) -> str:
    """Return a skill's name as it is kept: lower case, single spaces."""
    return " ".join(check_line(skill, "skill", max_chars=_MAX_CHARS).lower().split())


def _holds(today: date) -> ColumnElement[bool]:
    return or_(skills.c.ends_on.is_(None), skills.c.ends_on >= today.isoformat())


def _day(text: str | None) -> str | None:
    if text is None or not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError("invalid", "the end is a day, such as 2027-03-31") from error
    return day.isoformat()


async def list_skills(
    c: AsyncConnection,
    relay: Relay,
    *,
    account: str | None = None,
    skill: str | None = None,
    ending_days: int | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[Skill]:
    """Return skills by account and name.

    Args:
        c: any connection.
        relay: the wiring; its clock says what holds today.
        account: only this one's.
        skill: only this one.
        ending_days: only what ends within so many days, or has ended.
        after: account and skill of the last one seen (the cursor).
        limit: at most so many.
    """
    today = relay.now().date()
    where: list[ColumnElement[bool]] = [skills.c.tenant == relay.tenant]
    if account is not None:
        where.append(skills.c.account == account)
    if skill is not None:
        where.append(skills.c.skill == _named(skill))
    if ending_days is not None:
        where.append(skills.c.ends_on <= (today + timedelta(days=ending_days)).isoformat())
    if after is not None:
        later = and_(skills.c.account == after[0], skills.c.skill > after[1])
        where.append(or_(skills.c.account > after[0], later))
    query = select(skills).where(*where).order_by(skills.c.account, skills.c.skill).limit(limit)
    return [_skill(row, today) for row in (await c.execute(query)).mappings()]


def _skill(row: RowMapping, today: date) -> Skill:
    names = [name for name in Skill.__struct_fields__ if name != "holds"]
    ends_on = row["ends_on"]
    holds = ends_on is None or ends_on >= today.isoformat()
    return Skill(holds=holds, **{name: row[name] for name in names})


async def add_skill(c: AsyncConnection, relay: Relay, *, new: NewSkill, actor: str) -> Skill:
    """Note that somebody can do something, or change until when.

    Raises:
        FarhandError: `invalid`, `skill-limit`; `not-found` for the account.
    """
    account = await relay.service(make_directory).find(c, new.account)
    if account is None:
        raise not_found("account", new.account)
    if account.role not in _OWNERS:
        raise UsageError("invalid", f"{account.name} is not of the desk")
    name = _named(new.skill)
    certificate = new.certificate.strip()
    row = {
        "tenant": relay.tenant,
        "account": account.name,
        "skill": name,
        "certificate": check_line(certificate, "certificate") if certificate else "",
        "ends_on": _day(new.ends_on),
        "noted_by": actor,
        "noted_at": relay.stamp(),
    }
    await relay.audit.append(
        c, actor=actor, action="skill.set", subject=account.name, detail={"skill": name}
    )
    mine = and_(skills.c.tenant == relay.tenant, skills.c.account == account.name)
    await c.execute(delete(skills).where(mine, skills.c.skill == name))
    count = await c.scalar(select(func.count()).select_from(skills).where(mine))
    if int(count or 0) >= MAX_SKILLS:
        raise FarhandError("skill-limit", f"{account.name} has {MAX_SKILLS} skills already")
    await c.execute(insert(skills).values(row))
    made = (await c.execute(select(skills).where(mine, skills.c.skill == name))).mappings().one()
    return _skill(made, relay.now().date())


async def remove_skill(
    c: AsyncConnection, relay: Relay, *, account: str, skill: str, actor: str
) -> None:
    """Note that somebody can do something no more.

    Raises:
        FarhandError: `not-found`.
    """
    name = _named(skill)
    await relay.audit.append(
        c, actor=actor, action="skill.remove", subject=account[:80], detail={"skill": name}
    )
    done = await c.execute(
        delete(skills).where(
            skills.c.tenant == relay.tenant, skills.c.account == account, skills.c.skill == name
        )
    )
    if not done.rowcount:
        raise not_found("skill", name)


async def propose_owners(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, skill: str
) -> list[Proposal]:
    """Return who could own a ticket that needs a skill, the least busy first.

    Nobody is proposed who is disabled, whose certificate has ended, or about whom the ticket is.
    """
    busy = (
        select(func.count())
        .select_from(tickets)
        .where(
            tickets.c.tenant == skills.c.tenant,
            tickets.c.owner == skills.c.account,
            tickets.c.state.not_in(ENDED),
        )
        .correlate(skills)
        .scalar_subquery()
    )
    query = (
        select(skills.c.account, skills.c.skill, skills.c.ends_on, busy.label("open_tickets"))
        .join(
            accounts,
            and_(accounts.c.tenant == skills.c.tenant, accounts.c.name == skills.c.account),
        )
        .where(
            skills.c.tenant == relay.tenant,
            skills.c.skill == _named(skill),
            _holds(relay.now().date()),
            accounts.c.disabled_at.is_(None),
            accounts.c.role.in_(_OWNERS),
            accounts.c.name != (ticket.complained_about or ""),
        )
        .order_by(busy, skills.c.account)
        .limit(_PROPOSED)
    )
    return [Proposal(**row) for row in (await c.execute(query)).mappings()]
