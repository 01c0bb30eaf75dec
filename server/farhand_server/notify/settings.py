"""What each person of the desk wants to hear of, how, and when she is left alone.

Quiet hours are the recipient's own: they begin and end in her time zone, across midnight if they
say so.  What happens meanwhile waits, and comes as one mail when they end.  The console shows
everything at once: looking there is her own choice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.desk.queues import get_queue
from farhand_server.desk.tickets import Sight
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, notify_settings
from farhand_server.webhooks.endpoints import get_endpoint

__all__ = [
    "MAX_QUEUES",
    "NOTICE_KINDS",
    "NoticeKind",
    "NotifySettings",
    "Recipient",
    "desk_sight",
    "is_quiet",
    "recipients",
    "set_notify",
    "settings_of",
]

NoticeKind = Literal["new", "assigned", "answered", "due-soon", "missed", "csat-low"]
NOTICE_KINDS: Final[tuple[NoticeKind, ...]] = get_args(NoticeKind)
MAX_QUEUES: Final = 50
_MINUTES: Final = 24 * 60
_STAFF: Final = ("technician", "admin", "auditor")
_GUARDIANS: Final = ("admin", "auditor")

_Minute = Annotated[int, msgspec.Meta(ge=0, le=_MINUTES)]
_Name = Annotated[str, msgspec.Meta(max_length=64)]


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one person wants.

    Attributes:
        queues: whose new tickets, and whose promises, she follows.
        mail, webhook, console: what she hears of in each way.
        webhook_name: the webhook that takes hers, as an admin set it up; empty for none.
        quiet: minutes of her day from when to when nothing is sent; None for never.
        zone: her time zone (IANA).
        digest_s: so many seconds are gathered into one mail.
    """

    queues: list[_Name] = []
    mail: tuple[NoticeKind, ...] = ("assigned", "answered", "due-soon", "missed", "csat-low")
    webhook: tuple[NoticeKind, ...] = ()
    console: tuple[NoticeKind, ...] = NOTICE_KINDS
    webhook_name: _Name = ""
    quiet: tuple[_Minute, _Minute] | None = None
    zone: _Name = "UTC"
    digest_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 60

    def wants(self, kind: NoticeKind) -> bool:
        """Tell whether she hears of this in any way."""
        return kind in self.console or self.wants_sent(kind)

    def wants_sent(self, kind: NoticeKind) -> bool:
        """Tell whether this is sent to her."""
        return kind in self.mail or (kind in self.webhook and bool(self.webhook_name))


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody of the desk, and what she wants."""

    name: str
    role: str
    settings: NotifySettings


def desk_sight(name: str, role: str, person: str | None = None) -> Sight:
    """Return what somebody of the desk sees: security tickets of others only as a guardian."""
    return Sight(name, desk=True, guarded=role in _GUARDIANS, person=person)


def is_quiet(settings: NotifySettings, at: datetime) -> bool:
    """Tell whether an instant is in somebody's quiet hours, by the clock on her wall."""
    if settings.quiet is None or settings.quiet[0] == settings.quiet[1]:
        return False
    begin, end = settings.quiet
    local = at.astimezone(ZoneInfo(settings.zone))
    minute = local.hour * 60 + local.minute
    if begin < end:
        return begin <= minute < end
    return minute >= begin or minute < end


async def settings_of(c: AsyncConnection, tenant: str, account: str) -> NotifySettings:
    """Return what somebody (by name) wants; the defaults where she has not said."""
    query = select(notify_settings.c.definition).where(
        notify_settings.c.tenant == tenant, notify_settings.c.account == account
    )
    text = await c.scalar(query)
    return NotifySettings() if text is None else msgspec.json.decode(text, type=NotifySettings)


async def recipients(c: AsyncConnection, tenant: str) -> dict[str, Recipient]:
    """Return everybody of the desk who can hear of things, by name."""
    query = (
        select(accounts.c.name, accounts.c.role, notify_settings.c.definition)
        .outerjoin(
            notify_settings,
            (notify_settings.c.tenant == accounts.c.tenant)
            & (notify_settings.c.account == accounts.c.name),
        )
        .where(
            accounts.c.tenant == tenant,
            accounts.c.disabled_at.is_(None),
            accounts.c.role.in_(_STAFF),
        )
    )
    found = {}
    for row in (await c.execute(query)).all():
        settings = NotifySettings()
        if row.definition is not None:
            settings = msgspec.json.decode(row.definition, type=NotifySettings)
        found[row.name] = Recipient(name=row.name, role=row.role, settings=settings)
    return found


async def set_notify(
    c: AsyncConnection, relay: Relay, *, account: str, settings: NotifySettings
) -> None:
    """Set what somebody (by name) wants.

    Raises:
        UsageError: `notify-settings` for a zone that does not exist, or too much.
        FarhandError: `not-found` for a queue or a webhook.
    """
    try:
        ZoneInfo(settings.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError("notify-settings", f"{settings.zone!r} is no time zone") from error
    if len(settings.queues) > MAX_QUEUES:
        raise UsageError("notify-settings", f"one follows at most {MAX_QUEUES} queues")
    for queue in settings.queues:
        await get_queue(c, relay.tenant, queue)
    if settings.webhook_name:
        await get_endpoint(c, relay.tenant, settings.webhook_name)
    elif settings.webhook:
        raise UsageError("notify-settings", "name the webhook that takes them")
    mine = (notify_settings.c.tenant == relay.tenant, notify_settings.c.account == account)
    await c.execute(delete(notify_settings).where(*mine))
    await c.execute(
        insert(notify_settings).values(
            tenant=relay.tenant,
            account=account,
            definition=msgspec.json.encode(settings).decode(),
            updated_at=relay.stamp(),
        )
    )
