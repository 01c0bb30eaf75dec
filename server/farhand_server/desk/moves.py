"""What moves a ticket: words said on it, somebody taking it, waiting, handing on, ending.

Each step is one row of the table in `desk.ticket_states`, made against the revision that was read,
and leaves an event; measures are computed from those.  Two people at once: the second one is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.desk.checklist_items import check_nothing_open
from farhand_server.desk.links import add_link, successor_of
from farhand_server.desk.queues import get_queue
from farhand_server.desk.ticket_states import WAITING_FOR, TicketEvent, next_state
from farhand_server.desk.tickets import Intake, Sight, Ticket, create_ticket, get_ticket
from farhand_server.desk.timeline import Message, MessageKind, add_event, insert_message
from farhand_server.errors import not_permitted
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets
from farhand_server.wording import check_line

__all__ = [
    "MAX_TIER",
    "SpokenKind",
    "add_message",
    "assign",
    "close",
    "escalate",
    "mark_spam",
    "reopen",
    "resolve",
    "resume",
    "step",
    "wait",
]

MAX_TIER: Final = 3
SpokenKind = Literal["reply", "note", "session", "chat", "call", "instruction"]
_FOR_EVERYBODY: Final = ("reply", "chat", "instruction")
# No chain of merges is longer (see desk.absorbed.MAX_MERGED).
_MAX_HOPS: Final = 101


class _Step(NamedTuple):
    """One step: the ticket before it, and when it was made."""

    before: Ticket
    at: str


async def step(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    state: str,
    changes: Mapping[str, Any] | None = None,
) -> str:
    """Write a ticket's next state against the revision that was read; returns when.

    Raises:
        FarhandError: `revision-mismatch`.
    """
    at = relay.stamp()
    values: dict[str, Any] = {
        "state": state,
        "updated_at": at,
        "due_known": False,
        "revision": ticket.revision + 1,
    }
    if state != "waiting":
        values |= {"state_reason": "", "waiting_until": None}
    done = await c.execute(
        update(tickets)
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.number == ticket.row,
            # Two people at once: the second finds another revision and changes nothing.
            tickets.c.revision == ticket.revision,
        )
        .values(values | dict(changes or {}))
    )
    if done.rowcount != 1:
        raise _stale(ticket)
    return at


async def _move(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    event: TicketEvent,
    revision: int | None,
    sight: Sight | None = None,
    changes: Mapping[str, Any] | None = None,
) -> _Step:
    """Take one step of the table."""
    ticket = await get_ticket(c, relay.tenant, ref, sight=sight)
    if revision is not None and revision != ticket.revision:
        raise _stale(ticket)
    state = next_state(ticket.state, event)
    return _Step(ticket, await step(c, relay, ticket=ticket, state=state, changes=changes))


def _stale(ticket: Ticket) -> FarhandError:
    return FarhandError(
        "revision-mismatch",
        f"{ticket.number} was changed by somebody else meanwhile",
        hint="look at it again, then repeat your change",
    )


async def _say(
    c: AsyncConnection,
    relay: Relay,
    made: _Step,
    *,
    kind: MessageKind,
    event: str,
    actor: str,
    body: str,
    detail: Mapping[str, Any] | None = None,
    channel: str = "",
    person: str | None = None,
    language: str = "",
) -> Message:
    """Add the words and the event of a step."""
    row = made.before.row
    message = await insert_message(
        c, relay.tenant, row, kind, actor, body, made.at,
        channel=channel, person=person, language=language,
    )  # fmt: skip
    told = {"message": message.seq, **(detail or {})}
    await add_event(c, relay.tenant, row, event, actor, told, made.at)
    return message


# Words.


async def add_message(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    kind: SpokenKind,
    body: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
    channel: str = "",
    person: str | None = None,
    language: str = "",
) -> Message:
    """Say something on a ticket: to everybody on it, or a note for the desk.

    `reply`, `chat` and `instruction` are for everybody.  `session` and `call` are notes: what a
    session came to, as its operator's console tells it, or what was said on the phone.  What
    is said on a merged ticket is said on the one it was merged into.  A requester's reply reopens a
    resolved ticket while its queue allows it; later, or when it is closed, it begins a linked one.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`; `not-permitted`
            for a requester's note.
    """
    of_desk = sight is None or sight.desk
    if not of_desk and kind not in ("reply", "chat"):
        raise not_permitted("notes are for the desk")
    ticket = await get_ticket(c, relay.tenant, ref, sight=sight)
    for _ in range(_MAX_HOPS):
        if ticket.merged_into is None:
            break
        # Whoever takes part in the one takes part in the other.
        ticket = await get_ticket(c, relay.tenant, ticket.merged_into)
        revision = None
    if not of_desk and await _is_over(c, relay, ticket):
        return await _succeed(
            c, relay, ticket, body=body, actor=actor, channel=channel, person=person
        )
    what: TicketEvent = "reply" if kind in _FOR_EVERYBODY else "note"
    event: TicketEvent = what if of_desk else "requester-reply"
    again = event == "requester-reply" and ticket.state == "resolved"
    changes = {"resolved_at": None, "reopen_count": ticket.reopen_count + 1} if again else None
    made = await _move(c, relay, ref=ticket.id, event=event, revision=revision, changes=changes)
    name = "requester-reply" if not of_desk else what
    message = await _say(
        c, relay, made, kind=kind, event=name, actor=actor, body=body,
        channel=channel, person=person, language=language,
    )  # fmt: skip
    if again:
        detail = {"message": message.seq}
        await add_event(c, relay.tenant, ticket.row, "reopened", actor, detail, made.at)
    return message


async def _is_over(c: AsyncConnection, relay: Relay, ticket: Ticket) -> bool:
    """Tell whether a requester's reply comes too late for this ticket."""
    if ticket.state == "closed":
        return True
    if ticket.state != "resolved" or ticket.resolved_at is None:
        return False
    queue = await get_queue(c, relay.tenant, ticket.queue)
    until = parse_instant(ticket.resolved_at) + timedelta(days=queue.reopen_days)
    return relay.now() > until


async def _succeed(
    c: AsyncConnection,
    relay: Relay,
    old: Ticket,
    *,
    body: str,
    actor: str,
    channel: str = "",
    person: str | None = None,
) -> Message:
    """Put what was said into the ticket that follows one that is over, or begin that one.

    A complaint goes on as one, so that whoever it is about does not come to own it this way.
    """
    at = relay.stamp()
    following = await successor_of(c, relay.tenant, old.row)
    if following is not None:
        made = await _move(c, relay, ref=following, event="requester-reply", revision=None)
        return await _say(
            c, relay, made, kind="reply", event="requester-reply", actor=actor, body=body,
            channel=channel, person=person,
        )  # fmt: skip
    made_anew = await create_ticket(
        c,
        relay,
        title=old.title,
        actor=actor,
        requester=old.requester,
        device=old.device,
        intake=Intake(
            kind="complaint" if old.kind == "complaint" else "incident",
            queue=old.queue,
            security=old.security,
            complained_about=old.complained_about,
        ),
        person=old.person,
        organisation=old.organisation,
        channel=channel,
    )
    message = await insert_message(
        c, relay.tenant, made_anew.row, "reply", actor, body, at, channel=channel, person=person
    )
    detail = {"message": message.seq, "follows": old.number}
    await add_event(c, relay.tenant, made_anew.row, "requester-reply", actor, detail, at)
    await add_link(c, relay, ticket=made_anew, other=old, kind="relates", actor=actor)
    return message


# Steps.


async def assign(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    owner: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Give a ticket to an account, whose existence the caller checked.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`;
            `owner-complained-about`.
    """
    ticket = await get_ticket(c, relay.tenant, ref, sight=sight)
    _check_owner(ticket, owner)
    changes = {"owner": check_line(owner, "owner")}
    made = await _move(c, relay, ref=ticket.id, event="assign", revision=revision, changes=changes)
    detail = {"from": ticket.owner, "to": owner}
    await add_event(c, relay.tenant, ticket.row, "assigned", actor, detail, made.at)
    return await get_ticket(c, relay.tenant, ticket.id)


def _check_owner(ticket: Ticket, owner: str) -> None:
    if owner == ticket.complained_about:
        raise FarhandError(
            "owner-complained-about", f"{ticket.number} is a complaint about {owner[:80]}"
        )


async def wait(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    reason: str,
    until: str | None,
    note: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Wait for somebody else, or for a day to come; what is awaited stops clocks, by agreement.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        ref: the ticket.
        reason: of `ticket_states.WAITING_FOR`.
        until: RFC 3339; the relay then opens the ticket again.  A reminder needs one.
        note: for the desk; may be empty.
        actor: who says so.
        sight: what this person sees.
        revision: what was read.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`.
    """
    if reason not in WAITING_FOR:
        raise FarhandError("invalid", f"a ticket waits for one of {', '.join(WAITING_FOR)}")
    if reason == "reminder" and until is None:
        raise FarhandError("invalid", "a reminder needs the time until which to wait")
    if until is not None:
        instant = parse_instant(until)
        if instant <= relay.now():
            raise FarhandError("invalid", "the time until which to wait has passed")
        until = stamp(instant)
    changes = {"state_reason": reason, "waiting_until": until}
    made = await _move(
        c, relay, ref=ref, event="wait", revision=revision, sight=sight, changes=changes
    )
    detail = {"reason": reason, "until": until}
    await _note_or_event(c, relay, made, "waiting", actor, note, detail)
    return await get_ticket(c, relay.tenant, made.before.id)


