"""What becomes of each kind of mail: replies, strangers, machines, bounces, monitors, limits."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from farhand_server.app import Relay
from farhand_server.desk.moves import close, resolve
from farhand_server.desk.moves import reopen as reopen_ticket
from farhand_server.mail.intake import MAX_TRIES, make_intake
from farhand_server.mail.loops import MAX_NEW_AN_HOUR, MAX_REOPENED_AN_HOUR
from farhand_server.people.blobs import attachments_of, read_blob
from farhand_server.people.people import add_address, person_of_address, verify_address
from farhand_server.store.schema import ticket_links
from farhand_server.store.schema.mail import mails
from tests.server.mail.desk_mail import (
    DESK,
    EVE,
    all_mails,
    all_tickets,
    answer,
    arrive,
    heed,
    letter,
    mail_row,
    open_mailbox,
    recipients,
    said,
)
from tests.server.relays import ManualClock

MALLORY = "mallory@elsewhere.example"


async def begin(relay: Relay, **given: Any) -> str:
    """Begin a ticket by mail, answer it, and return the answer's Message-ID."""
    await open_mailbox(relay)
    await arrive(relay, letter(**given))
    await answer(relay, 1)
    return str((await all_mails(relay, "out"))[-1]["rfc_id"])


def reply_to(message_id: str, number: int = 2, **given: Any) -> bytes:
    headers = [f"In-Reply-To: {message_id}", *given.pop("headers", [])]
    own = f"<{number}@customer.example>"
    return letter("It burns.", message_id=own, subject="Re: Printer", headers=headers, **given)


async def ticket_state(relay: Relay, number: int = 1) -> str:
    return str((await all_tickets(relay))[number - 1]["state"])


async def test_an_answer_reopens_as_often_as_is_sane_and_later_begins_another(
    relay: Relay, clock: ManualClock
) -> None:
    ours = await begin(relay)
    for number in range(MAX_REOPENED_AN_HOUR + 1):
        async with relay.db.write() as c:
            await resolve(c, relay, ref="1", note="watered", actor="ann")
        await arrive(relay, reply_to(ours, number))
        expected = "open" if number < MAX_REOPENED_AN_HOUR else "resolved"
        assert await ticket_state(relay) == expected
    last = (await said(relay, 1))[-1]
    assert (last["kind"], last["public"]) == ("note", False)
    assert "It burns." in last["body"]
    async with relay.db.write() as c:
        await close(c, relay, ref="1", actor="ann")
    clock.advance(4000)
    made = await arrive(relay, reply_to(ours, 99))
    assert (await mail_row(relay, made))["ticket"] == 2
    assert (await all_tickets(relay))[1]["requester"] == EVE
    async with relay.db.read() as c:
        assert (await c.execute(select(ticket_links))).first() is not None


async def test_a_stranger_with_the_token_is_heard_and_moves_nothing(relay: Relay) -> None:
    ours = await begin(relay)
    async with relay.db.write() as c:
        await resolve(c, relay, ref="1", note="watered", actor="ann")
    made = await arrive(relay, reply_to(ours, sender=MALLORY))
    assert (await mail_row(relay, made))["reason"] == "unverified"
    note = (await said(relay, 1))[-1]
    assert (note["kind"], note["public"]) == ("note", False)
    assert note["body"].startswith(f"WARNING: {MALLORY}")
    assert await ticket_state(relay) == "resolved"
    guessed = letter(message_id="<g@x.example>", sender=MALLORY, subject="Re: [FH-1] hello")
    made = await arrive(relay, guessed)
    assert (await mail_row(relay, made))["ticket"] == 2, "a number is guessed by anybody"
    async with relay.db.write() as c:
        await person_of_address(c, relay, kind="mail", value="eve@home.example")
    tampered = ours.replace(ours[4], "a" if ours[4] != "a" else "b", 1)
    made = await arrive(relay, reply_to(tampered, 7, sender=MALLORY))
    assert (await mail_row(relay, made))["ticket"] == 3


