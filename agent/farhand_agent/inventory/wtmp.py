"""Records of starts and logins: utmp files of glibc, and wtmpdb's database of newer systems.

Read here instead of through last(1), which prints local times without their zone.

Source: utmp(5).  A record has 384 bytes where glibc keeps 32-bit times for compatibility (x86) and
400 where it never had them (64-bit ARM).
"""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass
from typing import Final

from farhand_agent.inventory.context import Context, Malformed, Unsupported

__all__ = ["BOOT", "LOGIN", "LOGOUT", "SHUTDOWN", "Record", "parse_utmp", "read_records"]

BOOT: Final = "boot"
SHUTDOWN: Final = "shutdown"
LOGIN: Final = "login"
LOGOUT: Final = "logout"

_WTMP: Final = "/var/log/wtmp"
_WTMPDB: Final = "/var/lib/wtmpdb/wtmp.db"
# type, pid, line, id, user, host, two exit codes, session, seconds, microseconds, address, unused.
_COMPAT: Final = struct.Struct("<hxxi32s4s32s256shhiii16s20s")
_WIDE: Final = struct.Struct("<hxxi32s4s32s256shhqqq16s20sxxxx")
_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_ROWS: Final = 2_000
_RUN_LVL, _BOOT_TIME, _USER, _DEAD = 1, 2, 7, 8


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened, at Unix seconds; `detail` is the kernel of a start, else a host."""

    kind: str
    at: float
    user: str = ""
    line: str = ""
    detail: str = ""
    ended_at: float | None = None


def parse_utmp(data: bytes) -> list[Record]:
    """Return the records in a utmp or wtmp file, oldest first; of other kinds than ours none.

    Raises:
        Malformed: it is no whole number of records.
    """
    shape = next((one for one in (_COMPAT, _WIDE) if _fits(one, data)), None)
    if shape is None:
        raise Malformed("wtmp")
    found = []
    for fields in shape.iter_unpack(data):
        number, _, line, _, user, host, _, _, _, seconds, micros, _, _ = fields
        name = _text(user)
        kind = None
        if number == _BOOT_TIME:
            kind = BOOT
        elif number == _RUN_LVL and name == "shutdown":
            kind = SHUTDOWN
        elif number == _USER and name:
            kind = LOGIN
        elif number == _DEAD:
            kind = LOGOUT
        if kind:
            at = seconds + max(0, min(micros, 999_999)) / 1e6
            found.append(Record(kind, at, name, _text(line), _text(host)))
    return found


def read_records(context: Context) -> list[Record]:
    """Return what this system wrote down, oldest first.

    Raises:
        Unsupported: it writes nothing down.
        Malformed: what it wrote cannot be read.
        PermissionError: this user may not read it.
    """
    path = context.files.path(_WTMP)
    if path.is_file():
        with path.open("rb") as file:
            size = path.stat().st_size
            # The newest records of a large file, from the start of one.
            if size > _MAX_BYTES:
                unit = _COMPAT.size if size % _COMPAT.size == 0 else _WIDE.size
                file.seek(size - _MAX_BYTES // unit * unit)
            return parse_utmp(file.read(_MAX_BYTES + _WIDE.size))
    if context.files.path(_WTMPDB).is_file():
        return _read_database(context)
    raise Unsupported("starts and logins are not written down here (no wtmp)")


def _read_database(context: Context) -> list[Record]:
    """Source: wtmpdb(8), table wtmp: microseconds; Type 1 is a start and 3 a login."""
    path = context.files.path(_WTMPDB)
    query = (
        "SELECT Type, User, Login, Logout, TTY, RemoteHost FROM wtmp ORDER BY Login DESC LIMIT ?"
    )
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2)
        try:
            rows = connection.execute(query, (_MAX_ROWS,)).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Malformed("wtmpdb") from error
    found = []
    for number, user, login, logout, line, host in reversed(rows):
        if number not in (1, 3) or not isinstance(login, int):
            continue
        ended = logout / 1e6 if isinstance(logout, int) else None
        kind = BOOT if number == 1 else LOGIN
        words = [str(one or "") for one in (user, line, host)]
        found.append(Record(kind, login / 1e6, words[0], words[1], words[2], ended))
    return found


def _fits(shape: struct.Struct, data: bytes) -> bool:
    """Tell whether data is records of this shape: a whole number, the first of a known type."""
    return len(data) % shape.size == 0 and all(
        0 <= int.from_bytes(data[at : at + 2], "little") <= 9
        for at in range(0, min(len(data), 16 * shape.size), shape.size)
    )


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace")
