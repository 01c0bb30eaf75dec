"""Instructions: steps that the requester is asked to take, and how each was answered.

They are one message of the kind `instruction`, which everybody on it sees, and its steps are
rows.  Each is answered once, `done` or `cannot` (and why), with the time, by the requester or by
the desk for her.  Inside a session the device shows steps by itself; these are for when there is
none, in the portal and over the API.  The last answer is said in the thread as a reply of hers, so
that whoever waits is told as by any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import RowMapping, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.desk.moves import add_message
from farhand_server.desk.tickets import Sight, Ticket
from farhand_server.desk.timeline import Message, add_event
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_instructions
from farhand_server.wording import check_line

__all__ = [
    "MAX_STEPS",
    "Answer",
    "InstructionStep",
    "answer_step",
    "instruct",
    "list_instructions",
]

MAX_STEPS: Final = 30
_MAX_SHOWN: Final = 500
_MAX_STEP_CHARS: Final = 200
Answer = Literal["done", "cannot"]


class InstructionStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step; `message` and `place` name it, `answer` is null until somebody gave one."""

    message: int
    place: int
    words: str
    answer: str | None
    reason: str
    answered_by: str | None
    answered_at: str | None


def _step(row: RowMapping) -> InstructionStep:
    return InstructionStep(**{name: row[name] for name in InstructionStep.__struct_fields__})


async def instruct(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    steps: Sequence[str],
    actor: str,
    language: str = "",
) -> Message:
    """Ask the requester to take steps; returns the message that says so.

    Raises:
        FarhandError: `invalid`, `ticket-state`.
    """
    if not 1 <= len(steps) <= MAX_STEPS:
        raise UsageError("invalid", f"there are 1 to {MAX_STEPS} steps")
    words = [check_line(one, "step", max_chars=_MAX_STEP_CHARS) for one in steps]
    body = "\n".join(f"{place}. {text}" for place, text in enumerate(words, start=1))
    message = await add_message(
        c,
        relay,
        ref=ticket.id,
        kind="instruction",
        body=body,
        actor=actor,
        language=language or ticket.language,
    )
    rows = [
        {
            "tenant": relay.tenant,
            "message": message.seq,
            "place": place,
            "ticket": ticket.row,
            "words": text,
            "reason": "",
        }
        for place, text in enumerate(words, start=1)
    ]
    await c.execute(insert(ticket_instructions), rows)
    return message


async def list_instructions(
    c: AsyncConnection, tenant: str, numbers: Sequence[int]
) -> list[InstructionStep]:
    """Return the steps of a ticket, and of those merged into it, the newest instruction last."""
    table = ticket_instructions.c
    query = (
        select(ticket_instructions)
        .where(table.tenant == tenant, table.ticket.in_(numbers))
        .order_by(table.message.desc(), table.place.desc())
        .limit(_MAX_SHOWN)
    )
    return [_step(row) for row in (await c.execute(query)).mappings()][::-1]


async def answer_step(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    message: int,
    place: int,
    answer: Answer,
    reason: str,
    actor: str,
    sight: Sight,
) -> InstructionStep:
    """Say that a step was taken, or why it cannot be.

    The answer to the last open step of an instruction, and each `cannot`, is said in the thread.

    Raises:
        FarhandError: `not-found`; `step-answered`; `invalid`, `ticket-state`.
    """
    table = ticket_instructions.c
    of_message = and_(
        table.tenant == relay.tenant, table.ticket == ticket.row, table.message == message
    )
    query = select(ticket_instructions).where(of_message).order_by(table.place).with_for_update()
    rows = (await c.execute(query)).mappings().all()
    row = next((one for one in rows if one["place"] == place), None)
    if row is None:
        raise not_found("step", f"{message}/{place}")
    if row["answer"] is not None:
        raise FarhandError("step-answered", f"step {place} was answered with {row['answer']}")
    why = check_line(reason, "reason") if reason.strip() else ""
    if answer == "cannot" and not why:
        raise UsageError("invalid", "say why it cannot be done")
    values: dict[str, Any] = {
        "answer": answer,
        "reason": why,
        "answered_by": actor,
        "answered_at": relay.stamp(),
    }
    await c.execute(
        update(ticket_instructions).where(of_message, table.place == place).values(values)
    )
    detail = {"message": message, "place": place, "answer": answer}
    at = relay.stamp()
    await add_event(c, relay.tenant, ticket.row, "step-answered", actor, detail, at)
    left = [one for one in rows if one["answer"] is None and one["place"] != place]
    if answer == "cannot" or not left:
        words = f"Step {place}, {row['words']}: {answer}." + (f" {why}" if why else "")
        kind: Literal["reply", "note"] = "note" if sight.desk else "reply"
        await add_message(c, relay, ref=ticket.id, kind=kind, body=words, actor=actor, sight=sight)
    return _step({**row, **values})  # type: ignore[arg-type]
