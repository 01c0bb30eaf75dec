"""Mailboxes over IMAP, read from a real Dovecot: each mail once, marked only when it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from farhand_protocol.errors import FarhandError
from farhand_server.app import Relay
from farhand_server.mail import imap
from farhand_server.mail import poller as polling
from farhand_server.mail.imap import Folder, Found
from farhand_server.mail.intake import make_intake
from farhand_server.mail.mailboxes import ServerTerms, get_mailbox
from farhand_server.mail.poller import MAX_STUCK, make_poller
from farhand_server.mail.trying import try_servers
from farhand_server.store.schema.mail import mailboxes
from tests.server.mail.desk_mail import all_mails, all_tickets, letter, open_mailbox
from tests.server.mail.dovecot import PASSWORD, Dovecot, dovecot_server
from tests.server.relays import ManualClock


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with dovecot_server() as server:
        yield server


def terms(dovecot: Dovecot, user: str, **more: Any) -> ServerTerms:
    return ServerTerms(
        host="localhost", port=dovecot.port, user=user, password=PASSWORD, ca=dovecot.ca, **more
    )


async def poll(relay: Relay, clock: ManualClock) -> int:
    """Look once more, however long that takes to be due."""
    clock.advance(1000)
    return await relay.service(make_poller).poll_due()


async def test_each_mail_is_taken_once_and_marked_when_it_is_kept(
    relay: Relay, clock: ManualClock, dovecot: Dovecot
) -> None:
    user = f"once-{relay.db.dialect}"
    mails = [letter(message_id=f"<{n}@x.example>", subject=f"No {n}") for n in range(3)]
    await asyncio.to_thread(dovecot.deliver, user, *mails)
    await open_mailbox(relay, imap=terms(dovecot, user))
    assert [(one.server, one.ok) for one in await try_servers(relay)] == [("imap:desk", True)]
    assert await poll(relay, clock) == 3
    await relay.service(make_intake).work_off()
    assert [one["title"] for one in await all_tickets(relay)] == ["No 0", "No 1", "No 2"]
    flags = await asyncio.to_thread(dovecot.flags, user)
    assert all(b"\\Seen" in one for one in flags)
    assert len(flags) == 3
    assert await poll(relay, clock) == 0
    await asyncio.to_thread(dovecot.deliver, user, letter(message_id="<9@x.example>"), mails[0])
    assert await poll(relay, clock) == 1, "one is new, the other came before"
    # As after a server was restored: its UIDs mean nothing any more.
    async with relay.db.write() as c:
        await c.execute(update(mailboxes).values(uid_validity=1, uid=5000))
    await asyncio.to_thread(dovecot.deliver, user, letter(message_id="<10@x.example>"))
    assert await poll(relay, clock) == 1
    assert len(await all_mails(relay, "in")) == 5


async def test_an_old_archive_becomes_no_tickets(
    relay: Relay, clock: ManualClock, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"archive-{relay.db.dialect}"
    mails = [letter(message_id=f"<{n}@x.example>", sender=f"p{n}@c.example") for n in range(10)]
    await asyncio.to_thread(dovecot.deliver, user, *mails)
    await asyncio.to_thread(dovecot.see, user, "1,3:5,7,9:10", seen=True)
    monkeypatch.setattr(imap, "MAX_AT_ONCE", 2)
    monkeypatch.setattr(polling, "MAX_AT_ONCE", 2)
    await open_mailbox(relay, imap=terms(dovecot, user))
    assert await poll(relay, clock) == 2
    # Where more was unread than one look takes, what lies between is an archive all the same.
    assert await poll(relay, clock) == 1
    assert await poll(relay, clock) == 0
    took = [one["rfc_id"] for one in await all_mails(relay, "in")]
    assert took == ["<1@x.example>", "<5@x.example>", "<7@x.example>"]
    # What comes now is taken, seen or not; what somebody marks as unread in the archive stays.
    await asyncio.to_thread(dovecot.deliver, user, letter(message_id="<new@x.example>"))
    await asyncio.to_thread(dovecot.see, user, "11", seen=True)
    await asyncio.to_thread(dovecot.see, user, "1", seen=False)
    assert await poll(relay, clock) == 1
    assert await poll(relay, clock) == 0
    assert (await all_mails(relay, "in"))[-1]["rfc_id"] == "<new@x.example>"


async def test_mails_that_cannot_be_moved_are_kept_and_hold_nobody_up(
    relay: Relay, clock: ManualClock, dovecot: Dovecot
) -> None:
    user = f"unmoved-{relay.db.dialect}"
    mails = [letter(message_id=f"<{n}@x.example>") for n in range(3)]
    await asyncio.to_thread(dovecot.deliver, user, *mails)
    await open_mailbox(relay, imap=terms(dovecot, user, moved_to="a//..//b"))
    for _ in range(MAX_STUCK):
        await poll(relay, clock)
    assert len(await all_mails(relay, "in")) == 3
    async with relay.db.read() as c:
        desk = await get_mailbox(c, relay.tenant, "desk")
    assert "cannot be marked" in desk.poll_error
    assert await poll(relay, clock) == 0, "nothing is left to take"
    await asyncio.to_thread(dovecot.deliver, user, letter(message_id="<4@x.example>"))
    await poll(relay, clock)
    assert len(await all_mails(relay, "in")) == 4


async def test_a_mail_is_not_marked_where_the_store_does_not_take_it(
    relay: Relay, clock: ManualClock, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"full-{relay.db.dialect}"
    await asyncio.to_thread(dovecot.deliver, user, letter(), letter(message_id="<2@x.example>"))
    await open_mailbox(relay, imap=terms(dovecot, user, moved_to="Done"))

    async def full(*_: object, **__: object) -> None:
        raise FarhandError("store-full", "the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(polling, "keep_mail", full)
        with pytest.raises(FarhandError, match="full"):
            await poll(relay, clock)
    assert not any(b"\\Seen" in one for one in await asyncio.to_thread(dovecot.flags, user))
    assert await poll(relay, clock) == 2
    assert len(await asyncio.to_thread(dovecot.flags, user, "Done")) == 2
    assert await asyncio.to_thread(dovecot.flags, user) == []


async def test_what_cannot_be_taken_is_listed_and_holds_nobody_up(
    relay: Relay, clock: ManualClock, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"large-{relay.db.dialect}"
    large = letter("x" * 70 + "\r\n" * 40_000, message_id="<large@x.example>")
    await asyncio.to_thread(dovecot.deliver, user, large, letter())
    await open_mailbox(relay, imap=terms(dovecot, user))
    monkeypatch.setattr(polling, "MAX_TAKEN_BYTES", 66_000)
    fetch = Folder.fetch

    def fails_at_two(self: Folder, uid: int, *, limit: int) -> Found | None:
        if uid == 2:
            raise FarhandError("mail-unreachable", "the connection broke")
        return fetch(self, uid, limit=limit)

    monkeypatch.setattr(Folder, "fetch", fails_at_two)
    for _ in range(MAX_STUCK):
        assert await poll(relay, clock) == 0
        async with relay.db.read() as c:
            assert "broke" in (await get_mailbox(c, relay.tenant, "desk")).poll_error
    await asyncio.to_thread(dovecot.deliver, user, letter(message_id="<3@x.example>"))
    assert await poll(relay, clock) == 1
    states = [(one["state"], one["rfc_id"]) for one in await all_mails(relay, "in")]
    assert states == [
        ("quarantined", "<large@x.example>"), ("quarantined", ""), ("kept", "<3@x.example>")
    ]  # fmt: skip


async def test_a_wrong_password_is_said_and_nothing_is_sent_without_trust(
    relay: Relay, clock: ManualClock, dovecot: Dovecot
) -> None:
    wrong = ServerTerms(
        host="localhost", port=dovecot.port, user="x", password="hunter2", ca=dovecot.ca
    )
    await open_mailbox(relay, imap=wrong)
    await open_mailbox(
        relay, "other", "other@example.com",
        imap=ServerTerms(host="localhost", port=dovecot.port, user="x", password=PASSWORD),
    )  # fmt: skip
    assert await poll(relay, clock) == 0
    async with relay.db.read() as c:
        desk = await get_mailbox(c, relay.tenant, "desk")
        other = await get_mailbox(c, relay.tenant, "other")
    assert "refused the sign-in" in desk.poll_error
    assert "hunter2" not in desk.poll_error
    assert "certificate" in other.poll_error.lower()
