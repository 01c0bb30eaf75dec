"""Mail that goes out: its headers, an outcome for each recipient, at most one double."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import insert, select

from farhand_protocol.errors import FarhandError
from farhand_server.app import Relay
from farhand_server.desk.moves import resolve
from farhand_server.mail.loops import MAX_AUTO_AN_HOUR
from farhand_server.mail.markers import names_mark
from farhand_server.mail.outgoing import hold_mail, queue_mail, send_held
from farhand_server.mail.placing import ACKNOWLEDGE
from farhand_server.mail.quarantine import raw_of, show_mail
from farhand_server.mail.sending import send_mail
from farhand_server.outbox import sending as outbox_sending
from farhand_server.outbox.items import put
from farhand_server.people.settings import set_setting
from farhand_server.store.schema.mail import mails
from tests.server.mail.desk_mail import (
    DESK,
    EVE,
    all_mails,
    answer,
    arrive,
    heed,
    letter,
    open_mailbox,
    recipients,
    said,
    send_all,
    use_smtp,
)
from tests.server.mail.peers import smtp_peer
from tests.server.relays import ManualClock

BOB = "bob@customer.example"


async def test_a_reply_threads_and_each_recipient_has_an_outcome(
    relay: Relay, clock: ManualClock
) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay, title="Help desk")
        headers = ["Thread-Index: AdqX", "Thread-Topic: Printer", f"Cc: {BOB}"]
        headers.append("References: <root@customer.example>")
        await arrive(relay, letter(headers=headers))
        await answer(relay, 1, "**Water** it. <script>alert(1)</script> [x](javascript:alert(1))")
        assert await send_all(relay) == 1, "the acknowledgement, for which there is no server"
        assert peer.taken == []
        await use_smtp(relay, peer.port)
        peer.answers[BOB] = "450 4.2.0 greylisted"
        clock.advance(61)
        await send_all(relay)
        received, reply = sorted(peer.mails(), key=lambda one: "Auto-Submitted" not in one)
        assert (received["Auto-Submitted"], received["X-Auto-Response-Suppress"]) == (
            "auto-replied", "All"
        )  # fmt: skip
        assert {one.mail_from for one in peer.taken} == {"<>", DESK}
        assert (
            reply["From"] == f'"Help desk" <{DESK}>' or str(reply["From"]) == f"Help desk <{DESK}>"
        )
        assert reply["Reply-To"] == f"<{DESK}>" or str(reply["Reply-To"]) == DESK
        assert "Auto-Submitted" not in reply
        assert reply["Subject"] == "Re: [FH-1] Printer"
        assert reply["In-Reply-To"] == "<one@customer.example>"
        assert str(reply["References"]).split()[0] == "<root@customer.example>"
        assert str(reply["References"]).split()[-1] == "<one@customer.example>"
        assert (reply["Thread-Index"], reply["Thread-Topic"]) == ("AdqX", "Printer")
        plain = reply.get_body(("plain",))
        html = reply.get_body(("html",))
        assert plain is not None
        assert "**Water** it." in plain.get_content()
        lines = plain.get_content().splitlines()
        assert lines[0] == "-- please answer above this line --"
        assert names_mark(lines[-1])
        assert html is not None
        assert "<strong>Water</strong>" in html.get_content()
        assert "<script" not in html.get_content()
        assert 'href="javascript' not in html.get_content()

        (_, mail) = await all_mails(relay, "out")
        assert await recipients(relay, mail["id"]) == {EVE: "sent", BOB: "queued"}
        del peer.answers[BOB]
        clock.advance(3600)
        await send_all(relay)
        same = [one for one in peer.taken if mail["rfc_id"].encode() in (one.content or b"")]
        assert [one.rcpt_tos for one in same] == [[EVE], [BOB]]
        assert (await all_mails(relay, "out"))[1]["state"] == "sent"


async def test_who_never_gets_it_is_noted_on_the_ticket(relay: Relay, clock: ManualClock) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        await arrive(relay, letter(headers=[f"Cc: {BOB}"]))
        await answer(relay, 1)
        peer.answers[BOB] = "550 5.1.1 who is that?"
        clock.advance(20)
        await send_all(relay)
        mail = (await all_mails(relay, "out"))[1]
        assert (mail["state"], await recipients(relay, mail["id"])) == (
            "partly", {EVE: "sent", BOB: "failed"}
        )  # fmt: skip
        note = (await said(relay, 1))[-1]
        assert (note["kind"], note["public"]) == ("note", False)
        assert f"{BOB}: 550 5.1.1 who is that?" in note["body"]
        await send_all(relay)
        assert len(peer.taken) == 2, "the acknowledgement and the reply, once each"


async def test_a_mail_without_an_answer_is_sent_once_more_and_no_third_time(
    relay: Relay, clock: ManualClock
) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        async with relay.db.write() as c:
            await queue_mail(c, relay, to=[EVE], subject="x", text="y", auto=True, key="k")
            assert await queue_mail(c, relay, to=[EVE], subject="x", text="y", auto=True, key="k")
        peer.hangs_up = True
        for _ in range(4):
            await send_all(relay)
            clock.advance(3601)
        assert [mail["Message-ID"] for mail in peer.mails()] == [peer.mails()[0]["Message-ID"]] * 2
        (mail,) = await all_mails(relay, "out")
        assert mail["state"] == "failed"


async def test_a_mail_is_held_in_time_and_let_go(relay: Relay, clock: ManualClock) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        await arrive(relay, letter())
        await answer(relay, 1)
        await send_all(relay)
        mail = (await all_mails(relay, "out"))[1]["id"]
        assert len(peer.taken) == 1, "what a person wrote waits"
        async with relay.db.write() as c:
            await hold_mail(c, relay, mail=mail, actor="ann")
        clock.advance(20)
        await send_all(relay)
        assert len(peer.taken) == 1
        async with relay.db.write() as c:
            await send_held(c, relay, mail=mail, actor="ann")
        await send_all(relay)
        assert len(peer.taken) == 2
        with pytest.raises(FarhandError) as error:
            async with relay.db.write() as c:
                await hold_mail(c, relay, mail=mail, actor="ann")
        assert error.value.code == "mail-state"


async def test_a_mail_that_is_held_and_let_go_twice_goes_once(
    relay: Relay, clock: ManualClock
) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        async with relay.db.write() as c:
            mail = await queue_mail(c, relay, to=[EVE], subject="x", text="y")
        assert mail is not None
        for _ in range(2):
            async with relay.db.write() as c:
                await hold_mail(c, relay, mail=mail, actor="ann")
            async with relay.db.write() as c:
                await send_held(c, relay, mail=mail, actor="ann")
        clock.advance(20)
        taken = await outbox_sending._claim(relay, "mail", 4)
        assert len(taken) == 3
        box = relay.service(outbox_sending.make_outbox)
        await asyncio.gather(*(box.deliver(one, send_mail) for one in taken))
        assert len(peer.taken) == 1


async def test_what_is_said_to_a_customer_is_not_crowded_out_by_receipts(relay: Relay) -> None:
    await open_mailbox(relay)
    for number in range(MAX_AUTO_AN_HOUR + 1):  # by anybody in her name
        await arrive(relay, letter(message_id=f"<{number}@x.example>"))
    receipts = len(await all_mails(relay, "out"))
    assert receipts == MAX_AUTO_AN_HOUR
    async with relay.db.write() as c:
        await resolve(c, relay, ref="1", note="watered", actor="ann")
    await heed(relay)
    assert (await all_mails(relay, "out"))[-1]["ticket"] == 1
    assert len(await all_mails(relay, "out")) == receipts + 1


async def test_words_that_are_too_many_for_a_day_are_noted_as_unsent(relay: Relay) -> None:
    await open_mailbox(relay)
    await arrive(relay, letter())
    for number in range(MAX_AUTO_AN_HOUR + 1):
        await answer(relay, 1, f"Thank you, {number}.", actor="rule:thanks")
    note = (await said(relay, 1))[-1]
    assert (note["kind"], note["public"]) == ("note", False)
    assert f"{EVE}: not sent" in note["body"]


async def test_nothing_automatic_goes_to_the_machine_that_began_a_ticket(relay: Relay) -> None:
    await open_mailbox(relay)
    machine = letter(sender="noreply@shop.example", headers=["Auto-Submitted: auto-generated"])
    await arrive(relay, machine)
    of_list = ["List-Id: <x.lists.example>", "Precedence: list"]
    await arrive(relay, letter(message_id="<2@x.example>", sender="o@x.example", headers=of_list))
    for number in (1, 2):
        await answer(relay, number, "Hello", actor="rule:greet")
        async with relay.db.write() as c:
            await resolve(c, relay, ref=str(number), note="nothing", actor="ann")
    await heed(relay)
    assert await all_mails(relay, "out") == []
    await answer(relay, 1, "A person may.")
    assert len(await all_mails(relay, "out")) == 1


async def test_a_strangers_mail_is_in_no_header_of_ours(relay: Relay, clock: ManualClock) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        await arrive(relay, letter(headers=["Thread-Topic: Printer"]))
        await answer(relay, 1)
        ours = (await all_mails(relay, "out"))[-1]["rfc_id"]
        headers = [f"In-Reply-To: {ours}", "Thread-Topic: You have won", "Thread-Index: EVIL"]
        headers.append("References: <poison@evil.example>")
        evil = letter(sender="m@evil.example", message_id="<evil@evil.example>", headers=headers)
        await arrive(relay, evil)
        await answer(relay, 1, "second answer")
        clock.advance(20)
        await send_all(relay)
        (last,) = [one for one in peer.mails() if "second answer" in one.as_string()]
        assert (last["In-Reply-To"], last["Thread-Topic"]) == ("<one@customer.example>", "Printer")
        assert "evil.example" not in last.as_string()


async def test_a_long_thread_answers_its_last_mail(relay: Relay, clock: ManualClock) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        await arrive(relay, letter())
        async with relay.db.write() as c:
            row = dict(
                (await c.execute(select(mails).order_by(mails.c.id).limit(1))).mappings().one()
            )
            del row["id"]
            for number in range(250):
                own = {"rfc_id": f"<{number}@x.example>", "dedupe": f"{number}", "reason": "reply"}
                await c.execute(insert(mails).values(row | own))
        await answer(relay, 1)
        clock.advance(20)
        await send_all(relay)
        assert peer.mails()[-1]["In-Reply-To"] == "<249@x.example>"


async def test_a_surveys_link_is_for_the_customer_alone(relay: Relay, clock: ManualClock) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        async with relay.db.write() as c:
            mail = await queue_mail(c, relay, to=[EVE], subject="x", text="/csat/T", key="csat:1")
        assert mail is not None
        # Let go anew, and its item forgotten: it is as much hers as before.
        async with relay.db.write() as c:
            await hold_mail(c, relay, mail=mail, actor="ann")
        async with relay.db.write() as c:
            await send_held(c, relay, mail=mail, actor="ann")
        clock.advance(20)
        await send_all(relay)
        assert "/csat/T" in peer.mails()[0].as_string()
        async with relay.db.read() as c:
            assert (await show_mail(c, relay.tenant, mail)).beginning == ""
            with pytest.raises(FarhandError) as error:
                await raw_of(c, relay.tenant, mail)
        assert error.value.code == "not-found"


async def test_others_put_letters_into_the_outbox_and_nobody_is_written_to_without_end(
    relay: Relay, clock: ManualClock
) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        for number in range(5):
            async with relay.db.write() as c:
                payload = {"to": [EVE, DESK, "nonsense"], "cc": [], "subject": f"{number}",
                           "text": "t", "auto": True, "language": "en"}  # fmt: skip
                await put(c, relay, kind="mail", payload=payload)
            await send_all(relay)
        assert [mail["Subject"] for mail in peer.mails()] == ["0", "1", "2"]
        assert {address for one in peer.taken for address in one.rcpt_tos} == {EVE}


async def test_what_a_rule_wrote_is_automatic_mail(relay: Relay) -> None:
    async with smtp_peer() as peer:
        await open_mailbox(relay)
        await use_smtp(relay, peer.port)
        async with relay.db.write() as c:
            await set_setting(c, relay, ACKNOWLEDGE, value=False, actor="ada")
        await arrive(relay, letter())
        for number in range(MAX_AUTO_AN_HOUR + 1):
            await answer(relay, 1, f"Thank you, {number}.", actor="rule:thanks")
        out = await all_mails(relay, "out")
        # No more than one address is sent of machines; and nobody is there to take one back.
        assert [(one["auto"], one["envelope_from"]) for one in out] == [
            ("auto", "")
        ] * MAX_AUTO_AN_HOUR
        assert await send_all(relay) == MAX_AUTO_AN_HOUR
        assert {str(one["Auto-Submitted"]) for one in peer.mails()} == {"auto-replied"}
