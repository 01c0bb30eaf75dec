"""What an inbound hook brings: messages of people elsewhere, alerts of monitoring; all hostile.

A message begins a ticket, or goes on the one of its `thread`, if that came from the same hook: no
delivery can name a ticket of somebody else, and a key that somebody else wrote makes none the
hook's.  An alert goes by its `fingerprint`: while the ticket of the same one is open it is noted
there, its end too, which resolves it where the hook says so; one that comes back soon opens that
ticket again, so that a monitor which flaps has one.  Text is bounded and what no screen
should act on becomes a space; nothing that comes this way can reach a device.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.alerts.tickets import tell
from farhand_server.clock import stamp
from farhand_server.desk.moves import add_message, reopen, resolve
from farhand_server.desk.references import format_number
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import Intake, Sight, create_ticket
from farhand_server.people.people import person_of_address
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_events, tickets
from farhand_server.webhooks.hooks import Hook
from farhand_server.webhooks.seen import is_new
from farhand_server.wording import MAX_BODY_CHARS, MAX_LINE_CHARS

__all__ = ["MAX_ALERTS", "MAX_TICKETS_A_DAY", "Delivery", "Taken", "take_delivery"]

_log = logging.getLogger(__name__)

# A program that goes wild fills no desk.
MAX_TICKETS_A_DAY: Final = 200
MAX_ALERTS: Final = 100
_MAX_ID_CHARS: Final = 100
# What is over for longer and comes back is another matter; as long as alerts of devices flap.
_BACK_SOON: Final = timedelta(hours=6)
_MONITOR: Final = "monitor"


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote a message, by the word of the program that brings it."""

    id: str = ""
    name: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery of a hook for messages; other fields are not read.

    `thread` is the conversation's id elsewhere, `id` the delivery's where no header has it.
    """

    text: str
    title: str = ""
    thread: str = ""
    id: str = ""
    sender: Sender = msgspec.field(default_factory=Sender, name="from")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of a hook for alerts, as Prometheus' Alertmanager words it, or shorter."""

    fingerprint: str
    status: Literal["firing", "resolved"] = "firing"
    title: str = ""
    text: str = ""
    labels: dict[str, Any] = {}
    annotations: dict[str, Any] = {}


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery of a hook for alerts."""

    alerts: list[Alert]
    id: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What came: the id that its header names, and the body."""

    id: str
    body: bytes


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a delivery: tickets by number, none where it was seen before."""

    tickets: list[str]
    seen: bool = False


async def take_delivery(
    c: AsyncConnection, relay: Relay, *, hook: Hook, delivery: Delivery
) -> Taken:
    """Take a delivery whose sender showed the hook's secret.

    Raises:
        FarhandError: `delivery-malformed`; `hook-full` when it made too many tickets today.
    """
    kind = Message if hook.purpose == "messages" else Alerts
    try:
        read: Any = msgspec.json.decode(delivery.body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError(
            "delivery-malformed", f"the body is no delivery of {hook.purpose}", detail=str(error)
        ) from error
    known = delivery.id or read.id
    if not await is_new(c, relay, source=f"hook {hook.name}", delivery=known):
        return Taken(tickets=[], seen=True)
    if isinstance(read, Message):
        return Taken(tickets=[await _message(c, relay, hook, read)])
    if len(read.alerts) > MAX_ALERTS:
        raise UsageError("delivery-malformed", f"more than {MAX_ALERTS} alerts in one delivery")
    told = [await _alert(c, relay, hook, one) for one in read.alerts]
    return Taken(tickets=sorted({one for one in told if one}))


def _text(text: object, max_chars: int) -> str:
    """Return text as the desk takes it, whatever came."""
    if not isinstance(text, str):
        return ""
    kept = "".join(c if c.isprintable() or c == "\n" else " " for c in text[: 2 * max_chars])
    return kept.encode("utf-8", "replace").decode().strip()[:max_chars]


def _line(text: object, max_chars: int = MAX_LINE_CHARS) -> str:
    return " ".join(_text(text, max_chars).split())[:max_chars]


def _key(hook: Hook, name: str) -> str:
    """Return the external key of what a hook brings; no connector's name has a dot."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]
    return f"hook.{hook.name}:{digest}"


async def _check_room(c: AsyncConnection, relay: Relay, hook: Hook) -> None:
    made = await c.scalar(
        select(func.count()).where(
            tickets.c.tenant == relay.tenant,
            tickets.c.external_key.startswith(f"hook.{hook.name}:", autoescape=True),
            tickets.c.created_at > stamp(relay.now() - timedelta(days=1)),
        )
    )
    if (made or 0) >= MAX_TICKETS_A_DAY:
        raise FarhandError("hook-full", f"the hook made {MAX_TICKETS_A_DAY} tickets today")


