"""A technician's console for tests of the session process: pairing, grant, SSH, farewell.

Real protocol, no product code of the console: a second reading of the same wire.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import msgspec

from farhand_agent.session.host import host_key
from farhand_agent.session.pipes import PipeDriver, PipeTunnel
from farhand_protocol.codes import parse_code
from farhand_protocol.envelopes import Envelope, encode_envelope, seal, sign_again
from farhand_protocol.grants import ConsoleRequest, Decision, DeviceOffer, Grant
from farhand_protocol.identity import make_id, public_key_line
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import MailboxReply
from farhand_protocol.pairing import ConsolePairing
from tests.support.session_relay import RelayStream, SessionRelay

OPERATOR = SeedSigner(b"o" * 32)
CONSOLE_SEED = b"c" * 32
# Drawn anew in each test process: programs of a session are found, and killed, by its id.
SESSION = make_id("s", os.urandom(16))


def make_grant(offer: DeviceOffer | None = None, **changes: Any) -> Grant:
    """Return a grant as an honest console makes it, with changes."""
    now = datetime.now(UTC).replace(microsecond=0)
    fields: dict[str, Any] = {
        "tenant": offer.tenant if offer else "n-test",
        "id": offer.session if offer else SESSION,
        "device": offer.device if offer else "d-aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "host_name": offer.host_name if offer else "host",
        "group": offer.group if offer else "default",
        "operator": "bob",
        "operator_key": OPERATOR.public_key,
        "organisation": "Acme",
        "ticket": "FH-1",
        "reason": "printer",
        "scopes": ["view", "terminal", "files"],
        "forward": [],
        "minutes": 30,
        "console_key": SeedSigner(CONSOLE_SEED).public_key,
        "transcript": None,
        "targets_version": 1,
        "issued_at": format_instant(now),
        "not_before": format_instant(now - timedelta(minutes=10)),
        "expires": format_instant(now + timedelta(minutes=40)),
    }
    return Grant(**{**fields, **changes})


class CodeConsole:
    """One technician at one relay."""

    def __init__(self, relay: SessionRelay) -> None:
        self.relay = relay
        self.session = SESSION
        self.seed = CONSOLE_SEED
        self.words: list[str] = []
        self.offer: DeviceOffer | None = None
        self.grant: Grant | None = None
        self.envelope: Envelope | None = None
        self.device_key = b""

    async def pair(self, code: str, *, operator: str = "bob") -> ConsolePairing:
        """Claim the code and prove it; the offer is checked to open."""
        nameplate, secret = parse_code(code)
        await self.relay.claim(self.session, nameplate, operator=operator)
        pairing = ConsolePairing(self.relay.url, nameplate, secret, entropy=os.urandom)
        reply = await self.blob("pake", pairing.send_pake())
        reply = await self.blob("confirm", pairing.receive_pake(reply.body))
        assert reply.error == "", reply.error
        proof, sealed = msgspec.msgpack.decode(reply.body, type=tuple[bytes, bytes])
        pairing.receive_confirm(proof)
        self.offer = msgspec.msgpack.decode(pairing.open(sealed), type=DeviceOffer)
        self.device_key = self.offer.device_key
        self.words = pairing.words
        return pairing

    async def blob(self, phase: str, body: bytes) -> MailboxReply:
        return await self.relay.blob(self.session, phase, body)

    async def ask(
        self,
        pairing: ConsolePairing,
        *,
        edit: Callable[[bytes], bytes] = lambda data: data,
        **changes: Any,
    ) -> Decision:
        """Send a grant over this pairing (with changes) and return the device's decision."""
        changes = {"transcript": pairing.transcript, **changes}
        self.grant = make_grant(self.offer, **changes)
        self.envelope = seal(self.grant, OPERATOR)
        request = ConsoleRequest(grant=edit(encode_envelope(self.envelope)), console_version="test")
        sealed = pairing.seal(msgspec.msgpack.encode(request))
        reply = await self.blob("request", sealed)
        assert reply.error == "", reply.error
        return msgspec.msgpack.decode(pairing.open(reply.body), type=Decision)

    @asynccontextmanager
    async def ssh(self, number: int = 0) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Open an SSH connection on a pipe of its own."""
        async with asyncio.TaskGroup() as group:
            driver = PipeDriver(number)
            stream = await self.relay.open_pipe(self.session, number)
            serving = group.create_task(self._serve(driver, stream))
            connection = await asyncssh.connect(
                "device",
                22,
                tunnel=PipeTunnel(driver),
                known_hosts=(
                    [asyncssh.import_public_key(public_key_line(self.device_key))],
                    [],
                    [],
                ),
                client_keys=[host_key(self.seed)],
                username=self.session,
                config=None,
                agent_path=None,
                compression_algs=None,
            )
            try:
                yield connection
            finally:
                connection.abort()
                driver.end()
                await serving

    async def _serve(self, driver: PipeDriver, stream: RelayStream) -> None:
        try:
            await driver.serve(stream)
        finally:
            await stream.close()

    async def farewell(
        self,
        connection: asyncssh.SSHClientConnection,
        note: str,
        *,
        edit: Callable[[Envelope], Envelope] = lambda envelope: envelope,
    ) -> tuple[Envelope, dict[str, Any] | None]:
        """End the session with a note; returns the device's receipt and its last answer."""
        process = await connection.create_process(subsystem="farhand-end", encoding=None)
        process.stdin.write(msgspec.json.encode({"note": note}) + b"\n")
        line = await process.stdout.readline()
        envelope = msgspec.json.decode(line, type=dict[str, Envelope])["receipt"]
        signed = edit(sign_again(envelope, SeedSigner(CONSOLE_SEED)))
        process.stdin.write(b'{"receipt":' + encode_envelope(signed) + b"}\n")
        answer = await process.stdout.readline()
        return signed, msgspec.json.decode(answer) if answer else None
