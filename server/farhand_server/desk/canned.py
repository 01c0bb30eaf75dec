"""Canned replies: Markdown with a few variables, in as many languages as somebody wrote.

A reply has a key, which people type as `:key`.  It is taken in the ticket's language, else in that
of the language without its region, else in the organisation's, else in English, else in the first
there is.  Variables are `{ticket.number}` and the like: names from a closed list, replaced once,
never evaluated.  A variable without a value is shown as missing before anything is sent, and
nothing is sent with one missing.  `{param.NAME}` is what whoever sends it must say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import RowMapping, and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.desk.tickets import Ticket
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import canned_replies, devices, organisations, people, tenants
from farhand_server.wording import MAX_BODY_CHARS, check_body, check_language, check_line

__all__ = [
    "MAX_CANNED",
    "VARIABLES",
    "CannedReply",
    "FilledReply",
    "drop_canned",
    "fill_canned",
    "find_canned",
    "list_canned",
    "refuse_missing",
    "set_canned",
    "variables_in",
]

MAX_CANNED: Final = 2_000
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
_VARIABLE: Final = re.compile(r"\{([a-z]{1,20}\.[a-z_]{1,30})\}", re.ASCII)
VARIABLES: Final = (
    "ticket.number",
    "ticket.title",
    "ticket.state",
    "ticket.priority",
    "ticket.queue",
    "ticket.due_at",
    "requester.name",
    "agent.name",
    "device.name",
    "organisation.name",
)
# What somebody meant for one: it would be sent as it stands.
_MEANT: Final = re.compile(r"\{([a-z_]{1,30})\}", re.ASCII)
_PARAMETER: Final = "param."


class CannedReply(msgspec.Struct, frozen=True, kw_only=True):
    """One text of a reply."""

    key: str
    language: str
    title: str
    body: str
    changed_by: str
    changed_at: str


class FilledReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply as it would be sent; `missing` are variables that have no value yet."""

    key: str
    language: str
    body: str
    missing: list[str]


def variables_in(body: str) -> list[str]:
    """Return the variables of a text, each once.

    Raises:
        UsageError: `invalid` for one that there is not.
    """
    found = list(dict.fromkeys(_VARIABLE.findall(body)))
    for name in [*found, *_MEANT.findall(body)]:
        if name not in VARIABLES and not name.startswith(_PARAMETER):
            known = ", ".join(VARIABLES)
            words = f"there is no variable {{{name}}}"
            raise UsageError("invalid", words, hint=f"{known}, and param.NAME")
    return found


def _reply(row: RowMapping) -> CannedReply:
    return CannedReply(**{name: row[name] for name in CannedReply.__struct_fields__})


async def list_canned(
    c: AsyncConnection, tenant: str, *, after: tuple[str, str] = ("", ""), limit: int = 50
) -> list[CannedReply]:
    """Return replies by key and language."""
    table = canned_replies.c
    key, language = after
    query = (
        select(canned_replies)
        .where(
            table.tenant == tenant,
            (table.key > key) | ((table.key == key) & (table.language > language)),
        )
        .order_by(table.key, table.language)
        .limit(limit)
    )
    return [_reply(row) for row in (await c.execute(query)).mappings()]


async def set_canned(
    c: AsyncConnection,
    relay: Relay,
    *,
    key: str,
    language: str,
    title: str,
    body: str,
    actor: str,
) -> CannedReply:
    """Write a reply in one language, or write it anew.

    Raises:
        UsageError: `invalid`.
    """
    if not _KEY.fullmatch(key):
        raise UsageError("invalid", "a reply's key is small letters, digits, `.`, `_` and `-`")
    language = check_language(language)
    if not language:
        raise UsageError("invalid", "a reply has a language, such as de or pt-BR")
    body = check_body(body, "reply")
    variables_in(body)
    mine = (canned_replies.c.tenant == relay.tenant, canned_replies.c.key == key)
    await c.execute(delete(canned_replies).where(*mine, canned_replies.c.language == language))
    count = select(func.count()).where(canned_replies.c.tenant == relay.tenant)
    if (await c.scalar(count) or 0) >= MAX_CANNED:
        raise UsageError("invalid", f"there are {MAX_CANNED} canned replies already")
    made = CannedReply(
        key=key,
        language=language,
        title=check_line(title, "title") if title else key,
        body=body,
        changed_by=actor,
        changed_at=relay.stamp(),
    )
    row = {"tenant": relay.tenant, **msgspec.structs.asdict(made)}
    await c.execute(insert(canned_replies).values(row))
    return made


