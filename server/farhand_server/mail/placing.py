"""Puts a mail that was understood on its ticket, in one transaction.

| what it is | what becomes of it |
|---|---|
| the same mail, to another mailbox of ours | it is on its ticket already |
| a bounce | the mail that came back is marked, and its ticket's owner told with a note |
| a monitor's word | it joins the open ticket of its fingerprint, or begins one; recovery is noted |
| by who takes part | her reply: it goes on with the ticket, as one in the portal would |
| by a machine, on a ticket | a note: it reopens nothing and nobody answers |
| by a stranger who has the token | a note with a warning: it reopens nothing |
| from somebody for whom our mail server does not vouch | the same; or a new ticket of nobody's |
| anything else by a person | a new ticket, which is acknowledged once |
| anything else by a machine | a new ticket without; an answer to nothing of ours is only kept |

Which of them says `mail.threading`.  Nothing in a mail starts anything on a device, is consent, or
approves: it becomes text, files and people in copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import Row, RowMapping, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.desk.moves import add_message, resolve
from farhand_server.desk.participants import Participant, add_participant, list_participants
from farhand_server.desk.queues import DEFAULT_QUEUE
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import Intake, Sight, Ticket, create_ticket, get_ticket
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.mail.authentication import AUTHSERVS, is_vouched_for
from farhand_server.mail.classes import find_loop
from farhand_server.mail.loops import may_begin, may_reopen
from farhand_server.mail.mailboxes import own_addresses
from farhand_server.mail.message_ids import OwnId, read_message_id
from farhand_server.mail.outgoing import Letter, queue_letter
from farhand_server.mail.parsed import ParsedMail
from farhand_server.mail.phrases import language_of, say
from farhand_server.mail.sealing import mail_keys
from farhand_server.mail.subjects import plain_subject
from farhand_server.mail.threading import Decision, thread
from farhand_server.mail.ticket_links import without_links
from farhand_server.mail.unreached import tell_of_failure
from farhand_server.mail.whereabouts import is_verified, look_up
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.people.people import Person, person_of_address
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_messages, tickets
from farhand_server.store.schema.mail import mail_recipients, mailboxes, mails
from farhand_server.wording import MAX_BODY_CHARS, MAX_LINE_CHARS

__all__ = ["ACKNOWLEDGE", "MAX_COPIED", "Placed", "place"]

# The setting that says whether a new ticket is acknowledged; on by default.
ACKNOWLEDGE: Final = "mail.acknowledge"
MAX_COPIED: Final = 20
_MAX_REFS_CHARS: Final = 16_000
_MAIL: Final = "mail"
_MONITOR: Final = "monitor"
_CUT: Final = "\n\n[The rest is in the mail itself.]"
_NOTHING: Final = "(This mail has no text.)"
_NO_SUBJECT: Final = "(no subject)"
_UNKNOWN_COPIES: Final = (
    "The mail above names this ticket by its number only, which anybody guesses. So whom it put in"
    " copy reads nothing here until somebody of the desk adds them:"
)


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a mail went: `reason` says why in one word, `quarantine` why a person must look."""

    reason: str
    ticket: int | None = None
    message: int | None = None
    quarantine: str = ""
    parsed: ParsedMail

    def values(self) -> dict[str, Any]:
        """Return the columns of the mail's row that are known now."""
        mail = self.parsed
        auto = mail.auto.kind if mail.auto.auto else ""
        found: dict[str, Any] = {
            "ticket": self.ticket,
            "message": self.message,
            "reason": (self.quarantine or self.reason)[:300],
            "sender": mail.sender.mail if mail.sender else "",
            "subject": mail.subject[:400],
            "auto": auto,
            "refs": " ".join(mail.references)[:_MAX_REFS_CHARS],
            "thread_index": mail.thread_index[:400],
            "thread_topic": mail.thread_topic[:400],
        }
        if mail.message_id:
            found["rfc_id"] = mail.message_id
        return found


