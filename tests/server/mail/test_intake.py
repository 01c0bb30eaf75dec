"""Mails onto tickets: what becomes of each, on both stores."""

from __future__ import annotations

import asyncio

from farhand_server.app import Relay
from farhand_server.mail.intake import make_intake
from farhand_server.mail.keeping import Arrival, keep_mail, marks_of
from tests.server.mail.desk_mail import (
    DESK,
    EVE,
    all_mails,
    all_tickets,
    answer,
    arrive,
    letter,
    mail_row,
    open_mailbox,
    recipients,
    said,
)
from tests.server.relays import ManualClock

_ALARM = "***** Nagios *****\n\nNotification Type: PROBLEM\nHost: web1\nState: DOWN\nInfo: gone\n"


async def test_a_mail_becomes_a_ticket_once_and_its_answer_comes_back(relay: Relay) -> None:
    await open_mailbox(relay)
    raw = letter(headers=["Cc: bob@customer.example, desk@example.com"])
    first = await arrive(relay, raw)
    assert await arrive(relay, raw.replace(b"\r\n", b"\n")) is None, "the same mail twice"
    (ticket,) = await all_tickets(relay)
    assert (ticket["title"], ticket["requester"], ticket["state"]) == ("Printer", EVE, "new")
    (row,) = await said(relay, 1)
    assert (row["body"], row["channel"], row["author"], row["public"]) == (
        "The printer is on fire.", "mail", EVE, True
    )  # fmt: skip
    kept = await mail_row(relay, first)
    assert (kept["state"], kept["reason"], kept["ticket"]) == ("done", "new", 1)
    (received,) = await all_mails(relay, "out")
    assert received["auto"]
    assert received["envelope_from"] == ""
    assert await recipients(relay, received["id"]) == {EVE: "queued"}

    seq = await answer(relay, 1)
    reply = (await all_mails(relay, "out"))[1]
    assert (reply["message"], reply["envelope_from"]) == (seq, DESK)
    people = await recipients(relay, reply["id"])
    assert people == {EVE: "queued", "bob@customer.example": "queued"}

    back = letter("It burns still.", message_id="<two@customer.example>", subject="AW: huh",
                  headers=[f"In-Reply-To: {reply['rfc_id']}"])  # fmt: skip
    await arrive(relay, back)
    copied = letter("I can see it, too.", sender="bob@customer.example", subject="Re: Printer",
                    message_id="<three@customer.example>",
                    headers=["References: <one@customer.example>"])  # fmt: skip
    await arrive(relay, copied)
    assert [row["author"] for row in await said(relay, 1)] == [
        EVE,
        "ann",
        EVE,
        "bob@customer.example",
    ]
    assert len(await all_tickets(relay)) == 1
    assert len(await all_mails(relay, "out")) == 2, "a reply is not acknowledged"


async def _arrive_at_once(relay: Relay, clock: ManualClock, *came: tuple[str, bytes]) -> None:
    """Let two mails, each with its mailbox, be understood by two nodes at the same time."""
    for mailbox, raw in came:
        async with relay.db.write() as c:
            arrival = Arrival(mailbox, "lmtp", EVE)
            await keep_mail(c, relay, raw=raw, marks=marks_of(raw), arrival=arrival)
    intake = relay.service(make_intake)
    await asyncio.gather(*(intake.understand_next() for _ in came))
    clock.advance(60)
    await intake.work_off()
    assert all(one["state"] == "done" for one in await all_mails(relay, "in"))


async def test_two_nodes_make_one_ticket_of_one_mail(relay: Relay, clock: ManualClock) -> None:
    await open_mailbox(relay)
    await open_mailbox(relay, "sales", "sales@example.com")
    raw = letter(headers=["Cc: sales@example.com"])
    await _arrive_at_once(relay, clock, ("desk", raw), ("sales", raw))
    assert len(await all_tickets(relay)) == 1
    assert len(await all_mails(relay, "out")) == 1


async def test_two_nodes_keep_an_answer_with_what_it_answers(
    relay: Relay, clock: ManualClock
) -> None:
    await open_mailbox(relay)
    headers = ["In-Reply-To: <one@customer.example>"]
    second = letter("And it smokes.", message_id="<two@c.example>", headers=headers)
    await _arrive_at_once(relay, clock, ("desk", letter()), ("desk", second))
    assert [one["body"] for one in await said(relay, 1)] == [
        "The printer is on fire.",
        "And it smokes.",
    ]
    assert len(await all_tickets(relay)) == 1


async def test_two_nodes_make_one_ticket_of_one_alarm(relay: Relay, clock: ManualClock) -> None:
    await open_mailbox(relay)
    subject = "** PROBLEM Host Alert: web1 is DOWN **"
    first, second = (
        letter(_ALARM, message_id=f"<{n}@x.example>", sender="n@x.example", subject=subject)
        for n in (1, 2)
    )
    await _arrive_at_once(relay, clock, ("desk", first), ("desk", second))
    assert len(await all_tickets(relay)) == 1


async def test_an_answer_waits_for_a_mail_that_another_node_holds(
    relay: Relay, clock: ManualClock
) -> None:
    await open_mailbox(relay)
    arrival = Arrival("desk", "lmtp", EVE)
    intake = relay.service(make_intake)
    async with relay.db.write() as c:
        await keep_mail(c, relay, raw=letter(), marks=marks_of(letter()), arrival=arrival)
    held = await intake._claim()
    assert held is not None
    headers = ["In-Reply-To: <one@customer.example>"]
    made = await arrive(relay, letter("More.", message_id="<two@c.example>", headers=headers))
    assert (await mail_row(relay, made))["state"] == "kept"
    await intake._understand(held)
    clock.advance(60)
    await intake.work_off()
    row = await mail_row(relay, made)
    assert (row["state"], row["reason"], row["ticket"]) == ("done", "reply", 1)
