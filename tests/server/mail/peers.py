"""A real mail server for tests: aiosmtpd takes what goes out, and says what it is told to."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session


class Peer:
    """Takes mail on a free port of this machine; `answers` holds what it says to an address.

    `data_answer` is what it says after DATA; with `hangs_up` it takes the mail and says nothing.
    """

    def __init__(self) -> None:
        self.port = 0
        self.taken: list[Envelope] = []
        self.answers: dict[str, str] = {}
        self.data_answer = "250 2.0.0 taken"
        self.hangs_up = False

    def mails(self) -> list[EmailMessage]:
        """Return what was taken, as the standard library reads it."""
        return [
            email.message_from_bytes(one.original_content or b"", policy=email.policy.default)
            for one in self.taken
        ]

    async def handle_RCPT(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        answer = self.answers.get(address, "250 2.1.5 ok")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.data_answer.startswith("250"):
            self.taken.append(envelope)
        if self.hangs_up:
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]
        return self.data_answer


@asynccontextmanager
async def smtp_peer() -> AsyncIterator[Peer]:
    """Run one while the block lasts."""
    peer = Peer()
    loop = asyncio.get_running_loop()
    open_ones: list[SMTP] = []

    def connected() -> SMTP:
        made = SMTP(peer, loop=loop, hostname="peer.example", enable_SMTPUTF8=True)
        open_ones.append(made)
        return made

    server = await loop.create_server(connected, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for one in open_ones:
            if one.transport is not None:
                one.transport.close()
        await server.wait_closed()
        tasks = [one._handler_coroutine for one in open_ones if one._handler_coroutine]
        await asyncio.gather(*tasks, return_exceptions=True)
