"""Understands the mails that were kept, one after the other, each on its ticket exactly once.

    claim    a kept mail is leased to one node, and counted, before anybody reads it
    parse    in a thread; nothing in a mail makes it raise, and nothing makes it long
    place    one transaction puts it on its ticket and marks it done (`mail.placing`); one at a
             time, and none before an earlier one that it answers

Killed before the commit, nothing has happened but the count, and the lease runs out: on SQLite,
where there is one node, at the next start.  A mail that fails `MAX_TRIES` times, or takes the relay
with it that often, is put in quarantine, where a person looks at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Final

from prometheus_client import Counter
from sqlalchemy import RowMapping, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.desk.tickets import lock_numbers
from farhand_server.mail.parsed import ParsedMail
from farhand_server.mail.parsing import parse
from farhand_server.mail.placing import place
from farhand_server.mail.threading import asked_ids
from farhand_server.metrics import make_metrics
from farhand_server.people.blobs import read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mails

__all__ = ["MAX_TRIES", "SWEEP_S", "MailIntake", "make_intake"]

_log = logging.getLogger(__name__)

MAX_TRIES: Final = 5
SWEEP_S: Final = 30.0
_LEASE_S: Final = 300.0
_RETRY_S: Final = 5.0


def make_intake(relay: Relay) -> MailIntake:
    """Return the relay's intake."""
    return MailIntake(relay)


class MailIntake:
    """The loop, and what it counts."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._came = asyncio.Event()
        self._counted = Counter(
            "farhand_mails",
            "Mails that were understood, by what became of them.",
            ["outcome"],
            registry=relay.service(make_metrics).registry,
        )

    def wake(self) -> None:
        """Look now instead of at the next sweep."""
        self._came.set()

    async def run(self) -> None:
        """Understand what comes, for ever; runs until cancelled."""
        try:
            await self._free()
        except FarhandError as error:
            _log.warning("leases of mails were not freed: %s", error)
        while True:
            self._came.clear()
            try:
                await self.work_off()
            except FarhandError as error:
                _log.warning("mails were not understood: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), SWEEP_S)

    async def _free(self) -> None:
        """Free at once what a killed relay was at, where there is one node only."""
        relay = self._relay
        if relay.db.dialect != "sqlite":
            return
        async with relay.db.write() as c:
            await c.execute(
                update(mails)
                .where(mails.c.tenant == relay.tenant, mails.c.state == "kept")
                .values(lease_until="")
            )

    async def work_off(self) -> int:
        """Understand everything that is due, and return how many mails that was.

        Raises:
            FarhandError: the store's.
        """
        count = 0
        while await self.understand_next():
            count += 1
        return count

    async def understand_next(self) -> bool:
        """Understand the oldest mail that is due; False where there is none.

        Raises:
            FarhandError: the store's.
        """
        row = await self._claim()
        if row is None:
            return False
        await self._understand(row)
        return True

    async def _claim(self) -> RowMapping | None:
        relay = self._relay
        query = (
            select(mails)
            .where(
                mails.c.tenant == relay.tenant,
                mails.c.state == "kept",
                mails.c.lease_until < relay.stamp(),
            )
            .order_by(mails.c.id)
            .limit(1)
        )
        async with relay.db.read() as c:
            # Looked at before, so that an idle relay does not write.
            if (await c.execute(query)).first() is None:
                return None
        async with relay.db.write() as c:
            row = (await c.execute(query.with_for_update(skip_locked=True))).mappings().first()
            if row is None:
                return None
            until = stamp(relay.now() + timedelta(seconds=_LEASE_S))
            await c.execute(
                update(mails)
                .where(mails.c.tenant == relay.tenant, mails.c.id == row["id"])
                .values(tries=row["tries"] + 1, lease_until=until)
            )
        return row

    async def _understand(self, row: RowMapping) -> None:
        relay = self._relay
        if row["tries"] >= MAX_TRIES:
            reason = row["reason"] or "the relay died each time it read this mail"
            await self._settle(row["id"], "quarantined", reason)
            return
        try:
            async with relay.db.read() as c:
                raw = (await read_blob(c, relay.tenant, row["raw"])).content
            envelope = None if row["source"] == "imap" else row["envelope_from"]
            parsed = await asyncio.to_thread(parse, raw, envelope)
            if parsed.quarantine:
                await self._settle(row["id"], "quarantined", parsed.quarantine[:300])
                return
            await self._place(row, parsed)
        except FarhandError as error:
            if error.code.startswith("store-"):
                await self._again(row["id"], reason="", tries=row["tries"])
                raise
            _log.warning("mail %s was not placed: %s", row["id"], error)
            await self._again(row["id"], reason=str(error), tries=row["tries"] + 1)
        except Exception as error:
            # Whatever is wrong with one mail, those behind it are not to wait.
            _log.exception("mail %s was not understood", row["id"])
            await self._again(row["id"], reason=repr(error), tries=row["tries"] + 1)

    async def _place(self, row: RowMapping, parsed: ParsedMail) -> None:
        relay = self._relay
        mine = and_(mails.c.tenant == relay.tenant, mails.c.id == row["id"])
        async with relay.db.write() as c:
            # One at a time in all nodes: what is looked up, mails that are being placed decide.
            await lock_numbers(c, relay.tenant)
            held = (await c.execute(select(mails).where(mine).with_for_update())).mappings().one()
            if held["state"] != "kept" or held["tries"] != row["tries"] + 1:
                return  # its lease ran out, and another node has it
            if await self._waits(c, row, parsed):
                await self._put_off(c, row["id"], reason="", tries=row["tries"])
                return
            placed = await place(c, relay, held, parsed)
            await c.execute(
                update(mails)
                .where(mine)
                .values(
                    **placed.values(),
                    state="quarantined" if placed.quarantine else "done",
                    done_at=relay.stamp(),
                )
            )
        self._counted.labels(placed.reason if not placed.quarantine else "quarantined").inc()

    async def _settle(self, mail: int, state: str, reason: str) -> None:
        relay = self._relay
        async with relay.db.write() as c:
            await c.execute(
                update(mails)
                .where(mails.c.tenant == relay.tenant, mails.c.id == mail)
                .values(state=state, reason=reason[:300], done_at=relay.stamp())
            )
        self._counted.labels(state).inc()

    async def _again(self, mail: int, *, reason: str, tries: int) -> None:
        """Let a mail be read again a little later."""
        async with self._relay.db.write() as c:
            await self._put_off(c, mail, reason=reason, tries=tries)

    async def _put_off(self, c: AsyncConnection, mail: int, *, reason: str, tries: int) -> None:
        relay = self._relay
        until = stamp(relay.now() + timedelta(seconds=_RETRY_S * 2 ** min(tries, 6)))
        await c.execute(
            update(mails)
            .where(mails.c.tenant == relay.tenant, mails.c.id == mail, mails.c.state == "kept")
            .values(tries=tries, lease_until=until, reason=reason[:300])
        )

    async def _waits(self, c: AsyncConnection, row: RowMapping, parsed: ParsedMail) -> bool:
        """Tell whether a mail answers an earlier one that another node has not placed yet."""
        query = select(mails.c.id).where(
            mails.c.tenant == self._relay.tenant,
            mails.c.direction == "in",
            mails.c.state == "kept",
            mails.c.id < row["id"],
            mails.c.rfc_id.in_(asked_ids(parsed)),
        )
        return await c.scalar(query.limit(1)) is not None
