"""The whole corpus comes in: over LMTP onto SQLite, over IMAP onto PostgreSQL.

None is lost, none is answered twice, none makes anything fail, and each goes where it must.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
from typing import Any

from farhand_server.app import Relay
from farhand_server.desk.merging import merge_ticket
from farhand_server.desk.tickets import get_ticket
from farhand_server.mail.intake import make_intake
from farhand_server.mail.keeping import marks_of
from farhand_server.mail.listener import make_listener
from farhand_server.mail.mailboxes import ServerTerms
from farhand_server.mail.poller import make_poller
from farhand_server.mail.sealing import mail_keys
from tests.server.mail.corpus.messages import messages
from tests.server.mail.corpus.world import ANNA, ANNA_FIRST, BOB, CARLA, Case, World
from tests.server.mail.desk_mail import all_mails, all_tickets, arrive, letter, open_mailbox
from tests.server.mail.dovecot import PASSWORD, dovecot_server
from tests.server.relays import ManualClock

PATIENCE_S = 60
# Enough that no bound of an hour is met.
APART_S = 300.0


async def make_world(relay: Relay) -> World:
    """Make the tickets that the corpus is about, by mail."""
    mailbox = World().mailbox
    await open_mailbox(relay, address=mailbox)
    await arrive(relay, letter(sender=ANNA, message_id="<older@customer.example>"))
    await arrive(relay, letter(sender=ANNA, message_id=ANNA_FIRST, headers=[f"Cc: {BOB}"]))
    await arrive(relay, letter(sender=CARLA, message_id="<carla@other.example>"))
    async with relay.db.write() as c:
        source = await get_ticket(c, relay.tenant, "1")
        target = await get_ticket(c, relay.tenant, "2")
        await merge_ticket(c, relay, source=source, target=target, actor="ann")
    key = relay.service(mail_keys).ids
    return World(key=key, mailbox=mailbox, printer=2, merged=1, other=3)


async def over_lmtp(relay: Relay, clock: ManualClock, world: World, cases: list[Case]) -> None:
    listener = relay.service(make_listener)
    await listener.start("lmtp://127.0.0.1:0")
    try:
        peer = await asyncio.to_thread(smtplib.LMTP, "127.0.0.1", listener.port, timeout=PATIENCE_S)
        with contextlib.closing(peer):
            for case in cases:
                clock.advance(APART_S)
                sender = "" if case.expected.auto == "bounce" else "envelope@customer.example"
                await asyncio.to_thread(peer.sendmail, sender, [world.mailbox], case.raw)
                await relay.service(make_intake).work_off()
    finally:
        await listener.stop()


async def over_imap(relay: Relay, clock: ManualClock, world: World, cases: list[Case]) -> None:
    with dovecot_server() as dovecot:
        # No IMAP server holds an empty mail, nor a NUL (RFC 3501 s9).
        mails = [case.raw.replace(b"\0", b"") or b"\r\n" for case in cases]
        await asyncio.to_thread(dovecot.deliver, "desk", *mails)
        server = ServerTerms(
            host="localhost", port=dovecot.port, user="desk", password=PASSWORD, ca=dovecot.ca
        )
        await open_mailbox(relay, address=world.mailbox, imap=server)
        while True:
            clock.advance(1000)
            if not await relay.service(make_poller).poll_due():
                break
        assert all(b"\\Seen" in one for one in await asyncio.to_thread(dovecot.flags, "desk"))
        while await relay.service(make_intake).understand_next():
            clock.advance(APART_S)


def problem(case: Case, row: dict[str, Any] | None, tickets: dict[int, dict[str, Any]]) -> str:
    """Return what is wrong with what became of a message."""
    expected = case.expected
    if row is None:
        return "lost"
    if expected.outcome == "quarantine":
        if expected.quarantine == "no-sender" and row["envelope_from"]:
            return ""  # the envelope said who
        return "" if row["state"] == "quarantined" else f"is {row['state']}"
    if row["state"] != "done":
        return f"is {row['state']}: {row['reason']}"
    number, reason = row["ticket"], row["reason"]
    if expected.monitoring is not None:
        fits = reason in ("new", "monitor", "monitor-unmatched")
    elif expected.outcome == "new":
        is_answer = expected.auto in ("reply", "loop")
        fits = (
            reason == ("auto-unmatched" if is_answer else "new") and (number is None) == is_answer
        )
    elif expected.outcome in ("reply", "unverified"):
        kind = "auto" if expected.auto != "person" else expected.outcome
        fits = (number, reason) == (expected.ticket, kind)
    elif expected.outcome == "loop":
        fits = reason in ("auto", "auto-unmatched")
    else:
        fits = reason == "bounce" and number == expected.ticket
    return "" if fits else f"went to {number} as {reason}"


async def test_the_corpus_comes_in_whole(relay: Relay, clock: ManualClock) -> None:
    world = await make_world(relay)
    is_lmtp = relay.db.dialect == "sqlite"
    cases = list(messages(world, big=False))
    assert len(cases) >= 300
    # Its ids are those of other messages, which nobody knows yet.
    cases.sort(key=lambda case: case.name != "thread-unknown-ids")
    # Over IMAP some of each kind: what differs is how they come, not what becomes of them.
    cases = cases if is_lmtp else cases[::4]
    await (over_lmtp if is_lmtp else over_imap)(relay, clock, world, cases)

    rows = {(one["dedupe"], one["body_sha256"]): one for one in await all_mails(relay, "in")}
    tickets = {one["number"]: one for one in await all_tickets(relay)}
    wrong = []
    for case in cases:
        marks = marks_of(case.raw if is_lmtp else case.raw.replace(b"\0", b""))
        row = rows.get((marks.dedupe, marks.body_sha256))
        if why := problem(case, row, tickets):
            wrong.append(f"{case.name}: {why}")
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)

    written = await all_mails(relay, "out")
    answered = [one["ticket"] for one in written]
    assert len(answered) == len(set(answered)), "none is answered twice"
    machines = {one["ticket"] for one in rows.values() if one["auto"] and one["reason"] == "new"}
    assert machines.isdisjoint(answered), "no machine is answered"
