"""Erasing somebody: her name, her addresses and her words go, numbers, times and the ledger stay.

    known -> erased          once; there is no way back but a backup

What is hers is found by `care.known`: tickets that are hers, messages that she wrote, mails that
came from her or went to her, her account.  What others wrote stays, also where they wrote of her,
unless the words of her tickets are to go whole; what the relay wrote in her words, or of where she
lives, does not.  The search finds her tickets, and those that she
spoke on, by what is left.  The audit is a chain and stays as it is; the erasure itself is a record
there, and a row that says how much was erased and why.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import and_, case, delete, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.care.known import (
    Known,
    chunks,
    hers,
    known_of,
    said_by_her,
    touched_tickets,
)
from farhand_server.care.letters import erase_from_mails, erase_from_outbox
from farhand_server.care.referrals import is_referral_note
from farhand_server.care.words import (
    ERASED,
    erase_messages,
    erase_talks,
    erase_ticket_words,
    erase_words_on,
    rename_author,
    renamer_of,
    scrub_events,
    scrub_notes,
)
from farhand_server.desk.references import format_number
from farhand_server.desk.search_index import index_ticket
from farhand_server.desk.ticket_states import ENDED
from farhand_server.people.merging import check_not_erased, survivor_of
from farhand_server.people.people import Person, get_person
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    accounts,
    address_proofs,
    addresses,
    api_tokens,
    assistant_talks,
    calls,
    csat,
    device_holders,
    erased_tickets,
    erasures,
    idempotency_keys,
    jump_keys,
    notify_items,
    notify_settings,
    oidc_identities,
    people,
    question_answers,
    questions,
    recovery_codes,
    report_readers,
    second_factors,
    signin_steps,
    ticket_events,
    ticket_instructions,
    ticket_messages,
    ticket_participants,
    tickets,
    visits,
)
from farhand_server.wording import check_line

__all__ = ["Erasure", "erase_person", "note_erased"]

# Whose words are the desk's.
_STAFF: Final = ("technician", "admin", "auditor")
# Of accounts, whose names have no brackets.
_ACCOUNT: Final = "erased"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased of somebody; `person` is the id, which stays."""

    person: str
    reason: str
    erased_by: str
    erased_at: str
    counts: dict[str, int]


async def erase_person(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    reason: str,
    actor: str,
    force: bool = False,
    whole_tickets: bool = False,
) -> Erasure:
    """Erase what is known of a person, in the caller's transaction.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        ref: the person, as `get_person` takes it.
        reason: why; kept, so it holds nothing of what is erased.
        actor: who does it.
        force: whether a ticket of hers may still be open.
        whole_tickets: whether what others said on her tickets goes as well.

    Raises:
        FarhandError: `invalid`, `not-found`, `person-erased`; `person-staff` for somebody of the
            desk; `person-has-tickets` where one is open, without `force`.
    """
    tenant = relay.tenant
    found = await get_person(c, tenant, ref)
    person = await get_person(c, tenant, await survivor_of(c, tenant, found.id))
    await check_not_erased(c, tenant, person)
    known = await known_of(c, tenant, person)
    await _check_not_of_desk(c, tenant, person, known)
    why = check_line(reason, "reason")
    mine = await _lock_tickets(c, tenant, known, force=force)
    touched = await touched_tickets(c, tenant, known)
    await relay.audit.append(
        c,
        actor=actor,
        action="person.erase",
        subject=person.id,
        detail={"reason": why, "tickets": len(mine), "whole": whole_tickets},
    )
    counts = await _erase_words(c, relay, known, mine, whole_tickets=whole_tickets)
    rename = renamer_of(known)
    await scrub_events(c, tenant, mine, rename, words=True)
    elsewhere = sorted(set(touched) - set(mine))
    await scrub_events(c, tenant, elsewhere, rename, words=False)
    counts["addresses"] = await _erase_names(c, relay, known)
    await _erase_beside(c, relay, known, mine)
    await scrub_notes(c, tenant, known, sorted({*mine, *touched}))
    await _erase_accounts(c, relay, known)
    for number in sorted({*mine, *touched}):
        await index_ticket(c, tenant, number)
    erasure = Erasure(
        person=person.id,
        reason=why,
        erased_by=actor,
        erased_at=relay.stamp(),
        counts=counts,
    )
    for one in known.ids:
        row = {"person": one, "reason": why, "counts": json.dumps(counts), "erased_by": actor}
        await c.execute(insert(erasures).values(tenant=tenant, erased_at=erasure.erased_at, **row))
    return erasure


async def _check_not_of_desk(c: AsyncConnection, tenant: str, person: Person, known: Known) -> None:
    query = select(accounts.c.name).where(
        accounts.c.tenant == tenant,
        accounts.c.id.in_(known.account_ids),
        accounts.c.role.in_(_STAFF),
    )
    account = await c.scalar(query.limit(1))
    if account is not None or person.kind == "staff":
        raise FarhandError(
            "person-staff",
            f"{person.id} is of the desk: what she said there is the desk's",
            hint="farhand account disable NAME",
        )


