"""Reads the mailboxes that have an IMAP server, again and again, one node each at a time.

    claim     the mailbox's next time moves on, which only one node manages
    look      in a thread: what came since the UID that was kept last
    keep      each mail is committed before it is marked or moved
    settle    only then is it marked or moved, and its UID counts as read from the next commit on; a
              kill before that costs a second look at it, which finds it kept

A folder that was never read, or has another UIDVALIDITY, is an archive up to its last UID: of that
only what nobody has seen is taken, at whatever look.  A mail whose UID brings the connection down
time and again is passed over after `MAX_STUCK` tries and said so, so that it keeps nobody behind it
waiting.  Where mails cannot be marked or moved that often, they are kept and left as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Final

from prometheus_client import Counter
from sqlalchemy import and_, select, update

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.mail.imap import MAX_AT_ONCE, Folder, Found
from farhand_server.mail.intake import make_intake
from farhand_server.mail.keeping import (
    MAX_TAKEN_BYTES,
    Arrival,
    Marks,
    keep_mail,
    keep_refused,
    marks_of,
    note_archive,
    note_place,
)
from farhand_server.mail.mailboxes import Server, imap_name, server_of
from farhand_server.mail.opening import open_folder
from farhand_server.metrics import make_metrics
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mail_servers, mailboxes

__all__ = ["MAX_STUCK", "POLL_S", "Poller", "make_poller"]

_log = logging.getLogger(__name__)

POLL_S: Final = 30.0
MAX_STUCK: Final = 5
_LOOK_S: Final = 5.0
# A node that claims a mailbox and dies leaves it alone for so long.
_LEASE_S: Final = 300.0
_MAX_BACKOFF_S: Final = 900.0


def make_poller(relay: Relay) -> Poller:
    """Return the relay's poller."""
    return Poller(relay)


