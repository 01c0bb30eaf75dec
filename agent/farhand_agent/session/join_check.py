"""Whether a grant lets somebody join an open session.  Pure: facts go in, a member or a code out.

The checks stand in this order, and the first that fails decides (fail closed):

    join-malformed           no grant that can be read, or not one for joining
    grant-wrong-session      it joins another session
    grant-wrong-tenant, grant-wrong-device, grant-wrong-host, grant-wrong-group
    policy-refused           this device is of no organisation, so nobody can be told from another
    trust-missing, trust-expired, trust-behind, device-revoked, grant-operator-unknown
    grant-signature          not signed by the key it names, or by others as well
    grant-expired, grant-early
    grant-reused             it was shown before, its console key is one of this session already, or
                             too many have asked
    join-own                 she is in this session
    join-full                there are `MAX_MEMBERS`
    grant-not-permitted      the roster does not let her open one of the scopes here
    scope-empty              a peer, and nothing of what she asks for is open in this session
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from farhand_agent.session.grant import Facts, check_place, check_signer, check_time, read_grant
from farhand_agent.session.roll import Member
from farhand_protocol.envelopes import decode_envelope
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import Grant
from farhand_protocol.instants import parse_instant
from farhand_protocol.receipts import open_grant
from farhand_protocol.trust import may_open

__all__ = ["MAX_JOINS", "MAX_MEMBERS", "JoinFacts", "check_join"]

MAX_MEMBERS: Final = 4
# Whoever keeps asking would wear the person down.
MAX_JOINS: Final = 16


@dataclass(frozen=True, kw_only=True)
class JoinFacts:
    """What the device knows by itself: of itself (`place`), of the session, of who is in it."""

    place: Facts
    session: Grant
    scopes: frozenset[str]
    expires: datetime
    inside: tuple[Member, ...]
    seen: frozenset[str]


def check_join(data: bytes, facts: JoinFacts) -> Member:
    """Check the sealed grant of somebody who wants to join.

    Args:
        data: the envelope's canonical bytes.
        facts: of this device and this session.

    Returns:
        Who she is and what she may do.

    Raises:
        FarhandError: the code of the first check that fails.
    """
    grant = _read(data)
    if grant.joins != facts.session.id:
        raise RefusedError("grant-wrong-session", "the grant joins another session")
    check_place(grant, replace(facts.place, session=None))
    if facts.place.guest:
        raise RefusedError("policy-refused", "a device of no organisation lets nobody join")
    check_signer(grant, facts.place)
    envelope = decode_envelope(data)
    open_grant(envelope)
    check_time(grant, facts.place)
    keys = {facts.session.console_key, *(one.console_key for one in facts.inside)}
    if grant.id in facts.seen or grant.console_key in keys or len(facts.seen) >= MAX_JOINS:
        raise RefusedError("grant-reused", "this was asked before, or too many have asked")
    names = {facts.session.operator, *(one.operator for one in facts.inside)}
    if grant.operator in names:
        raise RefusedError("join-own", "this operator is in the session already")
    if len(facts.inside) >= MAX_MEMBERS:
        raise RefusedError("join-full", "too many have joined this session")
    return Member(
        join=grant.id,
        operator=grant.operator,
        mode="observer" if grant.mode == "observer" else "peer",
        console_key=grant.console_key,
        scopes=_scopes(grant, facts),
        expires=min(parse_instant(grant.expires), facts.expires),
        envelope=envelope,
    )


def _read(data: bytes) -> Grant:
    try:
        grant = read_grant(data)
    except FarhandError as error:
        raise RefusedError("join-malformed", error.message, detail=error.detail) from error
    is_for_joining = (
        grant.mode in ("observer", "peer")
        and grant.transcript is None
        and (grant.mode == "peer" or grant.scopes == ["view"])
        and 1 <= len(grant.id) <= 64
    )
    if not is_for_joining:
        raise RefusedError("join-malformed", "this is no grant with which one joins a session")
    return grant


def _scopes(grant: Grant, facts: JoinFacts) -> frozenset[str]:
    trust = facts.place.trust
    operator = trust.roster.find(grant.operator) if trust else None
    for scope in grant.scopes or ["view"]:
        if operator is None or not may_open(operator, scope, facts.place.group):
            raise RefusedError(
                "grant-not-permitted", f"the roster does not permit {scope!r} on this device"
            )
    scopes = frozenset(grant.scopes) & facts.scopes
    if grant.mode == "peer" and not scopes:
        raise RefusedError("scope-empty", "nothing of what was asked for is open in this session")
    return scopes
