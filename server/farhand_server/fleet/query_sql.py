"""A query as SQL: one condition on `devices`, with bound parameters only.

Two things are found before the condition is made (`Facts`), because no table holds them as rows:
who is online, which the nodes know; and who has which software (`fleet.software_search`).  Each
goes along as one parameter, however many they are (databases take only so many): JSON for SQLite,
an array or bits for PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from farhand_server.fleet.packages import given_numbers, given_texts
from farhand_server.fleet.query import AllOf, Node, Not, Term, terms_of
from farhand_server.fleet.software_index import numbers_in
from farhand_server.store.schema import (
    check_states,
    device_hints,
    device_products,
    device_tags,
    devices,
)

__all__ = ["AGENT", "Facts", "compile_query", "needs_presence"]

AGENT: Final = "agent"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition is made with.

    Attributes:
        tenant: organisation.
        dialect: `sqlite` or `postgresql`.
        online: ids of the devices that are connected; needed only if `needs_presence`.
        installed: for each `software` term, the devices that match it: bit N is the device N.
    """

    tenant: str
    dialect: str
    online: Collection[str] = ()
    installed: Mapping[Term, int] = {}


def needs_presence(node: Node) -> bool:
    """Tell whether the query asks who is online."""
    return any(term.key == "online" for term in terms_of(node))


def compile_query(node: Node, facts: Facts, *, agents_only: bool = False) -> ColumnElement[bool]:
    """Return the condition on `devices`, retired ones left out.

    Args:
        node: from `parse_query`.
        facts: see there.
        agents_only: leave out what runs no agent, as whoever gives orders must.
    """
    conditions = [devices.c.tenant == facts.tenant, devices.c.retired_at.is_(None)]
    if agents_only:
        conditions.append(devices.c.kind == AGENT)
    return and_(*conditions, _compiled(node, facts))


def _compiled(node: Node, facts: Facts) -> ColumnElement[bool]:
    if isinstance(node, Term):
        return _COMPILERS[node.key](node, facts)
    if isinstance(node, Not):
        return not_(_compiled(node.one, facts))
    inner = [_compiled(one, facts) for one in node.nodes]
    if isinstance(node, AllOf):
        return and_(true(), *inner)
    return or_(false(), *inner)


Compiler = Callable[[Term, Facts], ColumnElement[bool]]


def _word(term: Term, _facts: Facts) -> ColumnElement[bool]:
    return or_(
        devices.c.name.icontains(term.value, autoescape=True),
        devices.c.host_name.icontains(term.value, autoescape=True),
        devices.c.id.startswith(term.value.lower(), autoescape=True),
    )


def _os(term: Term, facts: Facts) -> ColumnElement[bool]:
    told = select(device_hints.c.device).where(
        device_hints.c.tenant == facts.tenant,
        device_hints.c.kind == "os",
        device_hints.c.value.contains(term.value.casefold(), autoescape=True),
    )
    return or_(devices.c.os.icontains(term.value, autoescape=True), devices.c.id.in_(told))


def _group(term: Term, _facts: Facts) -> ColumnElement[bool]:
    return devices.c.device_group == term.value


def _tag(term: Term, _facts: Facts) -> ColumnElement[bool]:
    # Correlated on the whole primary key of device_tags, so each device costs one index look-up.
    return exists(
        select(device_tags.c.tag).where(
            device_tags.c.tenant == devices.c.tenant,
            device_tags.c.device == devices.c.id,
            device_tags.c.tag == term.value,
        )
    )


def _name(term: Term, _facts: Facts) -> ColumnElement[bool]:
    return matches(func.lower(devices.c.name), term.value.lower())


def matches(column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Return that a column is this text, in which `*` stands for anything."""
    if "*" not in value:
        return column == value
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%"), escape="\\")


def _id(term: Term, _facts: Facts) -> ColumnElement[bool]:
    return devices.c.id == term.value.lower()


def _online(term: Term, facts: Facts) -> ColumnElement[bool]:
    connected = devices.c.id.in_(given_texts(facts.dialect, facts.online))
    return connected if term.value.lower() == "true" else not_(connected)


def _confirmed(term: Term, _facts: Facts) -> ColumnElement[bool]:
    return devices.c.confirmed == (true() if term.value.lower() == "true" else false())


def _conflict(term: Term, _facts: Facts) -> ColumnElement[bool]:
    seen = devices.c.key_conflict_at.is_not(None)
    return seen if term.value.lower() == "true" else not_(seen)


def _version(term: Term, _facts: Facts) -> ColumnElement[bool]:
    return devices.c.agent_version.startswith(term.value, autoescape=True)


def _kind(term: Term, _facts: Facts) -> ColumnElement[bool]:
    return devices.c.kind == term.value.lower()


def _software(term: Term, facts: Facts) -> ColumnElement[bool]:
    bits = facts.installed[term]
    if not bits:
        return false()  # known before any row is read
    # Bit 0 is nobody's, so it stands for devices that have never reported software.
    number = func.coalesce(devices.c.number, 0)
    if facts.dialect != "postgresql":
        return number.in_(given_numbers(facts.dialect, numbers_in(bits)))
    # Thousands of devices are a kilobyte of bits, where they would be a long array to hash.
    length = bits.bit_length() // 8 + 1
    given = literal(bits.to_bytes(length, "little"), LargeBinary)
    # CASE, since AND may ask for the bit first, and beyond the end that is an error.
    return case((number < 8 * length, func.get_bit(given, number)), else_=0) == 1


def _check(term: Term, facts: Facts) -> ColumnElement[bool]:
    where = [check_states.c.tenant == facts.tenant]
    if term.value != "*":
        where.append(matches(check_states.c.check_id, term.value))
    if term.wanted:
        where.append(check_states.c.state == term.wanted)
    return devices.c.id.in_(select(check_states.c.device).where(*where))


def _serial(term: Term, facts: Facts) -> ColumnElement[bool]:
    value = " ".join(term.value.casefold().split())
    told = select(device_hints.c.device).where(
        device_hints.c.tenant == facts.tenant,
        device_hints.c.kind == "serial",
        matches(device_hints.c.value, value),
    )
    recorded = select(device_products.c.device).where(
        device_products.c.tenant == facts.tenant,
        matches(func.lower(device_products.c.serial), value),
    )
    return or_(devices.c.id.in_(told), devices.c.id.in_(recorded))


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
    "kind": _kind,
    "software": _software,
    "check": _check,
    "serial": _serial,
}
