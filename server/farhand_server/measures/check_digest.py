"""One digest of what scheduled checks found, for whoever looks after a fleet, by day or by week.

A breach becomes a ticket at once (`alerts`); the digest is for what only adds up: what came, what
went, what stays.  It is made of the alerts' rows alone.  Every node looks whether one is due; a key
of the outbox makes each go once.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, and_, case, distinct, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.clock import stamp
from farhand_server.mail.outgoing import queue_mail
from farhand_server.people.organisations import check_locale, check_zone
from farhand_server.people.people import normalise_address
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts

__all__ = [
    "MAX_DIGEST_DAYS",
    "CheckDigest",
    "CheckLine",
    "DigestTerms",
    "check_digest",
    "digest_terms",
    "last_due",
    "set_digest_terms",
    "start_digests",
    "sweep_digest",
]

_log = logging.getLogger(__name__)

MAX_DIGEST_DAYS: Final = 92
_MAX_ADDRESSES: Final = 20
_EVERY_S: Final = 600.0
_MAX_LINES: Final = 200
_TERMS: Final = "check-digest"
_SENT: Final = "check-digest.sent"
_LIVE: Final = ("open", "acknowledged")


class DigestTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is sent the digest and when: each day, or each Monday, at an hour of a zone."""

    addresses: list[Annotated[str, msgspec.Meta(max_length=254)]] = []
    every: Literal["day", "week"] = "week"
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 7
    zone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    language: str = "en"


class CheckLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found: alerts that came and went in the time, and those that stay."""

    check: str
    came: int
    went: int
    warning: int
    critical: int
    devices: int


class CheckDigest(msgspec.Struct, frozen=True, kw_only=True):
    """What all checks found from `since` to `until` (RFC 3339), what stays first."""

    since: str
    until: str
    lines: list[CheckLine]


async def check_digest(
    c: AsyncConnection, tenant: str, *, since: datetime, until: datetime
) -> CheckDigest:
    """Return what checks found in a time.

    Args:
        c: any connection.
        tenant: organisation.
        since: begin.
        until: end; what stays, stays now.
    """
    begin, end = stamp(since), stamp(until)
    came = and_(alerts.c.opened_at >= begin, alerts.c.opened_at < end)
    went = and_(
        alerts.c.state == "recovered", alerts.c.closed_at >= begin, alerts.c.closed_at < end
    )
    live = alerts.c.state.in_(_LIVE)

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    query = (
        select(
            alerts.c.check_id,
            count(came).label("came"),
            count(went).label("went"),
            count(and_(live, alerts.c.severity == "warning")).label("warning"),
            count(and_(live, alerts.c.severity == "critical")).label("critical"),
            func.count(distinct(case((live, alerts.c.device)))).label("devices"),
        )
        .where(alerts.c.tenant == tenant, alerts.c.severity != "unknown", or_(came, went, live))
        .group_by(alerts.c.check_id)
        .limit(_MAX_LINES)
    )
    lines = [
        CheckLine(
            check=row.check_id,
            came=int(row.came),
            went=int(row.went),
            warning=int(row.warning),
            critical=int(row.critical),
            devices=int(row.devices),
        )
        for row in await c.execute(query)
    ]
    lines.sort(key=lambda one: (-one.critical, -one.warning, -one.came, one.check))
    return CheckDigest(since=begin, until=end, lines=lines)


async def digest_terms(c: AsyncConnection, tenant: str) -> DigestTerms:
    """Return who is sent the digest, and when."""
    return await get_setting(c, tenant, _TERMS, DigestTerms, default=DigestTerms())


async def set_digest_terms(
    c: AsyncConnection, relay: Relay, *, terms: DigestTerms, actor: str
) -> DigestTerms:
    """Set who is sent the digest, from the next one on; nobody is with no addresses.

    Raises:
        FarhandError: `invalid`.
    """
    if len(terms.addresses) > _MAX_ADDRESSES:
        raise UsageError("invalid", f"a digest goes to at most {_MAX_ADDRESSES} addresses")
    checked = msgspec.structs.replace(
        terms,
        addresses=[normalise_address("mail", one) for one in terms.addresses],
        zone=check_zone(terms.zone),
        language=check_locale(terms.language),
    )
    await set_setting(c, relay, _TERMS, checked, actor)
    # What was before is not told.
    await set_setting(c, relay, _SENT, stamp(last_due(checked, relay.now())), actor)
    return checked


def last_due(terms: DigestTerms, now: datetime) -> datetime:
    """Return when a digest was due last; where clocks jump, at the same hour as people read it."""
    local = now.astimezone(ZoneInfo(terms.zone))
    today = local.replace(hour=terms.hour, minute=0, second=0, microsecond=0)
    days = today.weekday() if terms.every == "week" else 0
    if days == 0 and today > local:
        days = 7 if terms.every == "week" else 1
    return today - timedelta(days=days)


async def sweep_digest(relay: Relay) -> bool:
    """Send the digest if one is due; returns whether it was.

    Raises:
        FarhandError: the store's; what was not sent is sent by a later sweep.
    """
    async with relay.db.read() as c:
        terms = await digest_terms(c, relay.tenant)
        sent = await get_setting(c, relay.tenant, _SENT, str, default="")
    due = last_due(terms, relay.now())
    if not terms.addresses or sent >= stamp(due):
        return False
    since = due - timedelta(days=1 if terms.every == "day" else 7)
    async with relay.db.write() as c:
        found = await check_digest(c, relay.tenant, since=since, until=due)
        subject, text = _words(terms.language, found, relay.settings.org)
        for address in terms.addresses:
            await queue_mail(
                c, relay, to=[address], subject=subject, text=text, auto=True,
                language=terms.language, key=f"check-digest:{stamp(due)}:{address}",
            )  # fmt: skip
        await set_setting(c, relay, _SENT, stamp(due), "relay")
    return True


_LINES: Final = {
    "en": (
        "Checks of {org}: {since} to {until}",
        "Nothing is wrong, and nothing was.",
        "{check}: {critical} critical, {warning} warning on {devices} devices; {came} came, "
        "{went} went",
    ),
    "pt": (
        "Verificações de {org}: {since} a {until}",
        "Nada está mal, e nada esteve.",
        "{check}: {critical} críticos, {warning} avisos em {devices} dispositivos; "
        "{came} surgiram, {went} passaram",
    ),
    "de": (
        "Prüfungen von {org}: {since} bis {until}",
        "Nichts ist auffällig, und nichts war es.",
        "{check}: {critical} kritisch, {warning} Warnungen auf {devices} Geräten; {came} kamen, "
        "{went} gingen",
    ),
    "ro": (
        "Verificările {org}: {since} - {until}",
        "Nimic nu este în neregulă și nimic nu a fost.",
        "{check}: {critical} critice, {warning} avertismente pe {devices} dispozitive; {came} au "
        "apărut, {went} au trecut",
    ),
    "ru": (
        "Проверки {org}: {since} – {until}",
        "Всё в порядке, и ничего не случалось.",
        "{check}: критичных {critical}, предупреждений {warning}, устройств {devices}; появилось "
        "{came}, прошло {went}",
    ),
}


def _words(language: str, found: CheckDigest, org: str) -> tuple[str, str]:
    """Return the subject and the text of a digest."""
    subject, nothing, each = _LINES[language]
    head = subject.format(org=org, since=found.since[:10], until=found.until[:10])
    rows = [each.format(**msgspec.structs.asdict(one)) for one in found.lines]
    return head, "\n".join(f"- {row}" for row in rows) or nothing


async def _sweep_for_ever(relay: Relay) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            await sweep_digest(relay)
        except FarhandError as error:
            _log.warning("the digest of checks was not sent: %s", error)


async def start_digests(relay: Relay) -> None:
    """Begin to send digests; ends with the relay's tasks."""
    relay.tasks.spawn(_sweep_for_ever(relay), name="check digests")