async def _newest(
    c: AsyncConnection, relay: Relay, key: str, made_here: ColumnElement[bool]
) -> Any:
    """Return the newest ticket of a key that the hook itself made."""
    query = (
        select(
            tickets.c.number,
            tickets.c.state,
            tickets.c.requester,
            tickets.c.person,
            tickets.c.resolved_at,
        )
        .where(tickets.c.tenant == relay.tenant, tickets.c.external_key == key, made_here)
        .order_by(tickets.c.number.desc())
        .limit(1)
    )
    return (await c.execute(query)).mappings().first()


async def _message(c: AsyncConnection, relay: Relay, hook: Hook, message: Message) -> str:
    body = _text(message.text, MAX_BODY_CHARS)
    if not body:
        raise UsageError("delivery-malformed", "a message without words")
    channel = f"social:{hook.name}"
    writer = _line(message.sender.id, _MAX_ID_CHARS)
    name = f"{hook.name}:{writer or 'unknown'}"
    person = None
    if writer:
        found = await person_of_address(
            c, relay, kind="chat", value=name, name=_line(message.sender.name), actor="relay"
        )
        person = found.id
    thread = _line(message.thread)
    its_own = tickets.c.created_by.startswith(f"{hook.name}:", autoescape=True)
    known = await _newest(c, relay, _key(hook, thread), its_own) if thread else None
    if known is not None:
        said = await add_message(
            c,
            relay,
            ref=str(known["number"]),
            kind="reply",
            body=body,
            actor=name,
            # Whoever else writes in the thread elsewhere writes in this one, and nowhere else.
            sight=Sight(str(known["requester"]), desk=False, guarded=False, person=known["person"]),
            channel=channel,
            person=person,
        )
        return said.ticket
    await _check_room(c, relay, hook)
    made = await create_ticket(
        c,
        relay,
        title=_line(message.title) or body.splitlines()[0][:MAX_LINE_CHARS].strip(),
        actor=name,
        requester=name,
        external_key=_key(hook, thread or f"{relay.stamp()} {name} {body[:200]}"),
        body=body,
        intake=Intake(queue=hook.queue),
        person=person,
        channel=channel,
    )
    return made.number


async def _ended_just_now(c: AsyncConnection, relay: Relay, known: Any) -> bool:
    """Whether the monitor's own word ended a ticket, not long ago; what a person ended stays so."""
    if known["state"] != "resolved" or known["resolved_at"] is None:
        return False
    if known["resolved_at"] <= stamp(relay.now() - _BACK_SOON):
        return False
    events = ticket_events.c
    query = (
        select(events.actor)
        .where(
            events.tenant == relay.tenant,
            events.ticket == known["number"],
            events.kind == "resolved",
        )
        .order_by(events.seq.desc())
        .limit(1)
    )
    return bool(await c.scalar(query) == _MONITOR)


async def _alert(c: AsyncConnection, relay: Relay, hook: Hook, alert: Alert) -> str | None:
    """Note an alert on the ticket of its fingerprint, or open one; its end opens none."""
    if not alert.fingerprint.strip():
        raise UsageError("delivery-malformed", "an alert without a fingerprint")
    key = _key(hook, alert.fingerprint)
    known = await _newest(c, relay, key, tickets.c.created_by == _MONITOR)
    is_open = known is not None and known["state"] not in ENDED
    is_over = alert.status == "resolved"
    title = _line(alert.title or alert.labels.get("alertname")) or "alert"
    text = _text(
        alert.text or alert.annotations.get("description") or alert.annotations.get("summary"), 4000
    )
    words = f"{'recovered' if is_over else 'alert'}: {title}" + (f"\n\n{text}" if text else "")
    if not is_open and is_over:
        return None
    if is_open:
        number = int(known["number"])
    elif known is not None and await _ended_just_now(c, relay, known):
        number = int(known["number"])
        await reopen(c, relay, ref=str(number), reason="It is back.", actor=_MONITOR)
    else:
        await _check_room(c, relay, hook)
        made = await create_ticket(
            c,
            relay,
            title=title,
            actor=_MONITOR,
            external_key=key,
            intake=Intake(queue=hook.queue),
            channel="webhook",
        )
        number = made.row
    await tell(c, relay, number, words, alert=key)
    if is_over and hook.resolves:
        try:
            async with c.begin_nested():
                await resolve(c, relay, ref=str(number), note="It is over.", actor=_MONITOR)
        except FarhandError as error:
            # Something has to be done on it first, a checklist for one: then a person resolves it.
            _log.info("%s was not resolved: %s", format_number(number), error.code)
    return format_number(number)
