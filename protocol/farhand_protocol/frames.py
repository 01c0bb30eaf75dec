"""The one fixed frame that opens `/pipe`, and its answer.

    ATTACH  magic "FHPP" version side session-id token     (fixed 60 bytes)
    OK      magic "FHPP" version status                    (fixed 6 bytes)

After OK the relay copies messages blindly.  The token is drawn by the relay for one attachment of
one side and expires within a minute; it gives no more than a place at the splice.
"""

from __future__ import annotations

from typing import Literal

from farhand_protocol.errors import RemoteError
from farhand_protocol.identity import is_session_id

__all__ = [
    "ATTACH_BYTES",
    "MAX_PIPE_MESSAGE_BYTES",
    "TOKEN_BYTES",
    "Side",
    "parse_attach",
    "parse_attach_reply",
    "write_attach",
    "write_attach_reply",
]

MAGIC = b"FHPP"
VERSION = 1
TOKEN_BYTES = 16
_SESSION_BYTES = 38
ATTACH_BYTES = 4 + 1 + 1 + _SESSION_BYTES + TOKEN_BYTES
MAX_PIPE_MESSAGE_BYTES = 128 * 1024

Side = Literal["device", "console"]
_SIDES: tuple[Side, ...] = ("device", "console")
_STATUS = {"attached": 0, "refused": 1}


def write_attach(side: Side, session: str, token: bytes) -> bytes:
    """Return the ATTACH frame."""
    raw = session.encode("ascii")
    if len(token) != TOKEN_BYTES or len(raw) > _SESSION_BYTES:
        raise ValueError("a pipe token has 16 bytes and a session id at most 38 characters")
    head = MAGIC + bytes([VERSION, _SIDES.index(side)])
    return head + raw.ljust(_SESSION_BYTES, b"\0") + token


def parse_attach(frame: bytes) -> tuple[Side, str, bytes]:
    """Read an ATTACH frame into side, session id and token.

    Raises:
        RemoteError: `attach-malformed`.
    """
    if len(frame) != ATTACH_BYTES or frame[:5] != MAGIC + bytes([VERSION]) or frame[5] > 1:
        raise RemoteError("attach-malformed", "the first frame on a pipe is not an attachment")
    raw = frame[6 : 6 + _SESSION_BYTES].rstrip(b"\0")
    if not raw.isascii() or not is_session_id(raw.decode("ascii")):
        raise RemoteError("attach-malformed", "the attachment names no session")
    return _SIDES[frame[5]], raw.decode("ascii"), frame[-TOKEN_BYTES:]


def write_attach_reply(attached: bool) -> bytes:
    """Return the relay's answer to an ATTACH frame."""
    return MAGIC + bytes([VERSION, _STATUS["attached" if attached else "refused"]])


def parse_attach_reply(frame: bytes) -> None:
    """Check the relay's answer.

    Raises:
        RemoteError: `attach-malformed` for anything else, `attach-refused` when refused.
    """
    if frame == write_attach_reply(True):
        return
    if frame == write_attach_reply(False):
        raise RemoteError("attach-refused", "the relay refused the pipe token")
    raise RemoteError("attach-malformed", "the relay's answer on the pipe cannot be read")
