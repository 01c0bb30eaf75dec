"""Pairing over a one-time code, from the session process's side: the nameplate, the code, the mail.

    shown     nothing came in time           code-expired
    shown     the link is lost               `Unlinked`: the nameplate is gone, show another code
    claimed   pake, confirm, request         paired: a console proved that it knows the code
    claimed   a wrong or malformed step      burned, with its stable code; the console hears it
    claimed   the link is lost, or silence   link-lost, pairing-malformed

What is in the blobs is farhand_agent.session.exchange's; whether the grant opens anything is
farhand_agent.session.grant's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from farhand_agent.errors import LinkLost
from farhand_agent.journal_thread import JournalThread
from farhand_agent.session.control import Control
from farhand_agent.session.device import Device
from farhand_agent.session.events import CodeShown, Event
from farhand_agent.session.exchange import CodeExchange
from farhand_agent.session.reports import REPORT_S
from farhand_protocol.codes import CODE_RANDOM_BYTES, format_code, secret_from_random
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.grants import DeviceOffer
from farhand_protocol.identity import is_session_id
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import (
    AllocateNameplate,
    MailboxBlob,
    MailboxOpen,
    MailboxReply,
    Nack,
    Nameplate,
)

__all__ = ["CodeDesk", "Unlinked"]

_log = logging.getLogger(__name__)

MAX_CODE_S: Final = 600
PAIRING_S: Final = 60.0
_MAIL_QUEUE: Final = 32


class Unlinked(Exception):
    """The link was lost under a code that nobody has claimed; a new one is shown."""


class CodeDesk:
    """Shows codes and holds the pairing that one of them leads to.

    Args:
        device: this device.
        journal: for its clock.
        control: the link.
        emit: tells the person.
    """

    def __init__(
        self,
        device: Device,
        journal: JournalThread,
        control: Control,
        emit: Callable[[Event], None],
    ) -> None:
        self._device = device
        self._journal = journal
        self._control = control
        self._emit = emit
        self._mail: asyncio.Queue[MailboxOpen | MailboxBlob | None] = asyncio.Queue(_MAIL_QUEUE)

    def post(self, message: MailboxOpen | MailboxBlob | None) -> None:
        """Take mail from the relay; None says that the link was lost."""
        with suppress(asyncio.QueueFull):
            # More than a pairing can need: whoever sends that much only loses its own session.
            self._mail.put_nowait(message)

    async def pair(
        self, offered: tuple[str, ...], minutes: int
    ) -> tuple[CodeExchange, MailboxOpen]:
        """Show a code and wait until a console has proved itself and sent its request.

        Args:
            offered: the scopes on the table.
            minutes: at most.

        Raises:
            Unlinked: show another code.
            FarhandError: `code-expired`, `code-wrong`, `pairing-malformed`, `link-lost`.
        """
        while not self._mail.empty():
            self._mail.get_nowait()
        try:
            answer = await self._control.request(lambda seq: AllocateNameplate(seq=seq))
        except LinkLost as error:
            raise Unlinked from error
        if isinstance(answer, Nack):
            raise FarhandError(answer.code[:60], answer.message[:200])
        if not isinstance(answer, Nameplate):
            raise RemoteError("relay-malformed", "the relay gave no nameplate")
        secret = secret_from_random(os.urandom(CODE_RANDOM_BYTES))
        code = format_code(answer.nameplate, secret)
        opened: MailboxOpen | None = None

        def offer() -> DeviceOffer:
            assert opened is not None
            return self._offer(opened.session, offered, minutes)

        exchange = await asyncio.to_thread(
            CodeExchange, self._device.address.url, answer.nameplate, secret, offer
        )
        valid_s = max(1, min(answer.expires_in_s, MAX_CODE_S))
        now = await self._journal.do(lambda journal: journal.now())
        self._emit(
            CodeShown(
                code=code,
                expires_at=format_instant(
                    (now + timedelta(seconds=valid_s)).replace(microsecond=0)
                ),
                expires_in_s=valid_s,
                url=self._device.address.url,
            )
        )
        try:
            async with asyncio.timeout(valid_s):
                opened = await self._claimed(answer.nameplate)
        except TimeoutError as error:
            raise FarhandError("code-expired", "nobody used the code in time") from error
        try:
            async with asyncio.timeout(PAIRING_S):
                await self._exchange(exchange, opened.session)
        except TimeoutError as error:
            raise RemoteError("pairing-malformed", "the pairing was not finished") from error
        return exchange, opened

    async def _claimed(self, nameplate: str) -> MailboxOpen:
        while True:
            message = await self._mail.get()
            if message is None:
                raise Unlinked
            if (
                isinstance(message, MailboxOpen)
                and message.nameplate == nameplate
                and is_session_id(message.session)
            ):
                return message

    async def _exchange(self, exchange: CodeExchange, session: str) -> None:
        while exchange.grant is None:
            message = await self._mail.get()
            if message is None:
                raise FarhandError("link-lost", "the link to the relay was lost while pairing")
            if not isinstance(message, MailboxBlob) or message.session != session:
                continue
            try:
                body = await asyncio.to_thread(exchange.take, message.phase, message.body)
            except FarhandError as error:
                await self.reply(session, message.phase, b"", error.code)
                raise
            if body is not None:
                await self.reply(session, message.phase, body)

    def _offer(self, session: str, scopes: tuple[str, ...], minutes: int) -> DeviceOffer:
        device = self._device
        trust = device.trust()
        return DeviceOffer(
            session=session,
            device=device.id,
            device_key=device.signer.public_key,
            host_name=device.host_name,
            group=device.group(trust),
            tenant=device.tenant,
            guest=device.guest,
            scopes=list(scopes),
            minutes_max=minutes,
            targets_version=trust.targets_version if trust else 0,
            at=format_instant(datetime.now(UTC).replace(microsecond=0)),
        )

    async def reply(self, session: str, phase: str, body: bytes, error: str = "") -> None:
        """Answer a blob; a link that is lost by then has lost the pairing as well."""
        reply = MailboxReply(session=session, phase=phase, body=body, error=error)
        try:
            await self._control.send(reply, timeout_s=REPORT_S)
        except FarhandError as lost:
            _log.info("an answer could not be sent: %s", lost)