async def test_a_number_and_a_claimed_sender_bring_nobody_along(relay: Relay) -> None:
    ours = await begin(relay)
    copy = [f"Cc: {MALLORY}"]
    made = await arrive(
        relay, letter("ok", message_id="<s@x.example>", subject="[FH-1] x", headers=copy)
    )
    assert (await mail_row(relay, made))["reason"] == "reply"
    note = (await said(relay, 1))[-1]
    assert (note["kind"], note["public"]) == ("note", False)
    assert f"- {MALLORY}" in note["body"]
    await answer(relay, 1, "For Eve alone.")
    assert await recipients(relay, (await all_mails(relay, "out"))[-1]["id"]) == {EVE: "queued"}
    # Who has a mail of it may.
    await arrive(relay, reply_to(ours, headers=copy))
    await answer(relay, 1, "For both.")
    assert set(await recipients(relay, (await all_mails(relay, "out"))[-1]["id"])) == {EVE, MALLORY}


async def test_a_second_address_counts_once_it_is_verified(relay: Relay) -> None:
    ours = await begin(relay)
    home = "eve@home.example"
    async with relay.db.write() as c:
        eve = await person_of_address(c, relay, kind="mail", value=EVE)
        await add_address(c, relay, person=eve.id, kind="mail", value=home, actor="ann")
    made = await arrive(relay, reply_to(ours, sender=home))
    assert (await mail_row(relay, made))["reason"] == "unverified"
    async with relay.db.write() as c:
        await verify_address(c, relay, kind="mail", value=home, actor="ann")
    made = await arrive(relay, reply_to(ours, 3, sender=home))
    assert (await mail_row(relay, made))["reason"] == "reply"
    assert (await said(relay, 1))[-1]["author"] == EVE


async def test_machines_are_kept_never_answered_and_reopen_nothing(relay: Relay) -> None:
    ours = await begin(relay)
    async with relay.db.write() as c:
        await resolve(c, relay, ref="1", note="watered", actor="ann")
    await heed(relay)
    written = len(await all_mails(relay, "out"))
    made = await arrive(relay, reply_to(ours, headers=["Auto-Submitted: auto-replied"]))
    row = await mail_row(relay, made)
    assert (row["reason"], row["auto"], row["ticket"]) == ("auto", "reply", 1)
    vacation = letter(message_id="<v@x.example>", headers=["Auto-Submitted: auto-replied"])
    row = await mail_row(relay, await arrive(relay, vacation))
    assert (row["state"], row["reason"], row["ticket"]) == ("done", "auto-unmatched", None)
    looped = letter(message_id="<l@x.example>", sender=DESK)
    row = await mail_row(relay, await arrive(relay, looped))
    assert row["reason"] == "auto-unmatched"
    news = letter(message_id="<n@x.example>", headers=["List-Id: <news.x.example>"])
    assert (await mail_row(relay, await arrive(relay, news)))["ticket"] == 2
    assert await ticket_state(relay) == "resolved"
    assert len(await all_mails(relay, "out")) == written, "none of them was answered"


async def test_a_bounce_marks_its_mail_and_tells_the_owner(relay: Relay) -> None:
    ours = await begin(relay)
    bounce = (
        f"From: MAILER-DAEMON@mx.example\r\nTo: {DESK}\r\nSubject: Undelivered\r\n"
        "Message-ID: <bounce@mx.example>\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {EVE}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {ours}\r\n\r\n--b--\r\n"
    ).encode()
    made = await arrive(relay, bounce, path="")
    assert (await mail_row(relay, made))["reason"] == "bounce"
    reply = (await all_mails(relay, "out"))[-1]
    assert await recipients(relay, reply["id"]) == {EVE: "bounced"}
    note = (await said(relay, 1))[-1]
    assert (note["author"], note["kind"]) == ("mail", "note")
    assert f"{EVE}: 5.1.1" in note["body"]