async def place(c: AsyncConnection, relay: Relay, row: RowMapping, mail: ParsedMail) -> Placed:
    """Put a mail on its ticket.

    Args:
        c: connection of the write transaction that marks it done.
        relay: the wiring.
        row: of `mails`, held by this transaction.
        mail: what was understood of it.

    Raises:
        FarhandError: what the desk refuses; nothing is written then.
    """
    ours = await own_addresses(c, relay.tenant)
    twin = await _twin(c, relay.tenant, row, mail)
    if twin is not None:
        return Placed(reason="twin", ticket=twin.ticket, message=twin.message, parsed=mail)
    servers = await get_setting(c, relay.tenant, AUTHSERVS, list[str], default=[])
    is_vouched = not servers or is_vouched_for(mail, servers)
    if mail.monitoring is not None and is_vouched:
        return await _monitored(c, relay, row, mail)
    lookups = await look_up(c, relay, mail)
    decision = thread(mail, lookups)
    if decision.kind == "bounce":
        return await _bounced(c, relay, mail, decision)
    is_loop = bool(find_loop(mail, own=_own(relay), addresses=ours))
    is_machine = mail.auto.auto or is_loop
    if decision.ticket is None:
        if is_loop or mail.auto.kind in ("reply", "loop"):
            # An automatic answer to nothing of ours, or what we wrote ourselves.
            return Placed(reason="auto-unmatched", parsed=mail)
        if not is_vouched and mail.sender is not None:
            return await _begin_unvouched(c, relay, row, mail, is_machine=is_machine)
        return await _begin(c, relay, row, mail, is_machine=is_machine)
    ticket = await get_ticket(c, relay.tenant, str(decision.ticket))
    if is_machine:
        return await _note(c, relay, ticket, mail, reason="auto", words=_machine_words(mail))
    if decision.kind == "unverified":
        return await _note(c, relay, ticket, mail, reason="unverified", words=_stranger_words(mail))
    if not is_vouched:
        words = _unvouched_words(mail)
        return await _note(c, relay, ticket, mail, reason="unverified", words=words)
    return await _reply(c, relay, ticket, mail, ours, is_known=decision.by != "tag")


def _own(relay: Relay) -> Callable[[str], OwnId | None]:
    key = relay.service(mail_keys).ids
    return lambda one: read_message_id(key, one)


async def _twin(
    c: AsyncConnection, tenant: str, row: RowMapping, mail: ParsedMail
) -> Row[Any] | None:
    """Return the same mail where another mailbox of ours got it, too."""
    if not mail.message_id:
        return None
    query = select(mails).where(
        mails.c.tenant == tenant,
        mails.c.rfc_id == mail.message_id,
        mails.c.body_sha256 == row["body_sha256"],
        mails.c.direction == "in",
        mails.c.id != row["id"],
        mails.c.ticket.is_not(None),
    )
    return (await c.execute(query.order_by(mails.c.id).limit(1))).first()


# Words.


def _text(mail: ParsedMail) -> str:
    # A quoted mail of ours holds its reader's own link, which is nobody else's to open.
    kept = without_links(mail.text.encode("utf-8", "surrogatepass"))
    return kept.decode("utf-8", "surrogatepass").strip() or _NOTHING


def _body(mail: ParsedMail) -> str:
    """Return a mail's text as the desk keeps it: whole, or cut where the desk's bound is."""
    text = _text(mail)
    if len(text) > MAX_BODY_CHARS:
        text = text[: MAX_BODY_CHARS - len(_CUT)].rstrip() + _CUT
    return text


def _quoted(warning: str, mail: ParsedMail) -> str:
    room = MAX_BODY_CHARS - len(warning) - len(_CUT) - 2
    text = _text(mail)
    return f"{warning}\n\n{text if len(text) <= room else text[:room].rstrip() + _CUT}"


def _who(mail: ParsedMail) -> str:
    return mail.sender.mail if mail.sender is not None else "an unnamed sender"


def _machine_words(mail: ParsedMail) -> str:
    return f"Automatic mail from {_who(mail)} ({mail.auto.kind}); nobody answers it."


def _stranger_words(mail: ParsedMail) -> str:
    return (
        f"WARNING: {_who(mail)} takes no part in this ticket, but answered a mail of it. Perhaps it"
        " was passed on; perhaps somebody pretends. Nothing was reopened."
    )


def _unvouched_words(mail: ParsedMail) -> str:
    return (
        f"WARNING: our mail server does not vouch for {_who(mail)} (DMARC, DKIM, SPF). Perhaps it"
        " was passed on; perhaps somebody pretends. Nothing was reopened or sent."
    )


