"""What the console keeps of an open session, so that every later command can join it.

sessions/ID/session.json   the record below
sessions/ID/key            the session's SSH key, OpenSSH format, for stock ssh too
sessions/ID/pipe-N.lock    held by the process that uses pipe N (0 to 7)
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from farhand_console.home import Home, write_private
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id
from farhand_protocol.instants import parse_instant

__all__ = [
    "PIPES",
    "SessionRecord",
    "claim_pipe",
    "drop",
    "find",
    "load",
    "open_records",
    "save",
    "update",
]

PIPES = 8


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One granted session.

    `device_key` is the raw key that SSH must show; `grant` the sealed grant; `guest` says that no
    organisation vouches for the device; `mode` is empty in one's own session, and else how this
    console's operator joined somebody else's.
    """

    session: str
    device: str
    device_name: str
    device_key: bytes
    guest: bool
    url: str
    ticket: str
    operator: str
    organisation: str
    scopes: list[str]
    granted_at: str
    expires: str
    words: list[str]
    grant: bytes
    mode: Literal["", "observer", "peer"] = ""


def _folder(home: Home, session: str) -> Path:
    if not is_session_id(session):
        raise FarhandError("session-unknown", f"{session[:60]!r} is not a session")
    return home.folder / "sessions" / session


def key_file(home: Home, session: str) -> Path:
    """Return where the session's SSH key is kept."""
    return _folder(home, session) / "key"


def save(home: Home, record: SessionRecord, key: bytes) -> None:
    """Store a record and its SSH key."""
    write_private(key_file(home, record.session), key)
    update(home, record)


def update(home: Home, record: SessionRecord) -> None:
    """Store a record that has changed; its key stays."""
    write_private(_folder(home, record.session) / "session.json", msgspec.json.encode(record))


def load(home: Home, session: str) -> SessionRecord:
    """Return a record.

    Raises:
        FarhandError: `session-unknown`, `home-unreadable`.
    """
    file = _folder(home, session) / "session.json"
    try:
        record = msgspec.json.decode(file.read_bytes(), type=SessionRecord)
        parse_instant(record.expires)
        return record
    except FileNotFoundError as error:
        raise FarhandError(
            "session-unknown",
            f"this console holds no open session {session}",
            hint="farhand session list",
        ) from error
    except (OSError, ValueError, msgspec.MsgspecError, FarhandError) as error:
        raise FarhandError("home-unreadable", f"{file} cannot be read") from error


def drop(home: Home, session: str) -> None:
    """Forget a session and destroy its key."""
    shutil.rmtree(_folder(home, session), ignore_errors=True)


def open_records(home: Home) -> list[SessionRecord]:
    """Return the sessions that have not expired, newest first; expired ones are dropped."""
    folder = home.folder / "sessions"
    records = []
    now = datetime.now(UTC)
    for one in folder.iterdir() if folder.is_dir() else ():
        if not is_session_id(one.name):
            continue
        try:
            record = load(home, one.name)
        except FarhandError:
            continue  # being written or removed by another command at this moment
        if parse_instant(record.expires) <= now:
            drop(home, record.session)
        else:
            records.append(record)
    return sorted(records, key=lambda record: record.granted_at, reverse=True)


def find(home: Home, name: str) -> SessionRecord | None:
    """Return the open session of that id, else the newest on a device of that id or name.

    Raises:
        FarhandError: `session-unknown`, `session-expired`, `device-ambiguous`.
    """
    if is_session_id(name):
        record = load(home, name)
        if parse_instant(record.expires) <= datetime.now(UTC):
            drop(home, name)
            raise FarhandError("session-expired", f"{name} has expired")
        return record
    wanted = name.lower()
    found = [
        record
        for record in open_records(home)
        if wanted in (record.device, record.device_name.lower())
    ]
    if len({record.device for record in found}) > 1:
        raise FarhandError(
            "device-ambiguous",
            f"there are open sessions on several devices named {name[:80]!r}",
            hint="name the session: " + ", ".join(record.session for record in found[:8]),
        )
    return found[0] if found else None


@contextmanager
def claim_pipe(home: Home, session: str) -> Iterator[int]:
    """Hold one of the session's eight pipes for the length of a connection.

    Raises:
        FarhandError: `session-busy` when all are in use.
    """
    folder = _folder(home, session)
    for number in range(PIPES):
        try:
            descriptor = os.open(folder / f"pipe-{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError as error:
            raise FarhandError("session-ended", f"{session} has ended") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        try:
            yield number
        finally:
            os.close(descriptor)
        return
    raise FarhandError("session-busy", "all eight connections of the session are in use")
