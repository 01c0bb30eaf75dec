"""Reports by mail: on the first day of a month, in the organisation's zone, once.

Every node looks; the row of a month that was sent is written with the mail, so it goes once.  A
relay that slept sends what it missed, month by month, when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from sqlalchemy import and_, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.contracts.documents import Document, as_csv, as_html, as_text
from farhand_server.contracts.formats import format_month
from farhand_server.contracts.months import month_before, month_bounds, month_of
from farhand_server.mail.loops import may_write_automatically
from farhand_server.mail.outgoing import Letter, LetterFile, queue_letter
from farhand_server.measures.report_document import report_document
from farhand_server.measures.report_words import words_of
from farhand_server.measures.reports import month_report
from farhand_server.people.blobs import keep_blob
from farhand_server.people.organisations import check_locale, get_organisation
from farhand_server.people.people import normalise_address
from farhand_server.relay import Relay
from farhand_server.store.schema import organisations, report_mails, report_readers

__all__ = [
    "EVERY_S",
    "MAX_READERS",
    "Readers",
    "get_readers",
    "set_readers",
    "start_mailing",
    "sweep_reports",
]

_log = logging.getLogger(__name__)

EVERY_S: Final = 600.0
MAX_READERS: Final = 50
# Missed months that are sent after the fact.
_MOST_MISSED: Final = 3
_PATIENCE: Final = timedelta(days=3)


class Readers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is sent the report of an organisation; nobody is with no addresses."""

    addresses: list[Annotated[str, msgspec.Meta(max_length=254)]] = []
    language: str = ""


