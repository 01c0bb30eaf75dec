"""Handing a session over: its operator goes, and a peer who joined has it from then on."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import asyncssh
import msgspec

from farhand_protocol.errors import FarhandError, RefusedError

__all__ = ["hand_over_on_device"]

_ANSWER_S: Final = 20.0
_MAX_ANSWER: Final = 4 * 1024


class _Answer(msgspec.Struct):
    handed_over: str = ""
    error: str = ""


async def hand_over_on_device(connection: asyncssh.SSHClientConnection) -> str:
    """Have the device hand the session over; return to whom.

    Raises:
        RefusedError: `handover-nobody` when no peer is in the session.
        FarhandError: `session-lost` when the device gives no answer.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            # `Any`: asyncssh types these three by their encoding, which is bytes here.
            streams: tuple[Any, Any, Any] = await connection.open_session(
                subsystem="farhand-handover", encoding=None
            )
            writer, reader, _ = streams
            writer.write(b'{"hand_over":true}\n')
            data = b""
            while not data.endswith(b"\n") and len(data) <= _MAX_ANSWER:
                piece = await reader.read(_MAX_ANSWER)
                if not piece:
                    break
                data += piece
        answer = msgspec.json.decode(data, type=_Answer)
    except (asyncssh.Error, OSError, TimeoutError, msgspec.MsgspecError) as error:
        raise FarhandError(
            "session-lost", "the device gave no answer", detail=str(error)
        ) from error
    if not answer.handed_over:
        raise RefusedError(
            "handover-nobody",
            "nobody is in the session who could go on with it",
            hint="another technician joins with: farhand session join S --as peer",
        )
    return answer.handed_over