async def _lock_tickets(c: AsyncConnection, tenant: str, known: Known, *, force: bool) -> list[int]:
    """Return her tickets; nobody adds words to them before this transaction ends."""
    query = select(tickets.c.number, tickets.c.state).where(tickets.c.tenant == tenant, hers(known))
    rows = (await c.execute(query.order_by(tickets.c.number).with_for_update())).all()
    still_open = [row.number for row in rows if row.state not in ENDED]
    if still_open and not force:
        raise FarhandError(
            "person-has-tickets",
            f"{format_number(still_open[0])} of hers is not done",
            hint="resolve it first, or erase with --force",
        )
    return [row.number for row in rows]


async def _erase_words(
    c: AsyncConnection, relay: Relay, known: Known, mine: list[int], *, whole_tickets: bool
) -> dict[str, int]:
    tenant = relay.tenant
    counts = {"tickets": len(mine), "messages": 0, "attachments": 0, "mails": 0}
    if whole_tickets:
        counts = await erase_words_on(c, relay, mine)
        await note_erased(c, relay, mine, "person")
    else:
        await erase_ticket_words(c, relay, mine)
    query = select(ticket_messages.c.seq).where(
        ticket_messages.c.tenant == tenant, ticket_messages.c.body != ERASED, said_by_her(known)
    )
    said = [*await c.scalars(query), *await _composed_of_hers(c, tenant, mine)]
    done = await erase_messages(c, relay, said)
    done["mails"] += await erase_from_mails(c, relay, known, mine)
    for name, count in done.items():
        counts[name] += count
    for some in chunks(mine):
        await c.execute(
            update(tickets)
            .where(tickets.c.tenant == tenant, tickets.c.number.in_(some))
            .values(requester=ERASED)
        )
    return counts


async def _composed_of_hers(c: AsyncConnection, tenant: str, mine: list[int]) -> list[int]:
    """Return messages on her tickets that the relay wrote in her words, or of where she is.

    What a vendor was told of the fault, and when a visit is where; the latter has an invitation.
    """
    found: list[int] = []
    for some in chunks(mine):
        query = select(ticket_messages.c.seq, ticket_messages.c.ticket, ticket_messages.c.body)
        noted = query.where(
            ticket_messages.c.tenant == tenant,
            ticket_messages.c.ticket.in_(some),
            ticket_messages.c.kind == "note",
            ticket_messages.c.body.startswith("To "),
        )
        rows = (await c.execute(noted)).all()
        found += [row.seq for row in rows if is_referral_note(row.body, row.ticket)]
        told = select(ticket_events.c.detail).where(
            ticket_events.c.tenant == tenant,
            ticket_events.c.ticket.in_(some),
            ticket_events.c.kind == "visit",
        )
        seqs = [json.loads(detail).get("message") for detail in await c.scalars(told)]
        of_visits = select(ticket_messages.c.seq).where(
            ticket_messages.c.tenant == tenant,
            ticket_messages.c.ticket.in_(some),
            ticket_messages.c.kind == "system",
            ticket_messages.c.body != ERASED,
        )
        found += [seq for seq in await c.scalars(of_visits) if seq in seqs]
    return found


async def note_erased(c: AsyncConnection, relay: Relay, numbers: list[int], why: str) -> None:
    """Note of which tickets the words are gone, so that a sweep does not look at them again."""
    for some in chunks(numbers):
        await c.execute(
            delete(erased_tickets).where(
                erased_tickets.c.tenant == relay.tenant, erased_tickets.c.ticket.in_(some)
            )
        )
        at = relay.stamp()
        rows = [
            {"tenant": relay.tenant, "ticket": number, "reason": why, "erased_at": at}
            for number in some
        ]
        await c.execute(insert(erased_tickets), rows)


async def _erase_names(c: AsyncConnection, relay: Relay, known: Known) -> int:
    """Erase who she is, wherever she stands under a name; returns how many addresses."""
    tenant = relay.tenant
    made = and_(tickets.c.tenant == tenant, func.lower(tickets.c.created_by).in_(known.names))
    await c.execute(update(tickets).where(made).values(created_by=ERASED))
    said = and_(
        ticket_messages.c.tenant == tenant, func.lower(ticket_messages.c.author).in_(known.names)
    )
    await rename_author(c, said)
    await c.execute(
        delete(ticket_participants).where(
            ticket_participants.c.tenant == tenant,
            func.lower(ticket_participants.c.name).in_(known.names),
        )
    )
    gone = await c.execute(
        delete(addresses).where(addresses.c.tenant == tenant, addresses.c.person.in_(known.ids))
    )
    await c.execute(
        delete(address_proofs).where(
            address_proofs.c.tenant == tenant,
            or_(
                address_proofs.c.person.in_(known.ids),
                address_proofs.c.value.in_(known.names),
            ),
        )
    )
    await c.execute(
        update(people)
        .where(people.c.tenant == tenant, people.c.id.in_(known.ids))
        .values(
            name=ERASED,
            locale="",
            zone="",
            notes="",
            account=None,
            active=False,
            revision=people.c.revision + 1,
        )
    )
    return int(gone.rowcount)