async def test_a_monitors_words_join_by_fingerprint_and_recovery_resolves(relay: Relay) -> None:
    await open_mailbox(relay, resolves=True)

    def alarm(number: int, kind: str, state: str, host: str = "db1") -> bytes:
        text = (
            f"***** Nagios *****\r\n\r\nNotification Type: {kind}\r\n\r\nService: Disk\r\n"
            f"Host: {host}\r\nAddress: 192.0.2.7\r\nState: {state}\r\n\r\n"
            f"Date/Time: Sun Nov 22\r\n\r\nAdditional Info:\r\n\r\nDISK {state}\r\n"
        )
        subject = f"** {kind} Service Alert: {host}/Disk is {state} **"
        own = f"<m{number}@mon.example>"
        return letter(text, sender="nagios@mon.example", message_id=own, subject=subject)

    await arrive(relay, alarm(1, "PROBLEM", "CRITICAL"))
    await arrive(relay, alarm(2, "PROBLEM", "CRITICAL"))
    await arrive(relay, alarm(3, "PROBLEM", "CRITICAL", "db2"))
    tickets = await all_tickets(relay)
    assert [(one["created_by"], one["state"]) for one in tickets] == [("monitor", "new")] * 2
    assert len(await said(relay, 1)) == 2
    await arrive(relay, alarm(4, "RECOVERY", "OK"))
    assert [one["state"] for one in await all_tickets(relay)] == ["resolved", "new"]
    row = await mail_row(relay, await arrive(relay, alarm(5, "RECOVERY", "OK")))
    assert (row["reason"], row["ticket"]) == ("monitor-unmatched", None)
    await arrive(relay, alarm(6, "PROBLEM", "CRITICAL"))
    assert len(await all_tickets(relay)) == 3, "what ended is over"
    await heed(relay)
    assert await all_mails(relay, "out") == []


async def test_one_address_begins_so_many_tickets_and_no_more(relay: Relay) -> None:
    await open_mailbox(relay)
    for number in range(MAX_NEW_AN_HOUR + 1):
        await arrive(relay, letter(message_id=f"<{number}@x.example>"))
    assert len(await all_tickets(relay)) == MAX_NEW_AN_HOUR
    last = (await all_mails(relay, "in"))[-1]
    assert (last["state"], last["ticket"]) == ("quarantined", None)
    assert len(await all_mails(relay, "out")) == 3, "and is answered three times"


async def test_files_come_along(relay: Relay) -> None:
    await open_mailbox(relay)
    raw = letter(
        "--b\r\nContent-Type: text/plain\r\n\r\nsee there\r\n--b\r\nContent-Type: image/png\r\n"
        'Content-Disposition: attachment; filename="../../etc/passwd"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n",
        headers=['Content-Type: multipart/mixed; boundary="b"'],
    )
    await arrive(relay, raw)
    (message,) = await said(relay, 1)
    assert message["body"] == "see there"
    async with relay.db.read() as c:
        (file,) = await attachments_of(c, relay.tenant, [message["seq"]])
        assert "/" not in file.name
        assert (await read_blob(c, relay.tenant, file.sha256)).content == b"\0\1\2"


async def test_what_takes_the_relay_with_it_ends_in_quarantine(
    relay: Relay, clock: ManualClock
) -> None:
    await open_mailbox(relay)
    made = await arrive(relay, letter())
    # As a relay leaves it that was killed each time it read this mail.
    async with relay.db.write() as c:
        await c.execute(
            update(mails).where(mails.c.id == made).values(state="kept", tries=MAX_TRIES)
        )
    await relay.service(make_intake).work_off()
    assert (await mail_row(relay, made))["state"] == "kept", "its lease has not run out"
    clock.advance(1000)
    await relay.service(make_intake).work_off()
    row = await mail_row(relay, made)
    assert (row["state"], row["reason"]) == ("quarantined", "new")
    assert len(await all_tickets(relay)) == 1


async def test_the_requester_hears_of_the_end_and_of_what_follows(relay: Relay) -> None:
    await begin(relay, headers=["Content-Language: de"])
    async with relay.db.write() as c:
        await resolve(c, relay, ref="1", note="a secret of the desk", actor="ann")
    async with relay.db.write() as c:
        await reopen_ticket(c, relay, ref="1", reason="too early", actor="ann")
    await heed(relay)
    written = (await all_mails(relay, "out"))[2:]
    assert [one["subject"] for one in written] == ["FH-1 ist wohl gelöst", "FH-1 ist wieder offen"]
    assert not any("secret" in one["letter"] or "too early" in one["letter"] for one in written)
