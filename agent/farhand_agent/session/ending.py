"""The end of a session and its receipt.

    open      farewell note from the console, stop(), expiry   -> stopping   (journalled first)
    stopping  scopes withdrawn, programs killed                -> signed     (device key)
    signed    console countersigns within COUNTERSIGN_S        -> both
    signed    it does not                                      -> one-sided
    both, one-sided  stored, journalled with its report        -> ended

The subsystem `farhand-end` carries JSON lines: the console sends `{"note": ...}`, gets
`{"receipt": ENVELOPE}` signed by the device, sends it back with its console key's signature as
well, and gets `{"ok": true}`.  A note that no relay would store is answered with
`{"error": "note-malformed"}` before anything ends, and the session goes on.  The envelope
stands in the line as its canonical JSON.  With `"changes": true` beside the note a last line
follows: what the session changed on this computer (session/inventory_changes.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from farhand_agent.journal_tables import MAX_NOTE_CHARS, is_note
from farhand_agent.session.actions import ActionLog
from farhand_agent.session.inventory_changes import InventoryChanges
from farhand_agent.session.subsystems import Lines
from farhand_protocol.envelopes import Envelope, decode_envelope, encode_envelope, seal
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.grants import Grant, Receipt, RecordingMark
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.receipts import verify_receipt

__all__ = ["COUNTERSIGN_S", "MAX_NOTE_CHARS", "ReceiptFacts", "SessionEnding", "seal_receipt"]

_log = logging.getLogger(__name__)

COUNTERSIGN_S: Final = 10.0
MAX_NOTE_LINE: Final = 64 * 1024
MAX_RECEIPT_LINE: Final = 6 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ReceiptFacts:
    """What the receipt says of the session besides its end."""

    grant: Grant
    grant_envelope: Envelope
    host_name: str
    guest: bool
    scopes: tuple[str, ...]
    started_at: datetime
    widened: tuple[Envelope, ...] = ()
    approvals: tuple[Envelope, ...] = ()
    joined: tuple[Envelope, ...] = ()
    recording: RecordingMark | None = None
    audit_head: str = ""


def seal_receipt(
    facts: ReceiptFacts,
    actions: ActionLog,
    signer: Signer,
    *,
    ended_at: datetime,
    reason: str,
    note: str,
) -> Envelope:
    """Write the receipt and sign it with the device key."""
    grant = facts.grant
    receipt = Receipt(
        tenant=grant.tenant,
        id=make_id("r", os.urandom(16)),
        session=grant.id,
        device=grant.device,
        device_key=signer.public_key,
        host_name=facts.host_name,
        guest=facts.guest,
        operator=grant.operator,
        organisation=grant.organisation,
        ticket=grant.ticket,
        scopes=list(facts.scopes),
        started_at=format_instant(facts.started_at),
        ended_at=format_instant(ended_at),
        active_s=active_seconds(facts.started_at, ended_at),
        reason=reason,
        note=note,
        actions=list(actions.actions),
        actions_omitted=actions.omitted,
        grant=facts.grant_envelope,
        widened=list(facts.widened),
        approvals=list(facts.approvals),
        joined=list(facts.joined),
        recording=facts.recording,
        audit_head=facts.audit_head,
    )
    return seal(receipt, signer)


def active_seconds(started_at: datetime, ended_at: datetime) -> int:
    """Return how long a session was open, at least one second."""
    return max(1, round((ended_at - started_at).total_seconds()))


class SessionEnding:
    """Brings a session to its end once, whoever asks first.

    Args:
        stop: journals and performs the stop for a reason; when it returns nothing of the session
            runs any more.  Returns the reason that the journal holds.  Called once.
        sign: writes and signs the receipt for (reason, note).
        keep: stores the final receipt and journals the end.  Called once.
        changes: what is told of the changes on this computer.
    """

    def __init__(
        self,
        stop: Callable[[str], Awaitable[str]],
        sign: Callable[[str, str], Envelope],
        keep: Callable[[bytes], Awaitable[None]],
        changes: InventoryChanges | None = None,
    ) -> None:
        self._changes = changes
        self._stop = stop
        self._sign = sign
        self._keep = keep
        self._lock = asyncio.Lock()
        self.reason = ""
        self.note = ""
        self.receipt: bytes | None = None
        self.one_sided = True
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def end(self, reason: str, note: str = "") -> bytes:
        """Stop the session and sign the receipt; a second call returns the first one's.

        Returns:
            The receipt's envelope bytes.
        """
        async with self._lock:
            if self.receipt is None:
                self.note = note
                self.reason = await self._stop(reason)
                envelope = await asyncio.to_thread(self._sign, self.reason, note)
                self.receipt = encode_envelope(envelope)
            return self.receipt

    async def farewell(self, lines: Lines) -> None:
        """Hold the closing exchange with a console.

        Once its note is good the session ends, whatever becomes of the exchange.
        """
        try:
            note, wants_changes = _note(await lines.read_line(MAX_NOTE_LINE))
        except RemoteError as error:
            _log.info("a closing note was refused: %s", error)
            await lines.write(b'{"error":"note-malformed"}\n')
            return
        if self.begun.is_set():
            return  # it is ending already, by another hand
        self.begun.set()
        try:
            receipt = await self.end("closed", note)
            if self._changes is not None and wants_changes:
                self._changes.look_again()
            try:
                async with asyncio.timeout(COUNTERSIGN_S):
                    await lines.write(b'{"receipt":' + receipt + b"}\n")
                    self._take(receipt, await lines.read_line(MAX_RECEIPT_LINE))
            except (TimeoutError, OSError, FarhandError) as error:
                _log.warning("the receipt stays one-sided: %s", error)
            assert self.receipt is not None
            await self._keep(self.receipt)
            if not self.one_sided:
                await lines.write(b'{"ok":true}\n')
                if self._changes is not None and wants_changes:
                    await lines.write(msgspec.json.encode(await self._changes.found()) + b"\n")
        finally:
            self.over.set()

    async def finish(self, reason: str) -> None:
        """End the session from this side, with a receipt that only the device signed."""
        if self.begun.is_set():
            await self.over.wait()  # a console is closing it; that has deadlines of its own
            return
        self.begun.set()
        try:
            await self._keep(await self.end(reason))
        finally:
            self.over.set()

    def _take(self, mine: bytes, line: bytes) -> None:
        """Accept the console's signature, if that is all that was added."""
        envelope = _line_receipt(line)
        data = encode_envelope(envelope)
        own = decode_envelope(mine)
        if envelope.payload != own.payload or own.signatures[0] not in envelope.signatures:
            raise RemoteError("receipt-changed", "the console sent back another receipt")
        if verify_receipt(data).one_sided:
            raise RemoteError("receipt-signature", "the console did not sign the receipt")
        self.receipt, self.one_sided = data, False


def _note(line: bytes) -> tuple[str, bool]:
    """Return the note, and whether the changes are wanted as well."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RemoteError("note-malformed", "the console's closing note cannot be read") from error
    note = fields.get("note") or ""
    if not isinstance(note, str) or not is_note(note := note.replace("\r\n", "\n")):
        raise RemoteError(
            "note-malformed",
            f"a note has at most {MAX_NOTE_CHARS} characters, and no control characters",
        )
    return note, fields.get("changes") is True


def _line_receipt(line: bytes) -> Envelope:
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        return decode_envelope(bytes(fields["receipt"]))
    except (msgspec.MsgspecError, KeyError, RecursionError) as error:
        raise RemoteError("receipt-malformed", "the console's receipt cannot be read") from error
