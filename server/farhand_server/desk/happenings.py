"""What clocks heed of a ticket's events, and of those of the tickets that were merged into it.

Whoever asked on a merged ticket is still owed what was promised there.  So the story of that one
goes on where it was merged: it stands as the other stood at that moment, and what happens to the
other from then on happens to it as well.

    source  requested ...... merged
    target       requested .....|..... answered ... resolved
    heeded  requested ..........came-back .. answered ... resolved     (by the source's promise)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.instants import parse_instant
from farhand_server.actors import is_a_person
from farhand_server.desk.service_levels import Happening
from farhand_server.store.schema import ticket_events

__all__ = ["Told", "stories_of"]

_OPEN = "open "


class Told(NamedTuple):
    """One thing that clocks heed: `seq` of its event; `merged` where the ticket became another's.

    `standing` is the state after it, and for what the ticket waits then.
    """

    seq: int
    happening: Happening
    standing: str
    merged: bool = False


async def stories_of(
    c: AsyncConnection, tenant: str, number: int, merges: Mapping[int, int], *, now: datetime
) -> dict[int, list[Happening]]:
    """Return what clocks heed: of a ticket, and of each that was merged into it, as far as here.

    Args:
        c: any connection.
        tenant: organisation.
        number: of the ticket.
        merges: into which ticket each of those was merged (`absorbed.merges_into`).
        now: what was merged later is left out.
    """
    query = (
        select(ticket_events)
        .where(ticket_events.c.tenant == tenant, ticket_events.c.ticket.in_([number, *merges]))
        .order_by(ticket_events.c.seq)
    )
    events: dict[int, list[RowMapping]] = {}
    for row in (await c.execute(query)).mappings():
        events.setdefault(row["ticket"], []).append(row)
    told = {one: _heeded(rows) for one, rows in events.items()}
    return {
        one: [each.happening for each in _followed(told, merges, one)]
        for one in (number, *merges)
        if _was_merged(told, merges, one, into=number, now=now)
    }


def _merge_of(told: Mapping[int, list[Told]], number: int) -> Told | None:
    """Return where a ticket last became another's."""
    return next((one for one in reversed(told.get(number, [])) if one.merged), None)


def _was_merged(
    told: Mapping[int, list[Told]],
    merges: Mapping[int, int],
    number: int,
    *,
    into: int,
    now: datetime,
) -> bool:
    while number != into:
        merge = _merge_of(told, number)
        if merge is None or merge.happening.at > now:
            return False
        number = merges[number]
    return True


def _followed(told: Mapping[int, list[Told]], merges: Mapping[int, int], number: int) -> list[Told]:
    """Return what happened to a ticket, and then to what it was merged into."""
    its, merge = told.get(number, []), _merge_of(told, number)
    if number not in merges or merge is None:
        return its
    whole = _followed(told, merges, merges[number])
    standing = next((one.standing for one in reversed(whole) if one.seq < merge.seq), _OPEN)
    on = Happening(at=merge.happening.at, what="came-back", value=standing)
    before = [one for one in its if one.seq <= merge.seq]
    return [*before, Told(merge.seq, on, standing), *(one for one in whole if one.seq > merge.seq)]


def _heeded(rows: Sequence[RowMapping]) -> list[Told]:
    """Return what clocks heed of the events of one ticket."""
    told: list[Told] = []
    standing, waits = _OPEN, False
    for row in rows:
        at = parse_instant(row["at"])
        kind, detail = row["kind"], json.loads(row["detail"])
        found: list[Happening] = []
        if kind == "created":
            value = detail.get("priority", "normal")
            found.append(Happening(at=at, what="priority", value=value))
            found.append(Happening(at=at, what="requested"))
        elif kind == "reply" and is_a_person(row["actor"]):
            found.append(Happening(at=at, what="answered"))
        elif kind == "requester-reply":
            found.append(Happening(at=at, what="asked"))
            if waits:
                found.append(Happening(at=at, what="goes-on"))
                standing = _OPEN
        elif kind == "waiting":
            standing = f"waiting {detail['reason']}"
            found.append(Happening(at=at, what="waits", value=detail["reason"]))
        elif kind in ("resumed", "escalated"):
            standing = _OPEN
            found.append(Happening(at=at, what="goes-on"))
        elif kind == "reopened":
            standing = _OPEN
            found.append(Happening(at=at, what="came-back", value="open"))
            found.append(Happening(at=at, what="reopened"))
        elif kind == "unmerged":
            standing = f"{detail['state']} {detail['state_reason']}"
            found.append(Happening(at=at, what="came-back", value=standing))
        elif kind == "resolved":
            standing = "resolved "
            found.append(Happening(at=at, what="resolved"))
        elif kind in ("merged", "spam"):
            found.append(Happening(at=at, what="put-away"))
        elif kind == "changed" and "priority" in detail:
            found.append(Happening(at=at, what="priority", value=detail["priority"]["to"]))
        if kind in ("waiting", "requester-reply", "resumed", "escalated", "resolved"):
            waits = kind == "waiting"
        told += [Told(row["seq"], one, standing, kind == "merged") for one in found]
    return told