async def _note_or_event(
    c: AsyncConnection,
    relay: Relay,
    made: _Step,
    event: str,
    actor: str,
    note: str,
    detail: Mapping[str, Any],
) -> None:
    if note.strip():
        await _say(c, relay, made, kind="note", event=event, actor=actor, body=note, detail=detail)
    else:
        await add_event(c, relay.tenant, made.before.row, event, actor, detail, made.at)


async def resume(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    note: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Go on with a ticket that waited.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`.
    """
    made = await _move(c, relay, ref=ref, event="resume", revision=revision, sight=sight)
    detail = {"waited_for": made.before.state_reason}
    await _note_or_event(c, relay, made, "resumed", actor, note, detail)
    return await get_ticket(c, relay.tenant, made.before.id)


async def escalate(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    reason: str,
    handover: str,
    owner: str | None,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Hand a ticket to the next tier, with the reason and what the next person must know.

    It has no owner then, but the one that is named (whose existence the caller checked).

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`;
            `tier-highest`, `owner-complained-about`.
    """
    ticket = await get_ticket(c, relay.tenant, ref, sight=sight)
    if ticket.tier >= MAX_TIER:
        raise FarhandError(
            "tier-highest",
            f"{ticket.number} is with tier {ticket.tier} already",
            hint="give it to somebody there, or escalate it to the developers",
        )
    if owner is not None:
        _check_owner(ticket, owner)
    why = check_line(reason, "reason")
    made = await _move(
        c,
        relay,
        ref=ticket.id,
        event="escalate",
        revision=revision,
        changes={"tier": ticket.tier + 1, "owner": owner},
    )
    detail = {"from": ticket.tier, "to": ticket.tier + 1, "reason": why, "owner": owner}
    await _say(
        c,
        relay,
        made,
        kind="note",
        event="escalated",
        actor=actor,
        body=f"To tier {ticket.tier + 1}: {why}\n\n{handover}",
        detail=detail,
    )
    return await get_ticket(c, relay.tenant, ticket.id)


async def resolve(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    note: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Resolve a ticket with a closing note, which stays in the desk.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`;
            `identity-unchecked` for a request for access that nobody checked,
            `checklist-open` while required items are.
    """
    found = await get_ticket(c, relay.tenant, ref, sight=sight)
    if found.kind == "access" and not found.identity_check:
        raise FarhandError(
            "identity-unchecked",
            f"nobody recorded how the person of {found.number} was recognised",
            hint=f"farhand ticket set {found.number} --identity-check HOW",
        )
    await check_nothing_open(c, relay.tenant, found.row)
    await relay.audit.append(c, actor=actor, action="ticket.resolve", subject=found.number)
    changes = {"resolved_at": relay.stamp()}
    made = await _move(c, relay, ref=found.id, event="resolve", revision=revision, changes=changes)
    await _say(c, relay, made, kind="note", event="resolved", actor=actor, body=note)
    return await get_ticket(c, relay.tenant, found.id)


async def reopen(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    reason: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Open an ended ticket again; the reason is a requester's reply or the desk's note.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`;
            `reopen-too-late` for a requester, whose reply begins a new ticket then.
    """
    of_desk = sight is None or sight.desk
    ticket = await get_ticket(c, relay.tenant, ref, sight=sight)
    if not of_desk and await _is_over(c, relay, ticket):
        raise FarhandError(
            "reopen-too-late",
            f"{ticket.number} is over",
            hint="a reply to it begins a new ticket, linked to this one",
        )
    made = await _move(
        c,
        relay,
        ref=ticket.id,
        event="reopen",
        revision=revision,
        changes={
            "resolved_at": None,
            "closed_at": None,
            "reopen_count": ticket.reopen_count + 1,
        },
    )
    kind: MessageKind = "note" if of_desk else "reply"
    await _say(c, relay, made, kind=kind, event="reopened", actor=actor, body=reason)
    return await get_ticket(c, relay.tenant, ticket.id)


async def close(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Close a resolved ticket for good.

    Raises:
        FarhandError: `not-found`, `ticket-state`, `revision-mismatch`.
    """
    made = await _move(
        c,
        relay,
        ref=ref,
        event="close",
        revision=revision,
        sight=sight,
        changes={"closed_at": relay.stamp()},
    )
    await add_event(c, relay.tenant, made.before.row, "closed", actor, {}, made.at)
    return await get_ticket(c, relay.tenant, made.before.id)


async def mark_spam(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    reason: str,
    actor: str,
    sight: Sight | None = None,
    revision: int | None = None,
) -> Ticket:
    """Put a ticket away as spam; reopening takes it out again.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`.
    """
    made = await _move(c, relay, ref=ref, event="spam", revision=revision, sight=sight)
    await _say(c, relay, made, kind="note", event="spam", actor=actor, body=reason)
    return await get_ticket(c, relay.tenant, made.before.id)
