"""Where two sides meet over a code: nameplates, the mailbox, and pipes for the session after it.

The relay learns the nameplate and never the secret, carries sealed blobs, and burns the code at the
first step that is wrong: one guess per code that is shown.

    phase      who has spoken                               next
    pake       console's message in, device's out           confirm
    confirm    console's proof in, device's and offer out   request
    request    sealed grant in, sealed decision out         done
    any        other phase, second blob, error, silence     burned

Wrong codes are counted per technician, address and organisation, burned ones per device, and all of
it is audited.  The phases are kept where the session's control link is; the console may be at any
other node.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.identity import make_id
from farhand_server.accounts.authorisation import Actor
from farhand_server.errors import RateLimited, not_permitted
from farhand_server.gateway import nameplates
from farhand_server.gateway.limits import GatewayLimits, Windows
from farhand_server.gateway.link import Link
from farhand_server.gateway.pipes import Pipes
from farhand_server.relay import Relay
from farhand_server.sessions import control, rows
from farhand_server.sessions.service import Sessions

__all__ = ["PHASES", "Pairing", "Phase", "Rendezvous", "pipe_url"]

logger = logging.getLogger(__name__)

Phase = Literal["pake", "confirm", "request"]
PHASES: tuple[Phase, ...] = ("pake", "confirm", "request")

_REQUEST_S = 10.0
_SLACK_S = 5.0
_ALLOCATIONS = 30
# What a wrong guess looks like; other errors are the device's own or the network's.
_WRONG = frozenset({"code-wrong", "pairing-malformed"})
# What is said when the device itself said nothing.
_SILENT = frozenset({"device-offline", "device-timeout", "code-expired"})
_WORDS = {
    "code-wrong": "the code was wrong",
    "device-offline": "the device went away during the pairing",
    "device-timeout": "the device did not answer",
}


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """What a console gets for a nameplate."""

    session: str
    device_online: bool
    ticket: str
    organisation: str
    operator: str


class Place:
    """The mailbox of one control link: which phase is next, and who waits for an answer."""

    __slots__ = ("answer", "is_over", "phase", "session")

    def __init__(self, session: str) -> None:
        self.session = session
        self.phase = 0
        self.answer: asyncio.Future[control.Blob] | None = None
        self.is_over = False


def pipe_url(node_url: str) -> str:
    """Return the websocket address of `/pipe` on a node, from its http(s) address."""
    parts = urlsplit(node_url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return f"{scheme}://{parts.netloc}/pipe"


class Rendezvous:
    """Codes and mailboxes of one node.

    Args:
        relay: the wiring.
        sessions: keeps the rows.
        pipes: this node's splices.
        limits: bounds.
        node_url: address under which consoles reach this very node.
    """

    def __init__(
        self,
        relay: Relay,
        *,
        sessions: Sessions,
        pipes: Pipes,
        limits: GatewayLimits,
        node_url: str,
    ) -> None:
        self._relay = relay
        self._sessions = sessions
        self._pipes = pipes
        self._limits = limits
        self._pipe_url = pipe_url(node_url)
        # Devices dial the relay's own address unless this node has another.
        self._device_url = "" if node_url == relay.settings.url else node_url
        wrong_s = limits.wrong_codes_window_s
        self._by_technician = Windows(limits.wrong_codes_per_technician, wrong_s)
        self._by_address = Windows(limits.wrong_codes_per_address, wrong_s)
        self._by_tenant = Windows(limits.wrong_codes_per_tenant, limits.wrong_codes_tenant_window_s)
        self._burns = Windows(limits.burns_per_device, limits.burns_window_s)
        self._allocations = Windows(_ALLOCATIONS, limits.burns_window_s)
        self._guest_allocations = Windows(limits.nameplates_per_guest_address, wrong_s)

    # The device's side.

    async def on_allocate_nameplate(
        self, link: Link, message: messages.AllocateNameplate
    ) -> messages.RelayMessage | None:
        """Draw a nameplate, and make this link the control link of a session to be."""
        relay, limits = self._relay, self._limits
        if link.mailbox is not None and not link.mailbox.is_over and link.mailbox.phase > 0:
            raise FarhandError("session-state", "a console is pairing on this link just now")
        now = relay.clock.monotonic()
        wait_s = max(
            self._burns.wait_s(link.device, now),
            self._allocations.wait_s(link.device, now),
            self._guest_allocations.wait_s(link.address, now) if link.is_guest else 0,
        )
        if wait_s:
            async with relay.db.write() as c:
                await relay.audit.append(
                    c, actor=f"device:{link.device}", action="code.rate-limited",
                    subject=link.device, detail={"address": link.address},
                )  # fmt: skip
            raise RateLimited("too many codes were made or burned here", retry_after_s=wait_s)
        self._allocations.add(link.device, now)
        if link.is_guest:
            self._guest_allocations.add(link.address, now)
        session = make_id("s", relay.random(10))
        if link.session is not None:
            await self._expire(link.session)
        await link.follow(session)
        async with relay.db.write() as c:
            await relay.audit.append(
                c, actor=f"device:{link.device}", action="code.allocate", subject=session,
                detail={"guest": link.is_guest, "address": link.address},
            )  # fmt: skip
            nameplate = await nameplates.draw(
                c, relay, device=link.device, guest=link.is_guest, session=session,
                valid_s=limits.nameplate_s, random=relay.random,
            )  # fmt: skip
        link.mailbox = Place(session)
        return messages.Nameplate(
            seq=message.seq, nameplate=nameplate, expires_in_s=limits.nameplate_s
        )

    async def _expire(self, session: str) -> None:
        async with self._relay.db.write() as c:
            await nameplates.expire(c, self._relay, session)

    async def on_mailbox_reply(
        self, link: Link, message: messages.MailboxReply
    ) -> messages.RelayMessage | None:
        """Hand the device's answer to whoever waits for it.

        Raises:
            RemoteError: `mailbox-unexpected` when nobody asked.
        """
        place = link.mailbox
        waits = place is not None and place.answer is not None and not place.answer.done()
        if not waits or (message.session, message.phase) != (
            place.session,
            PHASES[place.phase - 1],
        ):
            if place is not None and message.session == place.session and place.is_over:
                # The console's time was over; the device could not know.
                return None
            raise RemoteError("mailbox-unexpected", "nobody asked for this answer")
        place.answer.set_result(control.Blob(body=message.body, error=message.error[:64]))
        return None

    async def on_session_report(
        self, link: Link, message: messages.SessionReport
    ) -> messages.RelayMessage | None:
        """Take a refusal on the control link for the answer that the device did not give."""
        place = link.mailbox
        is_refusal = message.state == "refused" and place is not None
        if is_refusal and message.session == place.session:
            place.is_over = True
            if place.answer is not None and not place.answer.done():
                reason = message.reason or "device-error"
                place.answer.set_result(control.Blob(body=b"", error=reason))
        return None

    async def on_closed(self, link: Link) -> None:
        """Void the code that a lost control link stood for, and let half-open pipes go."""
        if link.session is not None:
            # The process that was told to attach them may have died; consoles ask anew at once.
            self._pipes.drop_half_open(link.session)
        place = link.mailbox
        if place is None:
            return
        place.is_over = True
        if place.answer is not None and not place.answer.done():
            # All that the device said was handled before; `mailbox` looks for a report elsewhere.
            place.answer.set_result(control.Blob(body=b"", error="device-offline"))
        if place.phase == 0:
            await self._expire(place.session)

    # Requests from any node to a control link here.

    async def on_control(self, link: Link, request: control.Request) -> bytes | None:
        """Answer a request for a session whose control link this is.

        Raises:
            FarhandError: `no-responders`, `pairing-malformed`, `pipe-number`, `relay-full`.
        """
        if isinstance(request, control.Deliver):
            return await link.on_bus(request.message)
        if isinstance(request, control.Mailbox):
            return control.encode(await self._exchange(link, request))
        # Its end may be among what the device has said already.
        try:
            async with asyncio.timeout(_REQUEST_S):
                await link.caught_up()
        except TimeoutError as error:
            raise FarhandError("no-responders", "the session does not read") from error
        if link.session is None or not link.is_open:
            raise FarhandError("no-responders", "the session has just gone")
        number = request.number
        if number is None:
            number = self._pipes.free_number(link.session)
        splice = self._pipes.offer(link.session, number)
        attach = messages.AttachPipe(
            session=link.session,
            number=number,
            token=splice.tokens["device"],
            url=self._device_url,
        )
        if not link.send(attach):
            raise FarhandError("no-responders", "the session has just gone")
        return control.encode(
            control.Attached(url=self._pipe_url, token=splice.tokens["console"], number=number)
        )

    async def _exchange(self, link: Link, request: control.Mailbox) -> control.Blob:
        place: Place | None = link.mailbox
        if place is None or place.is_over:
            return control.Blob(body=b"", error="code-expired")
        is_next = place.phase < len(PHASES) and request.phase == PHASES[place.phase]
        if not is_next or place.answer is not None:
            place.is_over = True
            link.send(messages.EndSession(session=place.session, reason="pairing-malformed"))
            return control.Blob(body=b"", error="pairing-malformed")
        place.phase += 1
        place.answer = asyncio.get_running_loop().create_future()
        try:
            blob = messages.MailboxBlob(
                session=place.session, phase=request.phase, body=request.body
            )
            if not link.send(blob):
                # What it said before it went, if anything, was the reason.
                await link.caught_up()
                return control.Blob(body=b"", error="device-offline")
            async with asyncio.timeout(self._phase_s(request.phase)):
                answer = await place.answer
        except TimeoutError:
            answer = control.Blob(body=b"", error="device-timeout")
            link.send(messages.EndSession(session=place.session, reason="device-timeout"))
        finally:
            place.answer = None
        if answer.error or place.phase == len(PHASES):
            place.is_over = True
        return answer

    def _phase_s(self, phase: str) -> float:
        is_last = phase == PHASES[-1]
        return self._limits.mailbox_request_s if is_last else self._limits.mailbox_phase_s

    # The console's side.

    async def claim(
        self,
        actor: Actor,
        *,
        nameplate: str,
        ticket: str | None,
        external_key: str | None,
        reason: str,
        address: str,
    ) -> Pairing:
        """Claim a nameplate: the first claim wins, and the device learns who it was.

        Raises:
            FarhandError: `code-unknown`, `code-claimed`, `code-expired`, `not-found` for a ticket,
                `invalid`.
            RateLimited: too many wrong codes by this technician, address or organisation.
        """
        await self._check_rates(actor, address)
        relay = self._relay
        wrong: FarhandError | None = None
        pairing: Pairing | None = None
        async with relay.db.write() as c:
            await relay.audit.append(
                c, actor=actor.name, action="code.claim", subject="nameplate",
                detail={"address": address, "ticket": ticket or external_key},
            )  # fmt: skip
            claimed = await nameplates.claim(c, relay, nameplate)
            if claimed is None:
                wrong = await nameplates.why_not(c, relay, nameplate, actor.name)
                await relay.audit.append(
                    c, actor=actor.name, action="code.wrong", subject="nameplate",
                    detail={"code": wrong.code, "address": address},
                )  # fmt: skip
            else:
                session, device, guest = claimed
                number, key = await rows.resolve_ticket(
                    c, relay, ticket=ticket, external_key=external_key, device=device,
                    actor=actor.name, reason=reason,
                )  # fmt: skip
                await rows.create(
                    c, relay, event="claimed", session=session, device=device, guest=guest,
                    ticket=number, external_key=key, operator=actor.name, reason=reason, scopes=[],
                )  # fmt: skip
                made = await rows.get(c, relay.tenant, session)
                pairing = Pairing(
                    session=session, device_online=True, ticket=made.ticket or "",
                    organisation=relay.settings.org, operator=actor.name,
                )  # fmt: skip
        if pairing is None:
            self._count_wrong(actor.name, address)
            raise wrong or FarhandError("code-unknown", "no device shows this code")
        await self._open_mailbox(pairing, nameplate)
        return pairing

    async def _check_rates(self, actor: Actor, address: str) -> None:
        now = self._relay.clock.monotonic()
        wait_s = max(
            self._by_technician.wait_s(actor.name, now),
            self._by_address.wait_s(address, now),
            self._by_tenant.wait_s(self._relay.tenant, now),
        )
        if wait_s:
            async with self._relay.db.write() as c:
                await self._relay.audit.append(
                    c, actor=actor.name, action="code.rate-limited", subject="nameplate",
                    detail={"address": address},
                )  # fmt: skip
            raise RateLimited("too many wrong codes", retry_after_s=wait_s)

    def _count_wrong(self, name: str, address: str) -> None:
        now = self._relay.clock.monotonic()
        self._by_technician.add(name, now)
        self._by_address.add(address, now)
        self._by_tenant.add(self._relay.tenant, now)

    async def _open_mailbox(self, pairing: Pairing, nameplate: str) -> None:
        opened = messages.MailboxOpen(
            session=pairing.session,
            nameplate=nameplate,
            operator=pairing.operator,
            organisation=pairing.organisation,
            ticket=pairing.ticket,
        )
        request = control.Deliver(message=messages.encode_message(opened))
        try:
            await self._ask(pairing.session, request, timeout_s=_REQUEST_S)
        except FarhandError as error:
            if error.code not in ("no-responders", "bus-timeout"):
                raise
            await self._burn(pairing.session, "device-offline", pairing.operator)
            raise FarhandError(
                "code-expired",
                "the device that showed this code has gone",
                hint="ask the person at the device for a new code",
            ) from error

    async def _ask(self, session: str, request: control.Request, *, timeout_s: float) -> bytes:
        subject = control.session_subject(self._relay.tenant, session)
        return await self._relay.bus.request(subject, control.encode(request), timeout_s=timeout_s)

    async def mailbox(
        self, actor: Actor, session: str, *, phase: Phase, body: bytes, address: str
    ) -> bytes:
        """Take one pairing blob to the device and bring its answer.

        Raises:
            FarhandError: `not-found`, `not-permitted`, `session-state`; or what went wrong in the
                exchange (`code-wrong`, `pairing-malformed`, `device-offline`, `device-timeout`, or
                the device's own code), after which the code is burned.
        """
        found = await self._sessions.get(session)
        if found.operator != actor.name:
            raise not_permitted("this is somebody else's session")
        if found.state != "pairing":
            raise FarhandError("session-state", "this session is not being paired")
        if phase == "request":
            await self._sessions.requested(session)
        request = control.Mailbox(phase=phase, body=body)
        try:
            timeout_s = self._phase_s(phase) + _SLACK_S
            blob = control.decode_blob(await self._ask(session, request, timeout_s=timeout_s))
        except FarhandError as error:
            code = {"no-responders": "device-offline", "bus-timeout": "device-timeout"}.get(
                error.code, error.code
            )
            logger.info("a mailbox request was not answered: %s", error)
            blob = control.Blob(body=b"", error=code)
        if not blob.error:
            return blob.body
        code = _stable(blob.error)
        if code in _SILENT:
            # The device may have told why it went, on this link or on another one.
            code = await self._refusal(session) or code
        if code in _WRONG:
            self._count_wrong(actor.name, address)
            self._burns.add(found.device, self._relay.clock.monotonic())
        await self._burn(session, code, actor.name)
        raise FarhandError(
            code,
            _WORDS.get(code, "the device ended the pairing"),
            hint="a code takes one try; ask the person at the device for a new one",
        )

    async def _refusal(self, session: str) -> str:
        found = await self._sessions.get(session)
        return found.reason if found.state == "refused" else ""

    async def _burn(self, session: str, reason: str, actor: str) -> None:
        async with self._relay.db.write() as c:
            await self._relay.audit.append(
                c, actor=actor, action="code.burn", subject=session, detail={"reason": reason}
            )
            await nameplates.burn(c, self._relay, session)
        await self._sessions.refuse(session, reason)

    async def sweep(self) -> None:
        """Forget nameplates that have rested long enough."""
        async with self._relay.db.write() as c:
            await nameplates.forget(c, self._relay, rest_s=self._limits.nameplate_rest_s)


def _stable(code: str) -> str:
    """Return a device's error code if it looks like one; a device may say anything."""
    fits = code.isascii() and code.replace("-", "").isalnum() and code == code.lower()
    return code if fits else "device-error"