def _title(mail: ParsedMail) -> str:
    line = plain_subject(mail.subject)
    line = "".join(one for one in line if one.isprintable()).strip()
    return line[:MAX_LINE_CHARS].strip() or _NO_SUBJECT


# Onto a ticket.


async def _reply(
    c: AsyncConnection,
    relay: Relay,
    ticket: Ticket,
    mail: ParsedMail,
    ours: set[str],
    *,
    is_known: bool,
) -> Placed:
    """Go on with a ticket in the words of somebody who takes part.

    Whoever knows a mail of it (`is_known`), and not its number only, may bring others along.
    """
    assert mail.sender is not None
    person = await _person(c, relay, mail)
    name = await _name_on(c, relay.tenant, ticket, mail.sender.mail, person)
    if ticket.state == "resolved" and not await may_reopen(c, relay, ticket.row):
        words = "This mail would have reopened the ticket, as others did within the hour."
        return await _note(c, relay, ticket, mail, reason="reopen-limit", words=words)
    message = await add_message(
        c,
        relay,
        ref=ticket.id,
        kind="reply",
        body=_body(mail),
        actor=name,
        sight=Sight(name, desk=False, guarded=False, person=person.id),
        channel=_MAIL,
        person=person.id,
        language=_language(mail),
    )
    await _attach(c, relay, message.seq, mail)
    where = await get_ticket(c, relay.tenant, message.ticket)
    if is_known:
        await _copy(c, relay, where, mail, ours)
    elif copied := await _copied(c, relay, where, mail, ours):
        words = f"{_UNKNOWN_COPIES}\n\n" + "\n".join(f"- {one}" for one in copied)
        at = relay.stamp()
        await insert_message(c, relay.tenant, where.row, "note", _MAIL, words, at, channel=_MAIL)
    return Placed(reason="reply", ticket=where.row, message=message.seq, parsed=mail)


async def _name_on(
    c: AsyncConnection, tenant: str, ticket: Ticket, address: str, person: Person
) -> str:
    """Return under which name somebody takes part: her address, or her account."""
    if ticket.requester is not None and ticket.person == person.id:
        return ticket.requester
    there = {one.name for one in await list_participants(c, tenant, ticket.row)}
    if person.account is not None and person.account in {*there, ticket.requester}:
        return person.account
    return address


async def _note(
    c: AsyncConnection,
    relay: Relay,
    ticket: Ticket,
    mail: ParsedMail,
    *,
    reason: str,
    words: str,
    author: str = _MAIL,
) -> Placed:
    """Put a mail on a ticket as a note, which moves nothing and leaves the desk never."""
    at = relay.stamp()
    message = await insert_message(
        c, relay.tenant, ticket.row, "note", author, _quoted(words, mail), at, channel=_MAIL
    )
    await _attach(c, relay, message.seq, mail)
    detail = {"message": message.seq, "from": _who(mail)}
    await add_event(c, relay.tenant, ticket.row, f"mail-{reason}", author, detail, at)
    await c.execute(
        update(tickets)
        .where(tickets.c.tenant == relay.tenant, tickets.c.number == ticket.row)
        .values(updated_at=at, revision=tickets.c.revision + 1)
    )
    return Placed(reason=reason, ticket=ticket.row, message=message.seq, parsed=mail)


async def _attach(c: AsyncConnection, relay: Relay, message: int, mail: ParsedMail) -> None:
    for place_, file in enumerate(mail.files):
        sha256 = await keep_blob(c, relay, file.content, file.media_type)
        await attach(c, relay.tenant, message, place_, sha256, file.name, file.inline_cid)


async def _copied(
    c: AsyncConnection, relay: Relay, ticket: Ticket, mail: ParsedMail, ours: set[str]
) -> list[str]:
    """Return whom a mail names that take no part yet; `MAX_COPIED` at most."""
    there = {one.name for one in await list_participants(c, relay.tenant, ticket.row)}
    there |= {name for name in (ticket.requester, ticket.created_by) if name} | ours
    if mail.sender is not None:
        there.add(mail.sender.mail)
    named = dict.fromkeys(one.mail for one in (*mail.to, *mail.cc) if one.mail)
    return [one for one in named if one not in there][:MAX_COPIED]


