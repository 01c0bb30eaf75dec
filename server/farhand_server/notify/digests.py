"""What people are told, sent: one mail for all that gathered, outside their quiet hours.

A round takes what waits for a person once the first of it has waited as long as she gathers, and
hands it to the outbox in the transaction that marks it.  So nothing is sent twice, ten things in a
minute are one mail, and a night's are one in the morning.  Somebody without a verified address
finds hers in the console.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func, select, update

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.accounts.persons import person_of_account, verified_mail
from farhand_server.desk.references import format_number
from farhand_server.notify.items import still_seen
from farhand_server.notify.settings import NotifySettings, desk_sight, is_quiet, settings_of
from farhand_server.notify.wording import digest_words, line_of
from farhand_server.outbox.items import put
from farhand_server.people.letters import language_of
from farhand_server.people.people import get_person
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, notify_items
from farhand_server.webhooks.endpoints import queue_delivery

__all__ = ["send_due"]

_AT_ONCE: Final = 200
_SHOWN: Final = 100
EVENT: Final = "notify"


async def send_due(relay: Relay) -> int:
    """Hand over what is due for everybody; returns how many people were written to.

    Raises:
        FarhandError: the store's; what was not handed over is by a later round.
    """
    waits = (notify_items.c.tenant == relay.tenant, notify_items.c.sent_at.is_(None))
    async with relay.db.read() as c:
        query = (
            select(notify_items.c.account, func.min(notify_items.c.at).label("first"))
            .where(*waits)
            .group_by(notify_items.c.account)
            .order_by(func.min(notify_items.c.at))
            .limit(_AT_ONCE)
        )
        found = (await c.execute(query)).all()
        wishes = {row.account: await settings_of(c, relay.tenant, row.account) for row in found}
    written = 0
    for row in found:
        settings = wishes[row.account]
        ripe = parse_instant(row.first) + timedelta(seconds=settings.digest_s) <= relay.now()
        if ripe and not is_quiet(settings, relay.now()):
            written += await _send(relay, row.account, settings)
    return written


async def _send(relay: Relay, name: str, settings: NotifySettings) -> int:
    async with relay.db.write() as c:
        taken = (
            await c.execute(
                update(notify_items)
                .where(
                    notify_items.c.tenant == relay.tenant,
                    notify_items.c.account == name,
                    notify_items.c.sent_at.is_(None),
                )
                .values(sent_at=relay.stamp())
                .returning(
                    notify_items.c.seq,
                    notify_items.c.kind,
                    notify_items.c.ticket,
                    notify_items.c.words,
                    notify_items.c.facts,
                    notify_items.c.at,
                )
            )
        ).all()
        told = sorted(taken, key=lambda one: int(one.seq))
        row = (
            await c.execute(
                select(accounts).where(
                    accounts.c.tenant == relay.tenant,
                    accounts.c.name == name,
                    accounts.c.disabled_at.is_(None),
                )
            )
        ).first()
        if row is None or not told:
            return 0
        person = await person_of_account(c, relay.tenant, row)
        sight = desk_sight(name, row.role, person)
        named = {one.ticket for one in told if one.ticket is not None}
        seen = await still_seen(c, relay.tenant, sight=sight, numbers=named)
        told = [one for one in told if one.ticket is None or one.ticket in seen]
        if not told:
            return 0
        by_mail = [one for one in told if one.kind in settings.mail]
        to = person and await verified_mail(c, relay.tenant, person)
        if person and by_mail and to:
            reader = await get_person(c, relay.tenant, person)
            language = await language_of(c, relay.tenant, reader)
            await put(c, relay, kind="mail", payload=_mail(relay, to, by_mail, language))
        by_hook = [one for one in told if one.kind in settings.webhook]
        if by_hook and settings.webhook_name:
            await _deliver(c, relay, name, settings.webhook_name, by_hook)
        return 1


def _mail(relay: Relay, to: str, told: list[Any], language: str) -> dict[str, Any]:
    lines = [_line(one, language) for one in told[:_SHOWN]]
    subject, more, end = digest_words(
        language, count=len(told), more=len(told) - _SHOWN, org=relay.settings.org
    )
    text = [f"- {one.at[11:16]} UTC  {line}" for one, line in zip(told, lines, strict=False)]
    if len(told) > _SHOWN:
        text.append(f"- {more}")
    return {
        "to": [to],
        "cc": [],
        "subject": (lines[0] if len(told) == 1 else subject)[:150],
        "text": "\n".join([*text, "", end]) + "\n",
        "auto": False,
        "language": language,
    }


def _line(one: Any, language: str) -> str:
    # What was told before its facts were kept stays as it was written.
    return line_of(one.kind, json.loads(one.facts), language) if one.facts else str(one.words)


async def _deliver(c: Any, relay: Relay, name: str, webhook: str, told: list[Any]) -> None:
    items = [
        {
            "kind": one.kind,
            "ticket": None if one.ticket is None else format_number(one.ticket),
            "words": one.words,
            "at": one.at,
        }
        for one in told[:_SHOWN]
    ]
    body = json.dumps({"event": EVENT, "account": name, "items": items}, sort_keys=True)
    try:
        await queue_delivery(
            c, relay, webhook=webhook, event=EVENT, body=body, key=f"notify {told[-1].seq}"
        )
    except FarhandError as error:
        if error.code != "outbox-too-large":
            raise
