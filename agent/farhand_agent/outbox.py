"""Delivers the journal's outbox over a link: in order, a few at a time, until acknowledged.

A report stays in the journal until the relay has acknowledged it, so a lost link, a killed agent
or a relay that forgot costs a repetition and nothing else.  The reports of a session whose process
still lives are that process's to send, on its own link.  A report that the relay could not read is
never sent: it is set aside, and those behind it go on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from farhand_agent.config import Home
from farhand_agent.journal import Journal
from farhand_agent.journal_tables import OutboxRow, report_message
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import Link
from farhand_agent.locks import is_held
from farhand_agent.notices import say
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.messages import Ack, Nack

__all__ = ["Outbox"]

WINDOW: Final = 4
_PAUSE_S: Final = 30.0


class Outbox:
    """Sends what the journal holds.

    Args:
        home: of the device.
        journal: its journal.
        changed: set by whoever posted something.
    """

    def __init__(self, home: Home, journal: JournalThread, changed: asyncio.Event) -> None:
        self._home = home
        self._journal = journal
        self._changed = changed

    async def deliver(self, link: Link) -> None:
        """Send reports over this link for as long as it lasts; runs until cancelled.

        Raises:
            LinkLost, RemoteError: the link must be closed.
            FarhandError: `journal-failed`.
        """
        while True:
            self._changed.clear()
            while await self._deliver_some(link):
                pass
            try:
                async with asyncio.timeout(_PAUSE_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _deliver_some(self, link: Link) -> bool:
        """Send one window of reports; False when there is nothing to send now."""
        rows = await self._journal.do(lambda j: j.outbox(limit=64))
        ready = [row for row in rows if self._is_ours(row)][:WINDOW]
        if not ready:
            return False
        # Sent in order, because tasks start in order; the answers are awaited together.
        async with asyncio.TaskGroup() as group:
            for row in ready:
                group.create_task(self._deliver_one(link, row))
        return True

    def _is_ours(self, row: OutboxRow) -> bool:
        return row.kind != "session" or not is_held(self._home.session_lock(row.subject))

    async def _deliver_one(self, link: Link, row: OutboxRow) -> None:
        try:
            report_message(row)
        except FarhandError as error:
            say(f"{error}: {error.detail}")
            act = partial(Journal.set_aside, seq=row.seq)
        else:
            answer = await link.request(partial(report_message, row))
            if not isinstance(answer, Ack | Nack):
                raise RemoteError("message-malformed", "the relay's answer fits no report")
            refused = answer.code[:100] if isinstance(answer, Nack) else None
            ref = answer.ref if isinstance(answer, Ack) else ""
            act = partial(Journal.acknowledge, seq=row.seq, refused=refused, ref=ref)
        try:
            await self._journal.do(act)
        except FarhandError as error:
            if error.code != "journal-full":
                raise
            # It will be sent again, which is harmless.
            await asyncio.sleep(_PAUSE_S)
