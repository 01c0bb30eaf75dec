"""Mail that goes out: its headers, an outcome for each recipient, at most one double."""

from __future__ import annotations

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.app import Relay
from farhand_server.mail.loops import MAX_AUTO_AN_HOUR
from farhand_server.mail.markers import names_mark
from farhand_server.mail.outgoing import hold_mail, queue_mail, send_held
from farhand_server.mail.placing import ACKNOWLEDGE
from farhand_server.outbox.items import put
from farhand_server.people.settings import set_setting
from tests.server.mail.desk_mail import (
    DESK,
    EVE,
    all_mails,
    answer,
    arrive,
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
