"""The listener for LMTP and SMTP, spoken to by the standard library's own programs."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.app import Relay
from farhand_server.mail.intake import make_intake
from farhand_server.mail.listener import MAX_CONNECTIONS, Listener, make_listener, parse_mail_listen
from tests.server.mail.desk_mail import DESK, EVE, all_mails, all_tickets, letter, open_mailbox
from tests.server.relays import RelayParts

PATIENCE_S = 60
T = TypeVar("T")


@asynccontextmanager
async def listening(relay: Relay, protocol: str = "lmtp") -> AsyncIterator[Listener]:
    listener = relay.service(make_listener)
    await listener.start(f"{protocol}://127.0.0.1:0")
    try:
        yield listener
    finally:
        await listener.stop()


async def speak(
    port: int, what: Callable[[smtplib.SMTP], T], kind: type[smtplib.SMTP] = smtplib.LMTP
) -> T:
    """Say something as a mail server does, in a thread."""

    def session() -> T:
        with kind("127.0.0.1", port, timeout=PATIENCE_S) as client:
            return what(client)

    return await asyncio.to_thread(session)


async def test_lmtp_keeps_before_it_says_so_and_answers_for_each_recipient(relay: Relay) -> None:
    await open_mailbox(relay)
    await open_mailbox(relay, "sales", "sales@example.com")
    raw = letter("..a line that begins with dots\r\n.\u00e4 and bytes")
    async with listening(relay) as listener:

        def session(peer: smtplib.SMTP) -> list[int]:
            peer.ehlo()
            said = [peer.mail(EVE)[0]]
            for address in (DESK, "nobody@example.com", "Sales+eu@Example.com"):
                said.append(peer.rcpt(address)[0])
            # Over LMTP each recipient that was taken has an answer of its own.
            return [*said, peer.data(raw)[0], peer.getreply()[0]]

        assert await speak(listener.port, session) == [250, 250, 550, 250, 250, 250]
        kept = await all_mails(relay, "in")
        assert [(one["mailbox"], one["state"], one["envelope_from"]) for one in kept] == [
            ("desk", "kept", EVE), ("sales", "kept", EVE)
        ]  # fmt: skip
        await speak(listener.port, lambda peer: peer.sendmail(EVE, [DESK], raw))
        await speak(
            listener.port, lambda peer: peer.sendmail("", [DESK], letter(message_id="<b@x>"))
        )
        assert len(await all_mails(relay, "in")) == 3, "one came again"
    await relay.service(make_intake).work_off()
    assert len(await all_tickets(relay)) == 2, "two mailboxes are one ticket"
    assert len(await all_mails(relay, "out")) == 1, "whoever has no address is not answered"


async def test_smtp_refuses_what_is_too_large_and_answers_once(relay: Relay) -> None:
    await open_mailbox(relay)
    async with listening(relay, "smtp") as listener:

        def session(peer: smtplib.SMTP) -> tuple[int, int]:
            peer.ehlo()
            size = int(peer.esmtp_features["size"])
            too_much, _ = peer.docmd("MAIL", f"FROM:<{EVE}> SIZE={size + 1}")
            peer.sendmail(EVE, [DESK], letter())
            return size, too_much

        size, answer = await speak(listener.port, session, smtplib.SMTP)
        assert (size, answer) == (40 * 1024 * 1024, 552)
    (one,) = await all_mails(relay, "in")
    assert one["source"] == "smtp"


async def test_a_file_of_thirty_megabytes_comes_in(relay: Relay, relay_parts: RelayParts) -> None:
    if relay_parts.name != "sqlite":
        pytest.skip("once is enough: the other store is as slow with it as this one")
    await open_mailbox(relay)
    lines = base64.encodebytes(bytes(30_000_000)).decode()
    headers = ["Content-Type: video/mp4", "Content-Transfer-Encoding: base64"]
    raw = letter(lines.replace("\n", "\r\n"), headers=headers)
    async with listening(relay) as listener:
        await speak(listener.port, lambda peer: peer.sendmail(EVE, [DESK], raw))
    await relay.service(make_intake).work_off()
    (row,) = await all_mails(relay, "in")
    assert (row["state"], row["reason"]) == ("done", "new")


async def test_without_the_store_a_mail_is_put_off(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_mailbox(relay)
    async with listening(relay) as listener:

        async def broken(*_: object) -> str:
            raise FarhandError("store-full", "the disk is full")

        monkeypatch.setattr(listener, "keep", broken)
        with pytest.raises(smtplib.SMTPDataError) as error:
            await speak(listener.port, lambda peer: peer.sendmail(EVE, [DESK], letter()))
        assert error.value.smtp_code == 451
        monkeypatch.undo()
        await speak(listener.port, lambda peer: peer.sendmail(EVE, [DESK], letter()))
    assert len(await all_mails(relay, "in")) == 1


async def test_one_peer_too_many_is_told_so(relay: Relay) -> None:
    async with listening(relay) as listener:

        def crowd() -> bytes:
            peers = [
                socket.create_connection(("127.0.0.1", listener.port), PATIENCE_S)
                for _ in range(MAX_CONNECTIONS)
            ]
            try:
                assert all(one.recv(100).startswith(b"220 ") for one in peers)
                with socket.create_connection(("127.0.0.1", listener.port), PATIENCE_S) as last:
                    return last.recv(100)
            finally:
                for one in peers:
                    one.close()

        assert (await asyncio.to_thread(crowd)).startswith(b"421 ")


@pytest.mark.parametrize("text", ["", "127.0.0.1:24", "http://127.0.0.1:24", "lmtp://nowhere"])
def test_where_to_listen_is_written_in_one_way(text: str) -> None:
    with pytest.raises(UsageError):
        parse_mail_listen(text)
