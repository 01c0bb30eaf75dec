"""Ending a session: the note goes to the device, the receipt comes back and is countersigned."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import Callable
from typing import Any

import asyncssh
import msgspec
from cryptography.hazmat.primitives import serialization

from farhand_console.home import Home, write_private
from farhand_console.session.inventory_changes import ChangesTold, read_changes
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
# The device looks at itself for ten seconds at most.
_CHANGES_S = 12.0
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
    home: Home,
    record: SessionRecord,
    connection: asyncssh.SSHClientConnection,
    note: str,
    *,
    on_signed: Callable[[], None] = lambda: None,
    on_changes: Callable[[ChangesTold], None] | None = None,
) -> tuple[Receipt, str]:
    """Tell the device to end the session; return the receipt and its hash.

    Args:
        home, record: of the session.
        connection: to its device.
        note: checked.
        on_signed: is called when the receipt is kept, before the changes are waited for.
        on_changes: takes what the session changed on the device; without, it is not asked.

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
            lines = _Lines(reader)
            wish = {"note": note} | ({"changes": True} if on_changes is not None else {})
            writer.write(msgspec.json.encode(wish) + b"\n")
            envelope = _receipt(await lines.next())
            receipt = open_payload(envelope, Receipt)
            _check_about(record, receipt)
            both = countersign(home, record, envelope)
            data = encode_envelope(both)
            verify_receipt(data, device_key=record.device_key)
            writer.write(msgspec.json.encode({"receipt": both}) + b"\n")
            await lines.next()
    except (asyncssh.Error, OSError, TimeoutError, UnicodeError) as error:
        raise FarhandError(
            "receipt-missing", "the device did not sign a receipt", detail=str(error)
        ) from error
    write_private(home.folder / "receipts" / f"{record.session}.json", data)
    on_signed()
    if on_changes is not None:
        on_changes(await _changes(lines))
    return receipt, hashlib.sha256(data).hexdigest()


async def _changes(lines: _Lines) -> ChangesTold:
    """Wait for what changed; the session has its receipt, so nothing here is a failure of it."""
    try:
        async with asyncio.timeout(_CHANGES_S):
            return read_changes(await lines.next())
    except (FarhandError, asyncssh.Error, OSError, TimeoutError):
        return ChangesTold(why="the device did not say")


def _check_about(record: SessionRecord, receipt: Receipt) -> None:
    """Check that a receipt is about this session and embeds the very grant that opened it."""
    fits = (
        receipt.session == record.session
        and receipt.device == record.device
        and receipt.device_key == record.device_key
        and record.grant in [encode_envelope(one) for one in _grants(record, receipt)]
    )
    if not fits:
        raise FarhandError("receipt-invalid", "the device's receipt is about another session")


def _grants(record: SessionRecord, receipt: Receipt) -> list[Envelope]:
    """Return where this console's grant must be: one who joined is not who opened the session."""
    return receipt.joined if record.mode else [receipt.grant]


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


class _Lines:
    """The device's lines, each bounded."""

    # `Any`: asyncssh types it by its encoding, which is bytes here.
    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._held = b""

    async def next(self) -> bytes:
        """Return the next line.

        Raises:
            FarhandError: `receipt-missing` when it ends early or is too long.
        """
        while b"\n" not in self._held:
            piece = await self._reader.read(64 * 1024)
            if not piece or len(self._held) > _MAX_LINE:
                raise FarhandError("receipt-missing", "the device's answer ended early")
            self._held += piece
        line, _, self._held = self._held.partition(b"\n")
        return line


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
