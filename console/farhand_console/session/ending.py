"""Ending a session: the note goes to the device, the receipt comes back and is countersigned."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
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
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.grants import Receipt
from farhand_protocol.keys import SeedSigner
from farhand_protocol.receipts import verify_receipt

__all__ = ["MAX_NOTE_CHARS", "check_note", "countersign", "end_on_device", "kept_receipt"]

MAX_NOTE_CHARS = 4000

_ANSWER_S = 10.0
_MAX_LINE = 8 * 1024 * 1024


def check_note(note: str) -> None:
    """Check a closing note before anything is ended with it.

    Raises:
        UsageError: `note-malformed`.
    """
    plain = all(unicodedata.category(one) not in ("Cc", "Cs") or one in "\n\t" for one in note)
    if len(note) > MAX_NOTE_CHARS or not plain:
        raise UsageError(
            "note-malformed",
            f"a note has at most {MAX_NOTE_CHARS} characters, and no control characters",
        )


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
            _check_about(record, receipt)
            both = countersign(home, record, envelope)
            data = encode_envelope(both)
            verify_receipt(data, device_key=record.device_key)
            writer.write(msgspec.json.encode({"receipt": both}) + b"\n")
            await _line(reader)
    except (asyncssh.Error, OSError, TimeoutError, UnicodeError) as error:
        raise FarhandError(
            "receipt-missing", "the device did not sign a receipt", detail=str(error)
        ) from error
    write_private(home.folder / "receipts" / f"{record.session}.json", data)
    return receipt, hashlib.sha256(data).hexdigest()


def _check_about(record: SessionRecord, receipt: Receipt) -> None:
    """Check that a receipt is about this session and embeds the very grant that opened it."""
    fits = (
        receipt.session == record.session
        and receipt.device == record.device
        and receipt.device_key == record.device_key
        and encode_envelope(receipt.grant) == record.grant
    )
    if not fits:
        raise FarhandError("receipt-invalid", "the device's receipt is about another session")


def kept_receipt(home: Home, session: str) -> tuple[Receipt, str] | None:
    """Return the receipt that this console countersigned for a session and its hash, if it did.

    Raises:
        FarhandError: `envelope-malformed` when the file was damaged since.
    """
    try:
        data = (home.folder / "receipts" / f"{session}.json").read_bytes()
    except OSError:
        return None
    return open_payload(decode_envelope(data), Receipt), hashlib.sha256(data).hexdigest()


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
        if "error" in answer:
            raise FarhandError("note-malformed", "the device does not take this note")
        return decode_envelope(bytes(answer["receipt"]))
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
        raise FarhandError("receipt-invalid", "the device's receipt cannot be read") from error


def countersign(home: Home, record: SessionRecord, envelope: Envelope) -> Envelope:
    """Add the signature of the session's console key, which the grant names."""
    try:
        data = key_file(home, record.session).read_bytes()
        key = serialization.load_ssh_private_key(data, None)
    except (OSError, ValueError, TypeError) as error:
        raise FarhandError(
            "home-unreadable", f"the key of session {record.session} cannot be read"
        ) from error
    raw = key.private_bytes(
        serialization.Encoding.Raw,
        serialization.PrivateFormat.Raw,
        serialization.NoEncryption(),
    )
    return sign_again(envelope, SeedSigner(raw))
