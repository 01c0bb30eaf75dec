"""A simulated device for benchmarks: the real handshake and messages, and nothing behind them."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from websockets.asyncio.client import ClientConnection, connect

from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner, verify
from farhand_protocol.link import DeviceHandshake, Role
from farhand_protocol.messages import (
    DeviceMessage,
    Present,
    RelayMessage,
    Welcome,
    decode_relay_message,
    encode_message,
)
from farhand_protocol.orders import Order, Result

__all__ = ["SimulatedDevice", "answer_order"]


class SimulatedDevice:
    """One link; `open` shakes hands, `send` and `receive` carry messages."""

    def __init__(self, url: str, signer: SeedSigner, *, tenant: str, role: Role) -> None:
        self.signer = signer
        self.device = device_id(signer.public_key)
        self._url = url.replace("http", "ws", 1) + "/agent"
        self._tenant = tenant
        self._role = role
        self._websocket: ClientConnection | None = None

    @property
    def websocket(self) -> ClientConnection:
        """Return the open connection."""
        assert self._websocket is not None
        return self._websocket

    async def open(self) -> Welcome:
        """Connect, prove the key, say Present and return the Welcome."""
        self._websocket = websocket = await connect(
            self._url, compression=None, proxy=None, ping_interval=None, open_timeout=60
        )
        shake = DeviceHandshake(
            self._role, self._tenant, self.signer.public_key, None, nonce=os.urandom(32)
        )
        await websocket.send(shake.hello())
        challenge = await websocket.recv()
        assert isinstance(challenge, bytes)
        if not verify(*shake.receive_challenge(challenge)):
            raise AssertionError("the relay's signature does not hold")
        await websocket.send(self.signer.sign(shake.message_to_sign()))
        welcome = await self.receive()
        assert isinstance(welcome, Welcome)
        await self.send(Present(agent_version="bench", host_name=self.device, os="bench"))
        return welcome

    async def send(self, message: DeviceMessage) -> None:
        """Send one message."""
        await self.websocket.send(encode_message(message))

    async def receive(self) -> RelayMessage:
        """Return the relay's next message."""
        data = await self.websocket.recv()
        assert isinstance(data, bytes)
        return decode_relay_message(data)


def answer_order(
    device: SimulatedDevice, envelope: bytes, *, has_failed: bool = False
) -> tuple[str, bytes]:
    """Return the order's id and a signed result that says how it went."""
    order = open_payload(decode_envelope(envelope), Order)
    now = format_instant(datetime.now(UTC))
    result = Result(
        tenant=order.tenant,
        device=device.device,
        order=order.id,
        script=order.script,
        version=order.version,
        digest=order.digest,
        state="failed" if has_failed else "succeeded",
        exit_code=1 if has_failed else 0,
        signal=None,
        stdout=b"{}",
        stdout_bytes=2,
        stdout_truncated=False,
        stderr=b"",
        stderr_bytes=0,
        stderr_truncated=False,
        sealed_output=None,
        refusal=None,
        words=None,
        started_at=now,
        ended_at=now,
    )
    return order.id, encode_envelope(seal(result, device.signer))
