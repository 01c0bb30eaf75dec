"""Small jobs on a session's device: its tools, one picture of its screen, looking on, and chat.

The tools are a closed table of what the device's own tools take; what is not in it is refused here.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, Final

import msgspec
from litestar import Request, Response, WebSocket, get, post, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, JSONBody

from farhand_console.home import Home
from farhand_console.session.channel import Channel, open_channel
from farhand_console.session.record import SessionRecord, open_records
from farhand_console.session.screenshot import ask_screenshot
from farhand_console.session.tools import ask_tool, tool_lines
from farhand_console.session.watching import Shown, watch
from farhand_console.web.session_lines import SessionLines
from farhand_console.web.sockets import Socket, error_body, first_of
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.grants import Grant

__all__ = [
    "MAX_LOG_LINES",
    "chat_socket",
    "held_sessions",
    "run_tool",
    "take_picture",
    "watch_session",
]

MAX_LOG_LINES: Final = 2000
_TOOLS: Final = frozenset(
    {
        "processes",
        "services",
        "disk-usage",
        "logs",
        "process-kill",
        "service-start",
        "service-stop",
        "service-restart",
        "lock",
        "logout",
        "restart",
        "shutdown",
        "power-cancel",
        "wake",
    }
)


class HeldSession(msgspec.Struct, kw_only=True):
    """A session whose key this console holds; `mode` as in its record.

    `read_only`: its files were granted for reading alone.
    """

    session: str
    device: str
    device_name: str
    guest: bool
    scopes: list[str]
    expires: str
    ticket: str
    operator: str
    mode: str
    words: list[str]
    read_only: bool


@get("/local/sessions")
async def held_sessions(home: NamedDependency[Home]) -> dict[str, list[HeldSession]]:
    """List the sessions that can be worked in from here."""
    found = await asyncio.to_thread(open_records, home)
    items = [
        HeldSession(
            session=one.session,
            device=one.device,
            device_name=one.device_name,
            guest=one.guest,
            scopes=one.scopes,
            expires=one.expires,
            ticket=one.ticket,
            operator=one.operator,
            mode=one.mode,
            words=one.words,
            read_only=_is_read_only(one),
        )
        for one in found
    ]
    return {"items": items}


def _is_read_only(one: SessionRecord) -> bool:
    # Who joined holds her own wish, and what files are open for stands in the other's grant.
    return not one.mode and open_payload(decode_envelope(one.grant), Grant).read_only


@post("/local/sessions/{session:str}/tool", status_code=200)
async def run_tool(
    request: Request[Any, Any, Any], session: FromPath[str], data: JSONBody[dict[str, Any]]
) -> dict[str, Any]:
    """Ask for one tool; `logs` answers with its lines as `items`."""
    tool = data.get("tool")
    if not isinstance(tool, str) or tool not in _TOOLS:
        raise UsageError("act-values", "there is no such tool")
    lines: SessionLines = request.app.state.session_lines
    async with lines.use(session) as line:
        if tool != "logs":
            return (await ask_tool(line.connection, [data]))[0]
        items: list[dict[str, Any]] = []
        asked = data | {"follow": False}
        async with aclosing(tool_lines(line.connection, asked)) as entries:
            async for entry in entries:
                items.append(entry)
                if len(items) >= MAX_LOG_LINES:
                    break
        return {"items": items}


class Why(msgspec.Struct, forbid_unknown_fields=True):
    """Why a picture is asked for; the person reads it."""

    reason: str = ""


@post("/local/sessions/{session:str}/picture", status_code=200)
async def take_picture(
    request: Request[Any, Any, Any], session: FromPath[str], data: JSONBody[Why]
) -> Response[bytes]:
    """Ask the person for one picture of her screen, and wait until she sends or refuses it."""
    lines: SessionLines = request.app.state.session_lines
    async with lines.use(session) as line:
        picture = await ask_screenshot(line.connection, reason=data.reason)
    headers = {"cache-control": "no-store", "x-farhand-sha256": picture.sha256}
    return Response(picture.data, media_type="image/png", headers=headers)


@websocket("/local/sessions/{session:str}/watch")
async def watch_session(socket: WebSocket[Any, Any, Any], session: FromPath[str]) -> None:
    """Show what the session's terminals show, as `watching.Shown` tells it."""
    await socket.accept()
    page = Socket(socket)
    lines: SessionLines = socket.app.state.session_lines

    async def show() -> None:
        async with lines.use(session) as line, aclosing(watch(line.connection)) as told:
            async for one in told:
                await page.say(_shown(one))
            raise await line.reason()

    try:
        await first_of(show(), page.gone())
    except FarhandError as error:
        await page.try_say({"error": error_body(error)})
    except WebSocketDisconnect:
        return
    await page.close()


def _shown(one: Shown) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(one)
    return shown


@websocket("/local/sessions/{session:str}/chat")
async def chat_socket(socket: WebSocket[Any, Any, Any], session: FromPath[str]) -> None:
    """Carry the session's conversation; the page sends {"say": TEXT} and is told every line.

    page <- {"id", "at", "who", "text"}, {"refused": {...}} for what was not taken, {"error": {...}}
    """
    await socket.accept()
    page = Socket(socket)
    lines: SessionLines = socket.app.state.session_lines

    async def talk() -> None:
        async with (
            lines.use(session) as line,
            open_channel(line.connection, "farhand-chat") as channel,
        ):
            await channel.send({"follow": 0})
            await first_of(_hear(page, channel), _say(page, channel))
            raise await line.reason()

    try:
        await talk()
    except FarhandError as error:
        await page.try_say({"error": error_body(error)})
    except WebSocketDisconnect:
        return
    await page.close()


async def _hear(page: Socket, channel: Channel) -> None:
    while (answer := await channel.receive()) is not None:
        if isinstance(answer.get("error"), dict):
            told = answer["error"]
            words = {"code": str(told.get("code"))[:60], "message": str(told.get("message"))[:300]}
            await page.say({"refused": words})
        elif "text" in answer:
            await page.say(
                {
                    "id": answer.get("id"),
                    "at": str(answer.get("at"))[:40],
                    "who": str(answer.get("who"))[:20],
                    "text": str(answer.get("text"))[:4000],
                }
            )


async def _say(page: Socket, channel: Channel) -> None:
    while True:
        message = await page.receive()
        if isinstance(message, dict) and isinstance(text := message.get("say"), str):
            await channel.send({"say": text[:2000]})
