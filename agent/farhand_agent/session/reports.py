"""What the relay is told of a session: from the journal's outbox, and refusals that are in none.

What cannot be delivered now stays in the journal; the resident agent, or the session's next
process, sends it later.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import msgspec

from farhand_agent.journal import Journal
from farhand_agent.journal_tables import report_message
from farhand_agent.journal_thread import JournalThread
from farhand_agent.session.control import Control
from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import Ack, DeviceMessage, Nack, SessionReport

__all__ = ["REPORT_S", "deliver_reports", "report_refused"]

_log = logging.getLogger(__name__)

REPORT_S: Final = 10.0


async def deliver_reports(control: Control, journal: JournalThread, session: str) -> None:
    """Send what the journal holds of one session."""
    rows = await journal.do(lambda one: one.outbox(limit=1000))
    for row in rows:
        if row.kind != "session" or row.subject != session:
            continue
        try:
            report_message(row)
        except FarhandError as error:
            _log.error("a report is set aside: %s (%s)", error, error.detail)
            await journal.do(partial(Journal.set_aside, seq=row.seq))
            continue
        try:
            answer = await control.request(partial(report_message, row), timeout_s=REPORT_S)
        except FarhandError as error:
            _log.info("a report waits in the journal: %s", error)
            return
        if isinstance(answer, Ack | Nack):
            refused = answer.code[:100] if isinstance(answer, Nack) else None
            await journal.do(partial(_acknowledge, row.seq, refused))


async def report_refused(control: Control, session: str, code: str) -> None:
    """Tell that a session was refused; it was never journalled, so this is tried once."""
    report = SessionReport(seq=0, session=session, state="refused", reason=code)
    try:
        await control.request(partial(_numbered, report), timeout_s=REPORT_S)
    except FarhandError as error:
        _log.info("the refusal could not be reported: %s", error)


def _numbered(report: SessionReport, seq: int) -> DeviceMessage:
    """Return the report with the link's next number."""
    return msgspec.structs.replace(report, seq=seq)


def _acknowledge(seq: int, refused: str | None, journal: Journal) -> None:
    journal.acknowledge(seq, refused=refused)
