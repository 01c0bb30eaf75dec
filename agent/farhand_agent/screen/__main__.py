"""Entry of the screen's process: started by the session's process, as the person at the desktop.

Its one argument says how it gets its end of the pair of sockets: `fd` is standard input itself; on
Windows, where a socket cannot be inherited so, `share` reads it from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import Any

import msgspec

from farhand_agent.screen.wire import encode_json, read_frame, write_frame
from farhand_protocol.errors import FarhandError

# The most that Windows writes of a socket that is handed over.
_MAX_SHARE_BYTES = 4096


def _socket(how: str) -> socket.socket:
    if how == "share":
        share: Any = getattr(socket, "fromshare", None)  # Windows alone has it
        size = int.from_bytes(sys.stdin.buffer.read(4), "big")
        found: socket.socket = share(sys.stdin.buffer.read(min(size, _MAX_SHARE_BYTES)))
        return found
    return socket.socket(fileno=0)


async def _serve(connection: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        await _work(reader, writer)
    except FarhandError as error:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        with contextlib.suppress(ConnectionError):  # nobody is there to be told
            await write_frame(writer, "J", encode_json({"error": told}))
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):  # the session's process went first
            await writer.wait_closed()


async def _work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    frame = await read_frame(reader)
    if frame is None:
        return
    try:
        # Late: these need the extra `screen`, and the session is told where it is not installed.
        from farhand_agent.screen.backends import open_clipboard, open_cursor, open_hands
        from farhand_agent.screen.capture import ScreenCapture, check_session
        from farhand_agent.screen.injector import Injector
        from farhand_agent.screen.worker import Begin, ScreenWorker
    except ImportError as error:
        raise FarhandError(
            "screen-not-installed",
            "this device's agent was installed without what shows a screen",
            hint="install farhand-agent[screen]",
            detail=str(error),
        ) from error
    begin = msgspec.json.decode(frame[1], type=Begin)
    check_session()
    capture = await asyncio.to_thread(ScreenCapture, with_cursor=True)
    hands = open_hands()
    clipboard = open_clipboard()
    try:
        cursor = open_cursor()
    except OSError:
        cursor = None  # the pointer is drawn into the picture then
    worker = ScreenWorker(
        reader,
        writer,
        capture=capture,
        injector=Injector(hands) if hands is not None else None,
        clipboard=clipboard,
        cursor=cursor,
        begin=begin,
    )
    try:
        await worker.run()
    finally:
        capture.close()
        for one in (hands, clipboard, cursor):
            if one is not None:
                one.close()


if __name__ == "__main__":
    asyncio.run(_serve(_socket(sys.argv[1])))