async def _erase_beside(c: AsyncConnection, relay: Relay, known: Known, mine: list[int]) -> None:
    """Erase what she said elsewhere: surveys, calls, public questions, the assistant."""
    tenant = relay.tenant
    for some in chunks(mine):
        await _erase_on_hers(c, tenant, some)
    await c.execute(
        delete(device_holders).where(
            device_holders.c.tenant == tenant, device_holders.c.person.in_(known.ids)
        )
    )
    await c.execute(
        update(csat)
        .where(csat.c.tenant == tenant, csat.c.person.in_(known.ids), csat.c.comment != "")
        .values(comment=ERASED)
    )
    answers = ticket_instructions
    await c.execute(
        update(answers)
        .where(answers.c.tenant == tenant, func.lower(answers.c.answered_by).in_(known.names))
        .values(
            answered_by=ERASED,
            reason=case((answers.c.reason == "", ""), else_=ERASED),
        )
    )
    rang = or_(calls.c.person.in_(known.ids), calls.c.number.in_(known.phones))
    await c.execute(update(calls).where(calls.c.tenant == tenant, rang).values(number=ERASED))
    accounts_of_hers = [*known.account_ids, *known.names]
    asked = and_(questions.c.tenant == tenant, questions.c.account.in_(accounts_of_hers))
    values = {"name": ERASED, "account": None, "body": ERASED}
    await c.execute(update(questions).where(asked).values(title=ERASED, **values))
    answered = question_answers.c.account.in_(accounts_of_hers)
    await c.execute(
        update(question_answers)
        .where(question_answers.c.tenant == tenant, answered)
        .values(**values)
    )
    talked = assistant_talks.c.account.in_(accounts_of_hers)
    await erase_talks(c, tenant, talked)
    await c.execute(
        update(assistant_talks)
        .where(assistant_talks.c.tenant == tenant, talked)
        .values(account=None)
    )
    await erase_from_outbox(c, tenant, known, mine)
    await _erase_from_reports(c, tenant, known)


async def _erase_on_hers(c: AsyncConnection, tenant: str, some: Sequence[int]) -> None:
    """Erase what stands beside the thread of her tickets, and is nobody else's."""
    for table, column, of_hers in (
        (visits, visits.c.place, true()),
        (ticket_instructions, ticket_instructions.c.reason, true()),
        (csat, csat.c.comment, csat.c.person.is_(None)),
        (calls, calls.c.number, calls.c.person.is_(None)),
    ):
        await c.execute(
            update(table)
            .where(table.c.tenant == tenant, table.c.ticket.in_(some), column != "", of_hers)
            .values({column.name: ERASED})
        )
    # Begun without a sign-in, and handed to the desk.
    handed = and_(assistant_talks.c.ticket.in_(some), assistant_talks.c.account.is_(None))
    await erase_talks(c, tenant, handed)


async def _erase_from_reports(c: AsyncConnection, tenant: str, known: Known) -> None:
    query = select(report_readers.c.organisation, report_readers.c.addresses)
    for row in (await c.execute(query.where(report_readers.c.tenant == tenant))).all():
        told = json.loads(row.addresses)
        left = [one for one in told if str(one).casefold() not in known.names]
        if left != told:
            await c.execute(
                update(report_readers)
                .where(
                    report_readers.c.tenant == tenant,
                    report_readers.c.organisation == row.organisation,
                )
                .values(addresses=json.dumps(left))
            )


async def _erase_accounts(c: AsyncConnection, relay: Relay, known: Known) -> None:
    """End her accounts for good, and give them names that nobody has."""
    tenant = relay.tenant
    for table in (notify_settings, notify_items):
        await c.execute(
            delete(table).where(table.c.tenant == tenant, table.c.account.in_(known.names))
        )
    for account in known.account_ids:
        for table in (
            api_tokens,
            jump_keys,
            second_factors,
            recovery_codes,
            signin_steps,
            oidc_identities,
            idempotency_keys,
        ):
            await c.execute(
                delete(table).where(table.c.tenant == tenant, table.c.account == account)
            )
        await c.execute(
            update(accounts)
            .where(accounts.c.tenant == tenant, accounts.c.id == account)
            .values(
                name=f"{_ACCOUNT}-{account.partition('-')[2]}",
                password_hash=None,
                person=None,
                disabled_at=func.coalesce(accounts.c.disabled_at, relay.stamp()),
            )
        )
