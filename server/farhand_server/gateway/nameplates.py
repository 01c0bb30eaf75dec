"""Nameplates in the database: drawn, claimed once, burned, forgotten after a day.

    open      a device shows it         claimed   a console has it (first claim wins, by one UPDATE)
    burned    a guess was wrong         expired   nobody claimed it in time, or the device went

A row stays for a day, so that a nameplate is not drawn again while people may remember it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Executable, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.codes import CODE_RANDOM_BYTES, nameplate_from_random
from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import nameplates, sessions

__all__ = ["burn", "claim", "draw", "expire", "forget", "why_not"]

_DRAWS = 16
# One in ten values of a length in use within a day makes the next length the usual one.
_CROWDED = {4: 900, 5: 9_000}


async def draw(
    c: AsyncConnection,
    relay: Relay,
    *,
    device: str,
    guest: bool,
    session: str,
    valid_s: int,
    random: Callable[[int], bytes],
) -> str:
    """Draw a nameplate that was not shown within a day, and keep it for `session`.

    Raises:
        FarhandError: `nameplates-full` when no free one was drawn.
    """
    now = relay.now()
    day_ago = stamp(now - timedelta(days=1))
    in_use = await c.scalar(
        select(func.count())
        .select_from(nameplates)
        .where(nameplates.c.tenant == relay.tenant, nameplates.c.created_at > day_ago)
    )
    digits = next((n for n, most in _CROWDED.items() if (in_use or 0) < most), 6)
    for _ in range(_DRAWS):
        nameplate = nameplate_from_random(random(CODE_RANDOM_BYTES), digits)
        values = {
            "tenant": relay.tenant,
            "nameplate": nameplate,
            "device": device,
            "guest": guest,
            "state": "open",
            "session": session,
            "created_at": stamp(now),
            "expires_at": stamp(now + timedelta(seconds=valid_s)),
        }
        # The same words in both dialects; each has its own class for them.
        statement: Executable = (
            postgresql_insert(nameplates).values(**values).on_conflict_do_nothing()
            if relay.db.dialect == "postgresql"
            else sqlite_insert(nameplates).values(**values).on_conflict_do_nothing()
        )
        if (await c.execute(statement)).rowcount == 1:
            return nameplate
    raise FarhandError("nameplates-full", "no free code can be made just now; try again")


async def claim(c: AsyncConnection, relay: Relay, nameplate: str) -> tuple[str, str, bool] | None:
    """Claim an open nameplate: (session, device, guest), or None; only one claim ever succeeds."""
    is_it = and_(nameplates.c.tenant == relay.tenant, nameplates.c.nameplate == nameplate)
    done = await c.execute(
        update(nameplates)
        .where(is_it, nameplates.c.state == "open", nameplates.c.expires_at > relay.stamp())
        .values(state="claimed")
    )
    if done.rowcount != 1:
        return None
    row = (
        await c.execute(
            select(nameplates.c.session, nameplates.c.device, nameplates.c.guest).where(is_it)
        )
    ).one()
    return row.session, row.device, bool(row.guest)


async def why_not(c: AsyncConnection, relay: Relay, nameplate: str, operator: str) -> FarhandError:
    """Return why a nameplate could not be claimed by this operator.

    `code-unknown`, `code-claimed`, `code-burned` after a wrong guess or any other use, and
    `code-expired` for one that nobody used in time.
    """
    found = (
        await c.execute(
            select(nameplates.c.state, nameplates.c.session).where(
                nameplates.c.tenant == relay.tenant, nameplates.c.nameplate == nameplate
            )
        )
    ).first()
    hint = "ask the person at the device for a new code"
    if found is None:
        return FarhandError("code-unknown", "no device shows this code", hint=hint)
    # A session's row is written with the claim; a code that nobody claimed has none.
    by = await c.scalar(
        select(sessions.c.operator).where(
            sessions.c.tenant == relay.tenant, sessions.c.id == found.session
        )
    )
    if found.state == "claimed" and by == operator:
        return FarhandError("code-claimed", "you have used this code already", hint=hint)
    if found.state == "claimed":
        return FarhandError("code-claimed", "somebody else has used this code", hint=hint)
    if by is not None:
        return FarhandError("code-burned", "this code was used already", hint=hint)
    return FarhandError("code-expired", "this code is no longer valid", hint=hint)


async def burn(c: AsyncConnection, relay: Relay, session: str) -> bool:
    """Mark a session's nameplate as used up by a wrong guess; False when it already was."""
    done = await c.execute(
        update(nameplates)
        .where(
            nameplates.c.tenant == relay.tenant,
            nameplates.c.session == session,
            nameplates.c.state.in_(("open", "claimed")),
        )
        .values(state="burned")
    )
    return done.rowcount == 1


async def expire(c: AsyncConnection, relay: Relay, session: str) -> None:
    """Mark a nameplate that nobody claimed as gone."""
    await c.execute(
        update(nameplates)
        .where(
            nameplates.c.tenant == relay.tenant,
            nameplates.c.session == session,
            nameplates.c.state == "open",
        )
        .values(state="expired")
    )


async def forget(c: AsyncConnection, relay: Relay, *, rest_s: int) -> None:
    """Delete nameplates whose rest is over."""
    before = stamp(relay.now() - timedelta(seconds=rest_s))
    await c.execute(
        delete(nameplates).where(
            nameplates.c.tenant == relay.tenant, nameplates.c.created_at < before
        )
    )
