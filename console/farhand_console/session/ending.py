"""Ending a session: the note goes to the device, the receipt comes back and is countersigned."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import asyncssh
import msgspec
from cryptography.hazmat.primitives import serialization

from farhand_console.home import Home, write_private
from farhand_console.session.record import SessionRecord, key_file
from farhand_protocol.envelopes import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_payload,
    sign_again,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Receipt
from farhand_protocol.keys import SeedSigner
from farhand_protocol.receipts import verify_receipt

__all__ = ["countersign", "end_on_device"]

_ANSWER_S = 10.0
_MAX_LINE = 8 * 1024 * 1024


async def end_on_device(
    home: Home, record: SessionRecord, connection: asyncssh.SSHClientConnection, note: str
) -> tuple[Receipt, str]:
    """Tell the device to end the session; return the receipt and its hash.

    Raises:
        FarhandError: `receipt-missing` when the device does not sign within ten seconds,
            `receipt-invalid` when it is not about this session.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            # `Any`: asyncssh types these three by their encoding, which is bytes here.
            streams: tuple[Any, Any, Any] = await connection.open_session(
                subsystem="farhand-end", encoding=None
            )
            writer, reader, _ = streams
            writer.write(msgspec.json.encode({"note": note}) + b"\n")
            line = await _line(reader)
            envelope = _receipt(line)
            receipt = open_payload(envelope, Receipt)
            if receipt.session != record.session or receipt.device != record.device:
                raise FarhandError(
                    "receipt-invalid", "the device's receipt is about another session"
                )
            both = countersign(home, record, envelope)
            data = encode_envelope(both)
            verify_receipt(data, device_key=record.device_key)
            writer.write(msgspec.json.encode({"receipt": both}) + b"\n")
            await _line(reader)
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise FarhandError(
            "receipt-missing", "the device did not sign a receipt", detail=str(error)
        ) from error
    write_private(home.folder / "receipts" / f"{record.session}.json", data)
    return receipt, hashlib.sha256(data).hexdigest()


async def _line(reader: Any) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = await reader.read(64 * 1024)
        if not piece or len(data) > _MAX_LINE:
            raise FarhandError("receipt-missing", "the device's answer ended early")
        data += piece
    return data


def _receipt(line: bytes) -> Envelope:
    try:
        answer = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        return decode_envelope(bytes(answer["receipt"]))
    except (msgspec.MsgspecError, KeyError) as error:
        raise FarhandError("receipt-invalid", "the device's receipt cannot be read") from error


def countersign(home: Home, record: SessionRecord, envelope: Envelope) -> Envelope:
    """Add the signature of the session's console key, which the grant names."""
    key = serialization.load_ssh_private_key(key_file(home, record.session).read_bytes(), None)
    raw = key.private_bytes(
        serialization.Encoding.Raw,
        serialization.PrivateFormat.Raw,
        serialization.NoEncryption(),
    )
    return sign_again(envelope, SeedSigner(raw))
