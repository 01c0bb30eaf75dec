"""The language in which people pick devices.

    *                       every device
    kiosk                   a word: part of name, host name, or the start of the id
    os:debian               part of the operating system's name
    group:sales             exactly that group
    tag:lab                 exactly that tag
    name:front-desk         exactly that name, `*` for anything: name:front-*
    id:d-abc                exactly that id
    online:true             connected now (or false)
    confirmed:true          confirmed (or false)
    conflict:true           its key was seen on two links (or false)
    version:0.1             agents whose version begins so
    -group:sales            not that
    os:debian tag:lab       both; several terms are always joined by `and`
    "two words" os:"..."    quotes keep spaces

Case does not matter, except in tags, groups and ids, which are kept as written.  The text is parsed
to a list of terms and compiled to SQL with bound parameters only.  Who is online is known in memory
and not in the table; it goes along as one parameter, however many they are (databases take only so
many), which SQLite reads as JSON and PostgreSQL as an array.  Retired devices never match.
A term whose key has no entry in `_COMPILERS` is `query-invalid`; a new key (software, check) is one
function there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Final, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects import postgresql

from farhand_protocol.errors import FarhandError
from farhand_server.store.schema import device_tags, devices

__all__ = ["MAX_QUERY_CHARS", "Term", "compile_query", "needs_presence", "parse_query"]

MAX_QUERY_CHARS: Final = 1_000
MAX_TERMS: Final = 32


class Term(msgspec.Struct, frozen=True):
    """One condition; `key` is empty for a plain word."""

    key: str
    value: str
    negated: bool = False


def _invalid(words: str) -> FarhandError:
    return FarhandError(
        "query-invalid",
        words,
        hint="words, `*`, " + ", ".join(f"{key}:" for key in _COMPILERS if key) + " and - for not",
    )


def _split(text: str) -> list[str]:
    """Cut at spaces outside double quotes; the quotes go."""
    parts: list[str] = []
    current: list[str] = []
    quoted = started = False
    for character in text:
        if character == '"':
            quoted, started = not quoted, True
        elif character.isspace() and not quoted:
            if started:
                parts.append("".join(current))
            current, started = [], False
        else:
            current.append(character)
            started = True
    if quoted:
        raise _invalid("a quote is not closed")
    if started:
        parts.append("".join(current))
    return parts


def parse_query(text: str, *, must_pick: bool = False) -> list[Term]:
    """Read a query.

    Args:
        text: the query.
        must_pick: refuse an empty query, as work for devices needs: all of them are named by `*`,
            never by saying nothing.

    Returns:
        At most `MAX_TERMS` terms, all of which must hold; none for the empty query and for `*`.

    Raises:
        FarhandError: `query-invalid`, naming what is wrong.
    """
    if len(text) > MAX_QUERY_CHARS or "\0" in text:
        raise _invalid(f"a query has at most {MAX_QUERY_CHARS} characters")
    parts = _split(text)
    if must_pick and not parts:
        raise _invalid("the query is empty; `*` means every device")
    terms = []
    for part in parts:
        negated = len(part) > 1 and part.startswith("-")
        body = part[1:] if negated else part
        if body == "*":
            if negated:
                raise _invalid("`-*` would be no device at all")
            continue
        key, colon, value = body.partition(":")
        if not colon:
            key, value = "", body
        key = key.lower()
        if key not in _COMPILERS or (colon and not key):
            raise _invalid(f"there is no key {key[:40]!r}")
        if not value:
            raise _invalid(f"{key}: needs a value" if key else "an empty word matches nothing")
        if key in ("online", "confirmed", "conflict") and value.lower() not in ("true", "false"):
            raise _invalid(f"{key} is true or false")
        terms.append(Term(key, value, negated))
    if len(terms) > MAX_TERMS:
        raise _invalid(f"a query has at most {MAX_TERMS} terms")
    return terms


def needs_presence(terms: list[Term]) -> bool:
    """Tell whether the query asks who is online."""
    return any(term.key == "online" for term in terms)


def compile_query(
    terms: list[Term], *, tenant: str, dialect: str, online: Collection[str] = ()
) -> ColumnElement[bool]:
    """Return the condition on `devices`, retired ones left out.

    Args:
        terms: from `parse_query`.
        tenant: organisation.
        dialect: `sqlite` or `postgresql`, by which the ids of `online` are handed over.
        online: ids of the devices that are connected; needed only if `needs_presence`.
    """
    conditions = [devices.c.tenant == tenant, devices.c.retired_at.is_(None)]
    present = _Online("postgresql" if dialect == "postgresql" else "sqlite", online)
    for term in terms:
        condition = _COMPILERS[term.key](term.value, present)
        conditions.append(not_(condition) if term.negated else condition)
    return and_(*conditions)


class _Online(msgspec.Struct, frozen=True):
    """Who is connected, and for which database the condition is."""

    dialect: Literal["sqlite", "postgresql"]
    ids: Collection[str]


Compiler = Callable[[str, _Online], ColumnElement[bool]]


def _word(value: str, _present: _Online) -> ColumnElement[bool]:
    return or_(
        devices.c.name.icontains(value, autoescape=True),
        devices.c.host_name.icontains(value, autoescape=True),
        devices.c.id.startswith(value.lower(), autoescape=True),
    )


def _os(value: str, _present: _Online) -> ColumnElement[bool]:
    return devices.c.os.icontains(value, autoescape=True)


def _group(value: str, _present: _Online) -> ColumnElement[bool]:
    return devices.c.device_group == value


def _tag(value: str, _present: _Online) -> ColumnElement[bool]:
    # Correlated on the whole primary key of device_tags, so each device costs one index look-up.
    return exists(
        select(device_tags.c.tag).where(
            device_tags.c.tenant == devices.c.tenant,
            device_tags.c.device == devices.c.id,
            device_tags.c.tag == value,
        )
    )


def _name(value: str, _present: _Online) -> ColumnElement[bool]:
    if "*" not in value:
        return func.lower(devices.c.name) == value.lower()
    escaped = value.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return func.lower(devices.c.name).like(escaped.replace("*", "%"), escape="\\")


def _id(value: str, _present: _Online) -> ColumnElement[bool]:
    return devices.c.id == value.lower()


def _online(value: str, present: _Online) -> ColumnElement[bool]:
    ids = sorted(present.ids)
    if present.dialect == "postgresql":
        given = select(func.unnest(literal(ids, postgresql.ARRAY(String))))
    else:
        text = literal(json.dumps(ids), String)
        given = select(func.json_each(text).table_valued("value").c.value)
    connected = devices.c.id.in_(given)
    return connected if value.lower() == "true" else not_(connected)


def _confirmed(value: str, _present: _Online) -> ColumnElement[bool]:
    return devices.c.confirmed == (true() if value.lower() == "true" else false())


def _conflict(value: str, _present: _Online) -> ColumnElement[bool]:
    seen = devices.c.key_conflict_at.is_not(None)
    return seen if value.lower() == "true" else not_(seen)


def _version(value: str, _present: _Online) -> ColumnElement[bool]:
    return devices.c.agent_version.startswith(value, autoescape=True)


_COMPILERS: Final[dict[str, Compiler]] = {
    "": _word,
    "os": _os,
    "group": _group,
    "tag": _tag,
    "name": _name,
    "id": _id,
    "online": _online,
    "confirmed": _confirmed,
    "conflict": _conflict,
    "version": _version,
}