async def _copy(
    c: AsyncConnection, relay: Relay, ticket: Ticket, mail: ParsedMail, ours: set[str]
) -> None:
    """Let whom the writer put in copy take part."""
    for one in await _copied(c, relay, ticket, mail, ours):
        who = Participant(name=one[:MAX_LINE_CHARS], part="cc", can_post=True)
        try:
            await add_participant(c, relay, ticket=ticket, who=who, actor=_MAIL)
        except FarhandError as error:
            if error.code != "participant-limit":
                raise
            return


async def _person(c: AsyncConnection, relay: Relay, mail: ParsedMail) -> Person:
    assert mail.sender is not None
    return await person_of_address(
        c, relay, kind="mail", value=mail.sender.mail, name=mail.sender.name, actor=_MAIL
    )


def _language(mail: ParsedMail) -> str:
    """Return the language a mail says it is written in, where the desk knows it."""
    return next((one[:2].lower() for one in mail.languages if one), "")[:2]


# A new ticket.


async def _begin(
    c: AsyncConnection, relay: Relay, row: RowMapping, mail: ParsedMail, *, is_machine: bool
) -> Placed:
    if mail.sender is None:
        return Placed(reason="", quarantine="nobody is named as its sender", parsed=mail)
    try:
        person = await _person(c, relay, mail)
    except UsageError:
        return Placed(reason="", quarantine="its sender's address cannot be one", parsed=mail)
    if not await may_begin(c, relay, mail.sender.mail):
        words = "this address began too many tickets within the hour"
        return Placed(reason="", quarantine=words, parsed=mail)
    queue = await _queue_of(c, relay.tenant, row["mailbox"])
    language = _language(mail) or person.locale[:2]
    # Her account is named only where somebody has shown that the address is hers.
    is_hers = person.account and await is_verified(c, relay.tenant, mail.sender.mail)
    requester = person.account if person.account and is_hers else mail.sender.mail
    ticket = await create_ticket(
        c,
        relay,
        title=_title(mail),
        actor=requester,
        requester=requester,
        body=_body(mail),
        intake=Intake(queue=queue, language=language),
        person=person.id,
        organisation=person.organisation,
        channel=_MAIL,
    )
    message = await _first_message(c, relay.tenant, ticket.row)
    await _attach(c, relay, message, mail)
    if not is_machine:
        await _copy(c, relay, ticket, mail, await own_addresses(c, relay.tenant))
        await _acknowledge(c, relay, ticket, mail, language)
    return Placed(reason="new", ticket=ticket.row, message=message, parsed=mail)


async def _begin_unvouched(
    c: AsyncConnection, relay: Relay, row: RowMapping, mail: ParsedMail, *, is_machine: bool
) -> Placed:
    """Begin a ticket that is nobody's: nobody is spoken for, and nobody is written to."""
    assert mail.sender is not None
    if not await may_begin(c, relay, mail.sender.mail):
        words = "this address began too many tickets within the hour"
        return Placed(reason="", quarantine=words, parsed=mail)
    intake = Intake(
        queue=await _queue_of(c, relay.tenant, row["mailbox"]), language=_language(mail)
    )
    ticket = await create_ticket(
        c, relay, title=_title(mail), actor=_MAIL, intake=intake, channel=_MAIL
    )
    words = _machine_words(mail) if is_machine else _unvouched_words(mail)
    if not is_machine:
        words += f"\n\nOnce you know who it is: farhand ticket participant {ticket.number} ADDRESS"
    placed = await _note(c, relay, ticket, mail, reason="unverified", words=words)
    return msgspec.structs.replace(placed, reason="new-unverified")


async def _queue_of(c: AsyncConnection, tenant: str, mailbox: str) -> str:
    query = select(mailboxes.c.queue).where(
        mailboxes.c.tenant == tenant, mailboxes.c.name == mailbox
    )
    return await c.scalar(query) or DEFAULT_QUEUE


async def _first_message(c: AsyncConnection, tenant: str, ticket: int) -> int:
    query = select(func.max(ticket_messages.c.seq)).where(
        ticket_messages.c.tenant == tenant, ticket_messages.c.ticket == ticket
    )
    return int(await c.scalar(query) or 0)