async def get_readers(c: AsyncConnection, relay: Relay, organisation: str) -> Readers:
    """Return who is sent the report of an organisation (id or name).

    Raises:
        FarhandError: `not-found`.
    """
    found = await get_organisation(c, relay.tenant, organisation)
    query = select(report_readers).where(
        report_readers.c.tenant == relay.tenant, report_readers.c.organisation == found.id
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        return Readers()
    addresses = msgspec.json.decode(row["addresses"], type=list[str])
    return Readers(addresses=addresses, language=row["language"])


async def set_readers(
    c: AsyncConnection, relay: Relay, *, organisation: str, readers: Readers, actor: str
) -> Readers:
    """Set who is sent the report of an organisation, from the month that goes on now.

    Raises:
        FarhandError: `not-found`, `invalid`.
    """
    found = await get_organisation(c, relay.tenant, organisation)
    if len(readers.addresses) > MAX_READERS:
        raise UsageError("invalid", f"a report has at most {MAX_READERS} readers")
    addresses = [normalise_address("mail", one) for one in readers.addresses]
    language = check_locale(readers.language or found.locale)
    await relay.audit.append(
        c, actor=actor, action="report.readers", subject=found.name,
        detail={"addresses": len(addresses)},
    )  # fmt: skip
    mine = and_(report_readers.c.tenant == relay.tenant, report_readers.c.organisation == found.id)
    since = await c.scalar(select(report_readers.c.since).where(mine))
    await c.execute(delete(report_readers).where(mine))
    if addresses:
        await c.execute(
            insert(report_readers).values(
                tenant=relay.tenant,
                organisation=found.id,
                addresses=msgspec.json.encode(addresses).decode(),
                language=language,
                since=since or month_of(relay.now(), found.zone),
            )
        )
    return Readers(addresses=addresses, language=language)


async def sweep_reports(relay: Relay) -> int:
    """Send the reports of months that are over; returns how many.

    Raises:
        FarhandError: the store's; what was not sent is sent by a later sweep.
    """
    joined = report_readers.join(
        organisations,
        and_(
            organisations.c.tenant == report_readers.c.tenant,
            organisations.c.id == report_readers.c.organisation,
        ),
    )
    sent = (
        select(func.max(report_mails.c.month))
        .where(
            report_mails.c.tenant == report_readers.c.tenant,
            report_mails.c.organisation == report_readers.c.organisation,
        )
        .correlate(report_readers)
        .scalar_subquery()
    )
    query = (
        select(
            report_readers.c.organisation, report_readers.c.since, organisations.c.zone,
            sent.label("sent"),
        )
        .select_from(joined)
        .where(report_readers.c.tenant == relay.tenant)
        .order_by(report_readers.c.organisation)
    )  # fmt: skip
    async with relay.db.read() as c:
        rows = (await c.execute(query)).all()
    done = 0
    for row in rows:
        for month in _due(row.since, row.sent, month_of(relay.now(), row.zone)):
            try:
                async with relay.db.write() as c:
                    done += await _send(c, relay, row.organisation, month)
            except FarhandError as error:
                # One organisation's trouble is not to keep the others from theirs.
                _log.warning("report %s of %s not sent: %s", month, row.organisation, error)
    return done


def _due(since: str, sent: str | None, now: str) -> list[str]:
    """Return the months to send, oldest first: those over since `since` and not sent yet."""
    months: list[str] = []
    month = month_before(now)
    while month >= since and (sent is None or month > sent) and len(months) < _MOST_MISSED:
        months.append(month)
        month = month_before(month)
    return months[::-1]


async def _must_wait(c: AsyncConnection, relay: Relay, readers: Readers, end: datetime) -> bool:
    """Tell whether somebody had as many automatic mails this hour as she may; for so long only."""
    if relay.now() - end > _PATIENCE:
        return False
    for address in readers.addresses:
        if not await may_write_automatically(c, relay, address):
            return True
    return False


async def _send(c: AsyncConnection, relay: Relay, organisation: str, month: str) -> int:
    readers = await get_readers(c, relay, organisation)
    whose = await get_organisation(c, relay.tenant, organisation)
    if await _must_wait(c, relay, readers, month_bounds(month, whose.zone)[1]):
        return 0
    values = {"tenant": relay.tenant, "organisation": organisation, "month": month}
    make = postgresql.insert if relay.db.dialect == "postgresql" else sqlite.insert
    taken = await c.execute(
        make(report_mails).values(**values, at=relay.stamp()).on_conflict_do_nothing()
    )
    if taken.rowcount != 1:
        return 0  # another node was faster
    report = await month_report(c, relay, month=month, organisation=organisation)
    document = report_document(report, "month", readers.language)
    await queue_letter(
        c,
        relay,
        Letter(
            to=readers.addresses,
            subject=f"{document.title}: {report.title}",
            text=_text(document, words_of(readers.language), month),
            files=[
                await _file(c, relay, f"{month}.{form}", document, write)
                for form, write in (("html", as_html), ("csv", as_csv))
            ],
            auto=True,
            language=readers.language,
        ),
        key=f"report:{organisation}:{month}",
    )
    return 1


async def _file(
    c: AsyncConnection,
    relay: Relay,
    name: str,
    document: Document,
    write: Callable[[Document], str],
) -> LetterFile:
    content = (await asyncio.to_thread(write, document)).encode()
    sha256 = await keep_blob(c, relay, content, f"text/{name.rpartition('.')[2]}")
    return LetterFile(name=name, sha256=sha256, size=len(content))


def _text(document: Document, words: dict[str, str], month: str) -> str:
    """Return what the mail says itself: the first two tables, as they are written."""
    said = words["attached"].format(month=format_month(month, document.language))
    first = as_text(document._replace(sections=document.sections[:2]))
    # A mark of code would end the block in which nothing of a name is taken for Markdown.
    return f"{said}\n\n```\n{first.replace('`', chr(39))}```\n"


async def _mail_for_ever(relay: Relay) -> None:
    while True:
        try:
            await sweep_reports(relay)
        except FarhandError as error:
            _log.warning("reports were not sent: %s", error)
        await asyncio.sleep(EVERY_S)


async def start_mailing(relay: Relay) -> None:
    """Begin to send reports; ends with the relay's tasks."""
    relay.tasks.spawn(_mail_for_ever(relay), name="reports")
