"""Asking the process of a session, from an event loop; its answers stand in session/watched.py."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from farhand_agent import local
from farhand_agent.config import Home
from farhand_agent.errors import AgentNotRunning
from farhand_protocol.errors import FarhandError

__all__ = ["ask_process"]

_ANSWER_S: Final = 10.0
_MAX_ANSWER_BYTES: Final = 16 * local.MAX_LINE_BYTES


async def ask_process(home: Home, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask a session's process, as `local.ask` does and without blocking.

    Args:
        home: of the agent.
        name: of its socket: a session's id, or of a watch.
        request: as JSON.

    Raises:
        AgentNotRunning: nobody listens.
        FarhandError: the code it answered; `agent-silent`.
    """
    path = local.socket_path(home, session=name)
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_MAX_ANSWER_BYTES)
            try:
                writer.write(msgspec.json.encode(request) + b"\n")
                await writer.drain()
                answer = msgspec.json.decode(await reader.readline(), type=dict[str, Any])
            finally:
                writer.close()
    except (ConnectionError, FileNotFoundError) as error:
        raise AgentNotRunning from error
    except (OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
        raise FarhandError("agent-silent", "the session's process gave no answer") from error
    if isinstance(failure := answer.get("error"), dict):
        raise FarhandError(str(failure.get("code")), str(failure.get("message")))
    return answer