async def _acknowledge(
    c: AsyncConnection, relay: Relay, ticket: Ticket, mail: ParsedMail, language: str
) -> None:
    """Say once that the mail has arrived, in words of ours alone."""
    assert mail.sender is not None
    if not await get_setting(c, relay.tenant, ACKNOWLEDGE, bool, default=True):
        return
    language = language_of(language)
    subject, text = say("received", language, number=ticket.number)
    letter = Letter(
        to=[mail.sender.mail],
        subject=subject,
        text=text,
        ticket=ticket.row,
        auto=True,
        receipt=True,
        language=language,
    )
    await queue_letter(c, relay, letter, key=f"received:{ticket.row}")


# Machines.


async def _bounced(
    c: AsyncConnection, relay: Relay, mail: ParsedMail, decision: Decision
) -> Placed:
    """Mark whom a mail of ours did not reach, and tell its ticket's owner."""
    failed: dict[str, str] = {}
    ids = mail.bounce.original_ids if mail.bounce is not None else ()
    sent = (
        await c.execute(
            select(mails.c.id, mails.c.ticket).where(
                mails.c.tenant == relay.tenant,
                mails.c.direction == "out",
                mails.c.rfc_id.in_([*ids, decision.message_id]),
            )
        )
    ).first()
    for one in mail.bounce.recipients if mail.bounce is not None else ():
        if one.delayed:
            continue
        words = f"{one.status} {one.words}".strip()[:200] or "it came back"
        failed[one.mail] = words
        if sent is not None:
            await c.execute(
                update(mail_recipients)
                .where(
                    mail_recipients.c.tenant == relay.tenant,
                    mail_recipients.c.mail == sent.id,
                    mail_recipients.c.address == one.mail,
                )
                .values(state="bounced", words=words, at=relay.stamp())
            )
    ticket = decision.ticket if decision.ticket is not None else (sent.ticket if sent else None)
    if ticket is not None and failed:
        await tell_of_failure(c, relay, ticket, failed, event="mail-bounced")
    return Placed(reason="bounce", ticket=ticket, parsed=mail)


async def _monitored(c: AsyncConnection, relay: Relay, row: RowMapping, mail: ParsedMail) -> Placed:
    """Join what a monitoring program says to the open ticket of the same trouble, or begin one.

    The sender is part of the fingerprint, so nobody speaks for another one's monitor by chance.
    """
    told = mail.monitoring
    assert told is not None
    mark = hashlib.sha256(f"{_who(mail)}\0{told.program}\0{told.fingerprint}".encode()).hexdigest()
    key = f"monitor:{mark[:40]}"
    query = select(tickets.c.number).where(
        tickets.c.tenant == relay.tenant,
        tickets.c.external_key == key,
        tickets.c.state.not_in(ENDED),
    )
    number = await c.scalar(query.order_by(tickets.c.number.desc()).limit(1))
    if number is None and told.state != "problem":
        return Placed(reason="monitor-unmatched", parsed=mail)
    if number is None:
        if not await may_begin(c, relay, _who(mail)):
            words = "this monitor began too many tickets within the hour"
            return Placed(reason="", quarantine=words, parsed=mail)
        ticket = await create_ticket(
            c,
            relay,
            title=_title(mail),
            actor=_MONITOR,
            external_key=key,
            intake=Intake(queue=await _queue_of(c, relay.tenant, row["mailbox"])),
            channel=_MAIL,
        )
        words = f"{told.program} reports a problem: {told.host} {told.service}".strip()
        placed = await _note(c, relay, ticket, mail, reason="monitor", words=words, author=_MONITOR)
        return msgspec.structs.replace(placed, reason="new")
    ticket = await get_ticket(c, relay.tenant, str(number))
    words = f"{told.program} reports ({told.state}): {told.host} {told.service}".strip()
    placed = await _note(c, relay, ticket, mail, reason="monitor", words=words, author=_MONITOR)
    resolves = select(mailboxes.c.resolves).where(
        mailboxes.c.tenant == relay.tenant, mailboxes.c.name == row["mailbox"]
    )
    if told.state == "recovery" and await c.scalar(resolves):
        note = "The monitor reports that it is over."
        await resolve(c, relay, ref=ticket.id, note=note, actor=_MONITOR)
    return placed
