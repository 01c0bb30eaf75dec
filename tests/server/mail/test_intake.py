"""Mails onto tickets: what becomes of each, on both stores."""

from __future__ import annotations

from farhand_server.app import Relay
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
