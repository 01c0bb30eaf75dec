"""Asking for more in a session that is open: signed here, decided at the device.

The wish names the grant by its hash and is signed by the same operator key; what may be added is
for the device's policy, the roster and the person there to say.  Nothing of the session changes
when they say no, and the relay sees nothing of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import msgspec

from farhand_console.session.record import SessionRecord
from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import Grant, Widening
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.trust import MAX_CONSENT_S, SCOPES

__all__ = ["Widened", "widen"]

# The person's minute, and what the wire and a queue of questions may take.
_ANSWER_S = MAX_CONSENT_S + 30.0
_LIFETIME = timedelta(minutes=10)
_MAX_ANSWER = 64 * 1024
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


class Widened(msgspec.Struct, frozen=True, kw_only=True):
    """What was added."""

    scopes: list[str]
    forward: list[str]


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    granted: bool
    scopes: list[str] = []
    forward: list[str] = []
    code: str = ""
    words: str = ""


async def widen(
    record: SessionRecord,
    connection: asyncssh.SSHClientConnection,
    *,
    signer: Signer,
    scopes: list[str],
    forward: list[str],
    reason: str,
    targets_version: int,
) -> Widened:
    """Ask the device for more scopes, and wait for the person there.

    Args:
        record: the session.
        connection: to its device.
        signer: the key that signed its grant.
        scopes, forward: what is to be added.
        reason: shown to the person.
        targets_version: of the trust metadata that this console has verified; 0 for a guest.

    Raises:
        RefusedError: the device's code: `consent-refused`, `consent-timeout`, `scope-empty`, ...
        FarhandError: `session-lost`, `grant-exceeded` when it answers more than was asked for.
    """
    grant = open_payload(decode_envelope(record.grant), Grant)
    if signer.public_key != grant.operator_key:
        raise RefusedError(
            "operator-key-changed", "this session was opened with another operator key"
        )
    now = datetime.now(UTC).replace(microsecond=0)
    wish = Widening(
        tenant=grant.tenant,
        id=make_id("w", secrets.token_bytes(16)),
        session=record.session,
        device=grant.device,
        grant_sha256=hashlib.sha256(record.grant).hexdigest(),
        operator=grant.operator,
        operator_key=grant.operator_key,
        scopes=scopes,
        forward=forward,
        reason=reason,
        targets_version=targets_version,
        issued_at=format_instant(now),
        expires=format_instant(now + _LIFETIME),
    )
    envelope = encode_envelope(seal(wish, signer))
    answer = await _ask(connection, b'{"widening":' + envelope + b"}\n")
    if not answer.granted:
        code = answer.code if _CODE.match(answer.code) else "consent-refused"
        raise RefusedError(code, answer.words[:500] or "the device refused")
    if not set(answer.scopes) <= set(scopes) or not set(answer.forward) <= {
        one.lower() for one in forward
    }:
        raise FarhandError("grant-exceeded", "the answer grants more than was asked for")
    return Widened(scopes=answer.scopes, forward=answer.forward)


async def _ask(connection: asyncssh.SSHClientConnection, line: bytes) -> _Answer:
    try:
        async with asyncio.timeout(_ANSWER_S):
            # `Any`: asyncssh types these three by their encoding, which is bytes here.
            streams: tuple[Any, Any, Any] = await connection.open_session(
                subsystem="farhand-widen", encoding=None
            )
            writer, reader, _ = streams
            writer.write(line)
            data = b""
            while not data.endswith(b"\n") and len(data) <= _MAX_ANSWER:
                piece = await reader.read(_MAX_ANSWER)
                if not piece:
                    break
                data += piece
        return msgspec.json.decode(data, type=_Answer)
    except (asyncssh.Error, OSError, TimeoutError, msgspec.MsgspecError) as error:
        raise FarhandError(
            "session-lost", "the device gave no answer", detail=str(error)
        ) from error


def in_order(scopes: list[str]) -> list[str]:
    """Return scopes as they are always listed, each once."""
    return [scope for scope in SCOPES if scope in scopes]
