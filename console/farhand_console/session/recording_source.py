"""Sealed recordings from the relay or from a file, checked chunk by chunk as they come.

Nothing is decrypted here.  A recording counts with the device's key that this console pinned (or
that the caller names) and the relay's key from the sign-in; where one of them is not known, the
result says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from farhand_console.home import Home
from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Page
from farhand_console.session.ending import kept_receipt
from farhand_console.trust.devices import pins
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id
from farhand_protocol.recording import (
    MAGIC,
    Chunk,
    RecordingChain,
    SealedReader,
    VerifiedRecording,
    Witness,
    open_head,
    write_chunk,
)

__all__ = ["Checked", "Known", "Recording", "check", "fetch", "known_keys", "read_file", "save"]

_READ_BYTES: Final = 256 * 1024
_PAGE_S: Final = 60.0


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A recording as the relay tells of it."""

    session: str
    device: str
    operator: str
    started_at: str
    last_at: str
    expires_at: str
    erased_at: str | None
    chunks: int
    size_bytes: int
    dropped_bytes: int
    complete: bool


class _StoredChunk(msgspec.Struct, frozen=True, kw_only=True):
    head: bytes
    ciphertext: bytes
    witnessed_at: str
    witness: bytes


@dataclass(frozen=True, kw_only=True)
class Known:
    """What this console knows without the recording; None where it does not know it."""

    device_key: bytes | None
    relay_key: bytes | None
    head_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A recording that holds, and against what it was held."""

    recording: VerifiedRecording
    known: Known

    @property
    def receipt_agrees(self) -> bool | None:
        """Whether the receipt names this end; None where there was nothing to compare."""
        if self.known.head_sha256 is None or not self.recording.complete:
            return None
        return self.recording.head_sha256 == self.known.head_sha256

    def objection(
        self, *, unwitnessed: bool = False, unknown_device: bool = False
    ) -> FarhandError | None:
        """Return why this recording does not count, although its chain holds.

        Args:
            unwitnessed: take one that lacks countersignatures of a relay that is known.
            unknown_device: take one whose device's key is not known here: whoever made the
                recording named it.
        """
        if self.receipt_agrees is False:
            return FarhandError("recording-tail", "the receipt names another end of the recording")
        told = self.recording
        if self.known.device_key is None and not unknown_device:
            return FarhandError(
                "recording-device",
                f"the key of {told.device} is not known here, so anybody could have made this",
                hint="name it with --device-key, compared on the device itself; "
                "--unknown-device takes it all the same",
            )
        missing = told.chunks - told.witnessed
        # Without the relay's key a countersignature says nothing, so its absence does not either.
        if missing and self.known.relay_key is not None and not unwitnessed:
            return FarhandError(
                "recording-unwitnessed",
                f"{missing} of {told.chunks} chunks bear no countersignature of the relay",
                hint="the device could have rewritten them; --unwitnessed takes them all the same",
            )
        return None


def fetch(relay: Relay, session: str, relay_key: bytes) -> Iterator[Chunk]:
    """Fetch the chunks of a recording, page by page.

    Raises:
        FarhandError: what the relay answers; `session-unknown` for what is no session id.
    """
    if not is_session_id(session):
        raise FarhandError("session-unknown", f"{session[:60]!r} is not a session")
    cursor: str | None = None
    while True:
        page = relay.get(
            segments("recordings", session, "chunks"),
            Page[_StoredChunk],
            wait_s=_PAGE_S,
            cursor=cursor,
        )
        for one in page.items:
            witness = Witness(at=one.witnessed_at, relay_key=relay_key, signature=one.witness)
            yield Chunk(head=one.head, ciphertext=one.ciphertext, witness=witness)
        # A page without anything would be asked for again for ever.
        if page.next is None or not page.items:
            return
        cursor = page.next


def read_file(path: Path) -> Iterator[Chunk]:
    """Read the chunks of a sealed file.

    Raises:
        FarhandError: `recording-malformed`.
    """
    reader = SealedReader()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            yield from reader.receive_data(data)
    reader.receive_eof()


def save(chunks: Iterable[Chunk], path: Path) -> Iterator[Chunk]:
    """Write chunks into a new sealed file while they pass; it is there once all of them have.

    Raises:
        FarhandError: `recording-export` when the file is there already or cannot be written.
    """
    if path.exists():
        raise FarhandError("recording-export", f"{path} is there already")
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(MAGIC)
            for chunk in chunks:
                yield chunk
                # Asked for the next one: this one has been checked.
                file.write(write_chunk(chunk))
        beside.replace(path)
    except OSError as error:
        raise FarhandError(
            "recording-export", f"{path} cannot be written: {error.strerror}"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def known_keys(
    home: Home, first: Chunk, *, relay_key: bytes | None, device_key: bytes | None = None
) -> Known:
    """Return what this console knows of the recording that begins with this chunk.

    Raises:
        FarhandError: `recording-malformed`, `recording-signature`, `home-unreadable`.
    """
    head = open_head(first.head, number=0).head
    kept = kept_receipt(home, head.session)
    receipt = kept[0] if kept else None
    if device_key is None and (pinned := pins(home).get(head.device)) is not None:
        device_key = bytes.fromhex(pinned)
    if device_key is None and receipt is not None:
        # The console checked it when it countersigned; of a guest device nothing else is kept.
        device_key = receipt.device_key
    mark = receipt.recording if receipt is not None else None
    return Known(
        device_key=device_key,
        relay_key=relay_key,
        head_sha256=mark.head_sha256 if mark is not None else None,
    )


def check(
    chunks: Iterable[Chunk],
    home: Home,
    *,
    relay_key: bytes | None,
    device_key: bytes | None = None,
    session: str | None = None,
    open_end: bool = False,
) -> Iterator[Chunk | Checked]:
    """Yield each chunk after it was checked, and at last what the recording came to.

    Args:
        chunks: in their order.
        home: of this console, with its pins and receipts.
        relay_key, device_key: raw keys where they are known.
        session: the recording that was asked for.
        open_end: take one whose end is missing.

    Raises:
        FarhandError: the codes of farhand_protocol.recording.
    """
    chain: RecordingChain | None = None
    known = Known(device_key=None, relay_key=None)
    for chunk in chunks:
        if chain is None:
            known = known_keys(home, chunk, relay_key=relay_key, device_key=device_key)
            chain = RecordingChain(
                device_key=known.device_key, relay_key=known.relay_key, session=session
            )
        chain.add(chunk)
        yield chunk
    # The receipt's head is for `Checked` to compare, which also says when it could not.
    told = (chain or RecordingChain()).finish(open_end=open_end)
    yield Checked(recording=told, known=known)
