"""Restarting a device from a session, and going on with the session afterwards.

    ask       {"restart": true} -> the device's system took the order
    wait      {"ask": true}     -> another instance than before: the device is back

The grant and what was consented to stay as they are; only the device's process is another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncssh
import msgspec

from farhand_console.home import Home
from farhand_console.relay import Relay
from farhand_console.session.record import SessionRecord
from farhand_console.session.ssh import SessionRestarted, connect_ssh
from farhand_protocol.errors import FarhandError

__all__ = ["ask_restart", "wait_for_restart"]

_ANSWER_S = 45.0
_MAX_LINE = 4096
_LOOK_S = 1.0
# Until the device has gone down it answers as before; then it may be away for long.
_AWAY = frozenset(
    {"session-lost", "session-not-connected", "session-restarted", "pipe-refused", "relay-timeout"}
)


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    instance: str = ""
    error: str = ""
    words: str = ""


async def ask_restart(connection: asyncssh.SSHClientConnection) -> str:
    """Tell the device to restart; return which instance of its session process took the order.

    Raises:
        FarhandError: `scope-missing`, `reboot-failed`, `session-lost`.
    """
    answer = await _ask(connection, {"restart": True})
    if answer.error:
        raise FarhandError("reboot-failed", answer.words[:200] or "the device refused")
    return answer.instance


async def wait_for_restart(
    home: Home,
    relay: Relay,
    record: SessionRecord,
    before: str,
    *,
    within_s: float,
    say: Callable[[str], None],
) -> None:
    """Wait until another instance of the session's process answers.

    Args:
        home, relay, record: of the session.
        before: what `ask_restart` returned.
        within_s: for how long.
        say: takes one line of words.

    Raises:
        FarhandError: `reboot-timeout`, or what ends the session meanwhile.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while (left_s := until - loop.time()) > 0:
        try:
            async with asyncio.timeout(left_s):
                if await _is_another(home, relay, record, before, left_s=left_s, say=say):
                    return
        except TimeoutError:
            break
        await asyncio.sleep(min(_LOOK_S, max(0.0, until - loop.time())))
    raise FarhandError(
        "reboot-timeout",
        f"the device was not back within {round(within_s)} s",
        hint="the session stays open until it expires; any command on it tries again",
    )


async def _is_another(
    home: Home,
    relay: Relay,
    record: SessionRecord,
    before: str,
    *,
    left_s: float,
    say: Callable[[str], None],
) -> bool:
    """Ask once which instance is there; a device that is away is not another one yet."""
    try:
        async with connect_ssh(home, relay, record, notice=say, patience_s=left_s) as connection:
            return (await _ask(connection, {"ask": True})).instance != before
    except* FarhandError as errors:
        if any(one.code not in _AWAY for one in _leaves(errors)):
            raise
    return False


def _leaves(error: BaseException) -> list[FarhandError]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error] if isinstance(error, FarhandError) else []


async def _ask(connection: asyncssh.SSHClientConnection, request: dict[str, bool]) -> _Answer:
    try:
        async with asyncio.timeout(_ANSWER_S):
            # `Any`: asyncssh types these three by their encoding, which is bytes here.
            streams: tuple[Any, Any, Any] = await connection.open_session(
                subsystem="farhand-restart", encoding=None
            )
            writer, reader, _ = streams
            writer.write(msgspec.json.encode(request) + b"\n")
            line = b""
            while not line.endswith(b"\n") and len(line) <= _MAX_LINE:
                if not (piece := await reader.read(_MAX_LINE)):
                    break
                line += piece
        return msgspec.json.decode(line, type=_Answer)
    except asyncssh.ChannelOpenError as error:
        raise FarhandError(
            "scope-missing", "a restart needs the terminal, which the session does not include"
        ) from error
    except SessionRestarted:
        raise
    except (asyncssh.Error, OSError, msgspec.MsgspecError) as error:
        raise FarhandError(
            "session-lost", "the device went before it answered", detail=str(error)
        ) from error
