"""The device's screen in the page: RFB out of the session's SSH, as noVNC takes it.

    page <-> bytes                 RFB, both ways, as it comes; `?view=true` lets nothing through
    page <-  {"error": {...}}      why it ended, before the websocket is closed

Nothing of it is read here.  A page that does not draw is not written to, and the device, whose
window then fills, sends no more.
"""

from __future__ import annotations

from typing import Any

from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, FromQuery

from farhand_console.session.rfb import RfbStream, open_rfb
from farhand_console.web.session_lines import SessionLines
from farhand_console.web.sockets import Socket, error_body, first_of
from farhand_protocol.errors import FarhandError

__all__ = ["screen_socket"]


@websocket("/local/sessions/{session:str}/screen")
async def screen_socket(
    socket: WebSocket[Any, Any, Any], session: FromPath[str], view: FromQuery[bool] = False
) -> None:
    """Carry the screen of a session."""
    await socket.accept()
    page = Socket(socket)
    lines: SessionLines = socket.app.state.session_lines
    try:
        async with (
            lines.use(session) as line,
            open_rfb(line.connection, view_only=view) as stream,
        ):
            await first_of(_show(page, stream), _tell(page, stream))
            stream.end()
            await stream.check()
            raise await line.reason()
    except FarhandError as error:
        await page.try_say({"error": error_body(error)})
    except WebSocketDisconnect:
        return
    await page.close()


async def _show(page: Socket, stream: RfbStream) -> None:
    while data := await stream.read():
        await page.send(data)


async def _tell(page: Socket, stream: RfbStream) -> None:
    while True:
        message = await page.receive()
        if isinstance(message, bytes):
            await stream.write(message)