async def drop_canned(c: AsyncConnection, relay: Relay, *, key: str, language: str | None) -> None:
    """Take a reply away, in one language or in all.

    Raises:
        FarhandError: `not-found`.
    """
    mine = and_(canned_replies.c.tenant == relay.tenant, canned_replies.c.key == key)
    if language is not None:
        mine = and_(mine, canned_replies.c.language == language)
    if (await c.execute(delete(canned_replies).where(mine))).rowcount == 0:
        raise not_found("canned reply", key)


async def find_canned(
    c: AsyncConnection, tenant: str, key: str, languages: Sequence[str]
) -> CannedReply:
    """Return a reply in the first of these languages that it has, else in any.

    Args:
        c: any connection.
        tenant: organisation.
        key: with or without the colon that people type before it.
        languages: tags, the best first; a region is left out where it has no text of its own.

    Raises:
        FarhandError: `not-found`.
    """
    table = canned_replies.c
    query = select(canned_replies).where(
        table.tenant == tenant, table.key == key.strip().removeprefix(":")
    )
    rows = [_reply(row) for row in (await c.execute(query.order_by(table.language))).mappings()]
    if not rows:
        raise not_found("canned reply", key)
    by_language = {one.language.lower(): one for one in rows}
    for tag in (part for one in languages for part in (one, one.partition("-")[0])):
        if tag.lower() in by_language:
            return by_language[tag.lower()]
    return rows[0]


async def fill_canned(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    key: str,
    actor: str,
    language: str = "",
    params: Mapping[str, str] | None = None,
) -> FilledReply:
    """Return a reply for a ticket with its variables replaced, and which of them have no value.

    Args:
        c: any connection.
        relay: the wiring.
        ticket: for which.
        key: of the reply.
        actor: who would send it.
        language: other than the ticket's.
        params: values of `{param.NAME}`, by NAME.

    Raises:
        FarhandError: `not-found`; `invalid` for a parameter that the reply has not.
    """
    organisation = await _organisation(c, relay, ticket)
    wanted = [one for one in (language, ticket.language, organisation[1], "en") if one]
    reply = await find_canned(c, relay.tenant, key, wanted)
    values = await _values(c, relay, ticket, actor) | {"organisation.name": organisation[0]}
    names = variables_in(reply.body)
    for name, value in (params or {}).items():
        if _PARAMETER + name not in names:
            raise UsageError("invalid", f"{reply.key} has no parameter {name[:40]!r}")
        values[_PARAMETER + name] = check_body(value, name) if value.strip() else ""
    missing = [name for name in names if not values.get(name)]
    # Once and from the left: what a value holds is text, and no variable.
    body = _VARIABLE.sub(lambda match: values.get(match[1]) or match[0], reply.body)
    if len(body) > MAX_BODY_CHARS:
        raise UsageError("invalid", "the reply is too long with these values")
    return FilledReply(key=reply.key, language=reply.language, body=body, missing=missing)


async def _values(c: AsyncConnection, relay: Relay, ticket: Ticket, actor: str) -> dict[str, str]:
    requester, device = ticket.requester or "", ""
    if ticket.person:
        of_her = (people.c.tenant == relay.tenant, people.c.id == ticket.person)
        requester = await c.scalar(select(people.c.name).where(*of_her)) or requester
    if ticket.device:
        of_it = (devices.c.tenant == relay.tenant, devices.c.id == ticket.device)
        device = await c.scalar(select(devices.c.name).where(*of_it)) or ""
    return {
        "ticket.number": ticket.number,
        "ticket.title": ticket.title,
        "ticket.state": ticket.state,
        "ticket.priority": ticket.priority,
        "ticket.queue": ticket.queue,
        "ticket.due_at": ticket.due_at or "",
        "requester.name": requester,
        "agent.name": actor,
        "device.name": device,
    }


async def _organisation(c: AsyncConnection, relay: Relay, ticket: Ticket) -> tuple[str, str]:
    """Return what the ticket's organisation is called, and its language."""
    if ticket.organisation:
        query = select(organisations.c.title, organisations.c.locale).where(
            organisations.c.tenant == relay.tenant, organisations.c.id == ticket.organisation
        )
        row = (await c.execute(query)).first()
        if row is not None:
            return row[0], row[1]
    name = await c.scalar(select(tenants.c.name).where(tenants.c.id == relay.tenant))
    return name or "", ""


def refuse_missing(filled: FilledReply) -> None:
    """Refuse to send a reply in which variables have no value.

    Raises:
        FarhandError: `canned-incomplete`.
    """
    if filled.missing:
        raise FarhandError(
            "canned-incomplete",
            f"{filled.key} has no value for {', '.join(filled.missing)}",
            hint="--param NAME=VALUE gives {param.NAME} one",
        )
