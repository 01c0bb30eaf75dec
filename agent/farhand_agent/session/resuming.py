"""What a journalled session may still do when another process takes it up.  Pure.

    stopping in the journal                   nothing: it ends, for the reason that stands there
    its time is over                          nothing: it ends as expired
    the grant no longer holds                 nothing: it ends with the code of the check that fails
    else                                      what was open and is still allowed, nobody is asked

The grant is checked as at the beginning, against the roster and the policy of today: somebody who
was taken off the roster meanwhile does not come back by a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from farhand_agent.journal import SessionRow
from farhand_agent.session.grant import Agreed, Facts, check_grant
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant, Widening
from farhand_protocol.instants import parse_instant
from farhand_protocol.trust import may_open

__all__ = ["agree_again"]


def agree_again(row: SessionRow, facts: Facts, widened: Iterable[Widening]) -> tuple[Agreed, str]:
    """Return what the session may do, and why it ends where it may nothing more.

    Args:
        row: of the journal.
        facts: of the device now, with the row's scopes as those offered.
        widened: what was consented to later.

    Returns:
        The terms and an empty string, or the scopes to be named in the receipt and a stable reason.
    """
    grant = open_payload(decode_envelope(row.grant), Grant)
    over = Agreed(grant=grant, scopes=tuple(row.scopes), minutes=0, forward_to=frozenset())
    if row.state != "active":
        return over, row.reason or "interrupted"
    if facts.now >= parse_instant(row.expires):
        return over, "expired"
    facts = replace(
        facts,
        session=row.id,
        transcript=grant.transcript,
        relay_operator=grant.operator,
        was_seen=False,
        local_now=None,  # it was opened in its hours
    )
    try:
        agreed = check_grant(row.grant, facts)
    except FarhandError as error:
        return over, error.code
    return _with_widened(agreed, row, facts, widened), ""


def _with_widened(
    agreed: Agreed, row: SessionRow, facts: Facts, widened: Iterable[Widening]
) -> Agreed:
    """Add what was consented to after the grant, as far as roster and policy still allow it."""
    scopes, forward = list(agreed.scopes), set(agreed.forward_to)
    for wish in widened:
        operator = facts.trust.roster.find(wish.operator) if facts.trust else None
        forward |= {one.lower() for one in wish.forward}
        for scope in wish.scopes:
            permitted = facts.guest or (
                operator is not None and may_open(operator, scope, facts.group)
            )
            is_open = scope in row.scopes and scope in facts.policy.scopes
            if permitted and is_open and scope not in scopes:
                scopes.append(scope)
    forward &= {one.lower() for one in facts.policy.forward_to}
    if not forward:
        scopes = [scope for scope in scopes if scope != "forward"]
    return replace(
        agreed,
        scopes=tuple(scopes),
        forward_to=frozenset(forward) if "forward" in scopes else frozenset(),
    )