class Poller:
    """What is being read on this node, and what it counts."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._open: set[Folder] = set()
        self._changed = asyncio.Event()
        # Which UID of a mailbox failed last, and how often; lost with the process, which is fine.
        self._stuck: dict[str, tuple[int, int]] = {}
        # How many looks into a mailbox ended since a mail of it could be marked or moved.
        self._unsettled: dict[str, int] = {}
        self._polls = Counter(
            "farhand_mail_polls",
            "Looks into mailboxes over IMAP.",
            ["outcome"],
            registry=relay.service(make_metrics).registry,
        )

    async def run(self) -> None:
        """Poll for ever; runs until cancelled."""
        try:
            await self._free()
        except FarhandError as error:
            _log.warning("mailboxes were not freed: %s", error)
        while True:
            try:
                await self.poll_due()
            except FarhandError as error:
                _log.warning("mailboxes were not read: %s", error)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK_S)

    def wake(self) -> None:
        """Look now instead of within seconds: somebody changed a mailbox."""
        self._changed.set()

    async def _free(self) -> None:
        """Read at once what a killed relay was reading, where there is one node only."""
        relay = self._relay
        if relay.db.dialect != "sqlite":
            return
        async with relay.db.write() as c:
            await c.execute(
                update(mailboxes)
                .where(mailboxes.c.tenant == relay.tenant)
                .values(next_at=relay.stamp())
            )

    def abort(self) -> None:
        """Cut what is open, so that no thread waits on a server while the relay stops."""
        for folder in list(self._open):
            folder.abort()

    async def poll_due(self) -> int:
        """Read every mailbox that is due, one after the other; returns how many mails were kept.

        Raises:
            FarhandError: the store's.
        """
        kept = 0
        for name in await self._claim():
            kept += await self.poll(name)
        return kept

    async def _claim(self) -> list[str]:
        relay = self._relay
        is_due = and_(
            mailboxes.c.tenant == relay.tenant,
            mailboxes.c.active.is_(True),
            mailboxes.c.next_at <= relay.stamp(),
            mail_servers.c.tenant == relay.tenant,
            mail_servers.c.name == "imap:" + mailboxes.c.name,
        )
        async with relay.db.read() as c:
            query = select(mailboxes.c.name, mailboxes.c.next_at).where(is_due)
            due = (await c.execute(query.order_by(mailboxes.c.next_at))).all()
        if not due:
            return []
        claimed = []
        until = stamp(relay.now() + timedelta(seconds=_LEASE_S))
        async with relay.db.write() as c:
            for row in due:
                done = await c.execute(
                    update(mailboxes)
                    .where(
                        mailboxes.c.tenant == relay.tenant,
                        mailboxes.c.name == row.name,
                        mailboxes.c.next_at == row.next_at,
                    )
                    .values(next_at=until)
                )
                if done.rowcount == 1:
                    claimed.append(row.name)
        return claimed

    async def poll(self, name: str) -> int:
        """Read one mailbox and note how it went; returns how many mails were kept.

        Raises:
            FarhandError: the store's.
        """
        kept, failure = 0, ""
        try:
            async with self._relay.db.read() as c:
                found = await server_of(c, self._relay, imap_name(name))
            if found is not None:
                kept = await self._read(name, *found)
        except FarhandError as error:
            if error.code.startswith("store-"):
                raise
            failure = error.message
            _log.warning("mailbox %s: %s", name, failure)
        self._polls.labels("failed" if failure else "ok").inc()
        await self._note(name, failure)
        return kept

    async def _note(self, name: str, failure: str) -> None:
        relay = self._relay
        mine = and_(mailboxes.c.tenant == relay.tenant, mailboxes.c.name == name)
        async with relay.db.write() as c:
            failures = int(await c.scalar(select(mailboxes.c.failures).where(mine)) or 0)
            failures = failures + 1 if failure else 0
            wait_s = min(_MAX_BACKOFF_S, POLL_S * 2.0 ** min(failures, 10))
            await c.execute(
                update(mailboxes)
                .where(mine)
                .values(
                    polled_at=relay.stamp(),
                    poll_error=failure[:300],
                    failures=failures,
                    next_at=stamp(relay.now() + timedelta(seconds=wait_s)),
                )
            )

    async def _read(self, name: str, server: Server, password: str) -> int:
        folder = await open_folder(self._relay, server, password)
        self._open.add(folder)
        try:
            return await self._take(name, folder)
        finally:
            self._open.discard(folder)
            # A cancelled wait leaves its thread behind, which ends when its connection does.
            folder.abort()

    async def _take(self, name: str, folder: Folder) -> int:
        relay = self._relay
        async with relay.db.read() as c:
            query = select(
                mailboxes.c.uid, mailboxes.c.uid_validity, mailboxes.c.archive_uid
            ).where(mailboxes.c.tenant == relay.tenant, mailboxes.c.name == name)
            row = (await c.execute(query)).one()
        after, archive = row.uid, row.archive_uid
        if row.uid_validity != folder.uid_validity:
            after, archive = 0, folder.last_uid
            async with relay.db.write() as c:
                await note_archive(c, relay, name, folder.uid_validity, archive)
        kept, done, failure = 0, after, None
        uids = await asyncio.to_thread(folder.unread, after=after, archive=archive)
        for uid in uids:
            here = Arrival(name, "imap", uid=uid, uid_validity=folder.uid_validity)
            if self._stuck.get(name) == (uid, MAX_STUCK):
                await self._pass_over(here)
            elif (found := await self._fetch(folder, here)) is not None:
                if found.size > MAX_TAKEN_BYTES:
                    await self._refuse(found, here)
                else:
                    # Until it is marked, only what was marked before counts as read.
                    kept += await self._keep(found, here._replace(uid=done))
                    failure = await self._settle(folder, here) or failure
            done = uid
        if len(uids) < MAX_AT_ONCE:
            # All of the archive was judged: what somebody marks as unread later stays there.
            done = max(done, archive)
        if done != after:
            async with relay.db.write() as c:
                await note_place(c, relay, Arrival(name, "imap", "", done, folder.uid_validity))
        await asyncio.to_thread(folder.close)
        if failure is not None:
            raise failure
        return kept

    async def _settle(self, folder: Folder, here: Arrival) -> FarhandError | None:
        """Mark or move a kept mail; returns why not where that was tried often enough."""
        try:
            await asyncio.to_thread(folder.settle, here.uid or 0)
        except FarhandError as error:
            if self._unsettled.get(here.mailbox, 0) + 1 < MAX_STUCK:
                self._unsettled[here.mailbox] = self._unsettled.get(here.mailbox, 0) + 1
                raise
            return error
        self._unsettled.pop(here.mailbox, None)
        return None

    async def _fetch(self, folder: Folder, here: Arrival) -> Found | None:
        uid = here.uid or 0
        try:
            return await asyncio.to_thread(folder.fetch, uid, limit=MAX_TAKEN_BYTES)
        except FarhandError:
            before = self._stuck.get(here.mailbox, (0, 0))
            self._stuck[here.mailbox] = (uid, before[1] + 1 if before[0] == uid else 1)
            raise

    async def _keep(self, found: Found, arrival: Arrival) -> int:
        """Commit a mail; returns 1 where it was not kept before."""
        relay = self._relay
        marks = await asyncio.to_thread(marks_of, found.content)
        async with relay.db.write() as c:
            made = await keep_mail(c, relay, raw=found.content, marks=marks, arrival=arrival)
        if made is None:
            return 0
        relay.service(make_intake).wake()
        return 1

    async def _refuse(self, found: Found, arrival: Arrival) -> None:
        """List a mail that is too large, with its beginning; it stays as it is, unread."""
        words = f"it has {found.size} bytes, and {MAX_TAKEN_BYTES} are taken"
        reason = f"{words}; it is still in the mailbox"
        marks = await asyncio.to_thread(marks_of, found.content)
        async with self._relay.db.write() as c:
            await keep_refused(
                c, self._relay, marks=marks, head=found.content, reason=reason, arrival=arrival
            )

    async def _pass_over(self, arrival: Arrival) -> None:
        """Go past a mail that cannot be fetched, and list it."""
        reason = "the IMAP server failed each time it was asked for it; it is still in the mailbox"
        marks = Marks("", f"uid:{arrival.uid_validity}:{arrival.uid}", "")
        async with self._relay.db.write() as c:
            await keep_refused(
                c, self._relay, marks=marks, head=b"", reason=reason, arrival=arrival
            )
