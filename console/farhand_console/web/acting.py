"""Runs the acts of `acts.py`: a child process each, its words carried to the page as they come.

    page  -> {"act": NAME, "values": {...}, "confirmed": true, "passphrase": "..."}
    page <-  {"say": LINE}                     a line of words
    page <-  {"answer": JSON}                  a line that the command printed
    page <-  {"end": EXIT, "error": {...}}     the last one

Closing the websocket stops the command as Ctrl-C would.  What uses the operator's key runs only
when the person confirmed just this act; a key with a passphrase is opened with what she typed for
it, which reaches the child in its environment and is kept nowhere.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any, Final, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from litestar import WebSocket, get, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect

from farhand_console.home import Home
from farhand_console.web.acts import ACTS, Act, command_words
from farhand_console.web.scratch import make_scratch
from farhand_console.web.sockets import Socket, first_of
from farhand_protocol.errors import FarhandError, UsageError

__all__ = [
    "MAX_ACTS",
    "KeyKind",
    "act_socket",
    "key_kind",
    "key_state",
    "own_environment",
    "told_error",
]

# Each is a process; a person gives them one by one.
MAX_ACTS: Final = 16
_MAX_LINE_BYTES: Final = 8 * 1024 * 1024
_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
# After Ctrl-C; a session that is being opened withdraws its request first.
_GRACE_S: Final = 10.0
_ERROR = re.compile(r"farhand: error: ([a-z][a-z0-9-]*): (.*)\Z", re.DOTALL)
_HINT = re.compile(r"farhand: hint: (.*)\Z", re.DOTALL)
KeyKind = Literal["missing", "plain", "passphrase", "ssh-agent"]


class Asking(msgspec.Struct, forbid_unknown_fields=True):
    """What the page asks for."""

    act: str
    values: dict[str, Any] = {}
    confirmed: bool = False
    passphrase: str | None = None


class KeyState(msgspec.Struct):
    """What the person is asked before her key is used."""

    kind: KeyKind


def key_kind(home: Home) -> KeyKind:
    """Return how the operator's key is kept."""
    path = home.key_file()
    if path.suffix == ".pub":
        path = path.with_suffix("")
    try:
        data = path.read_bytes()
    except OSError:
        return "ssh-agent" if path.with_name(path.name + ".pub").exists() else "missing"
    try:
        serialization.load_ssh_private_key(data, None)
    except TypeError:
        return "passphrase"
    except (ValueError, UnsupportedAlgorithm):
        return "plain"  # the command says what is wrong with it
    return "plain"


@get("/local/key")
async def key_state(home: NamedDependency[Home]) -> KeyState:
    """Say how the operator's key is kept, so that the page asks for what it needs."""
    return KeyState(kind=await asyncio.to_thread(key_kind, home))


def _asked(data: str | bytes) -> tuple[Asking, Act]:
    if len(data) > _MAX_REQUEST_BYTES:
        raise UsageError("act-values", "this is too much for one act")
    try:
        asking = msgspec.json.decode(data, type=Asking)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError("act-values", "what the page asked cannot be read") from error
    act = ACTS.get(asking.act)
    if act is None:
        raise UsageError("act-unknown", f"there is no act {asking.act[:40]!r}")
    if act.signs and not asking.confirmed:
        raise UsageError("act-unconfirmed", "nobody confirmed that the key is used for this")
    return asking, act


@websocket("/local/act")
async def act_socket(socket: WebSocket[Any, Any, Any], home: NamedDependency[Home]) -> None:
    """Run one act."""
    await socket.accept()
    running: set[int] = socket.app.state.acts
    folder = make_scratch("act")
    mark = id(socket)
    try:
        asking, act = _asked(await socket.receive_data("text"))
        if len(running) >= MAX_ACTS:
            raise FarhandError("web-busy", f"{MAX_ACTS} acts run already; let one end first")
        running.add(mark)
        words = command_words(act, asking.values, folder)
        await _run(socket, home, words, asking.passphrase if act.signs else None)
    except FarhandError as error:
        await _send(socket, {"end": error.exit_code, "error": _error(error)})
    except WebSocketDisconnect:
        return
    finally:
        running.discard(mark)
        shutil.rmtree(folder, ignore_errors=True)
    await socket.close()


def _error(error: FarhandError) -> dict[str, str | None]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


async def _send(socket: WebSocket[Any, Any, Any], message: dict[str, Any]) -> None:
    try:
        await socket.send_data(msgspec.json.encode(message).decode(), mode="text")
    except (WebSocketDisconnect, RuntimeError) as error:
        raise WebSocketDisconnect(code=1001, detail="gone") from error


def own_environment(passphrase: str | None) -> dict[str, str]:
    """Return what a command runs with: a passphrase only where it was typed for just that.

    One in the console's own environment would answer for her, without anybody being asked.
    """
    left_out = ("FARHAND_PASSPHRASE",)
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    if passphrase is not None:
        environment["FARHAND_PASSPHRASE"] = passphrase
    return environment


async def _run(
    socket: WebSocket[Any, Any, Any], home: Home, words: list[str], passphrase: str | None
) -> None:
    environment = own_environment(passphrase)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "farhand_console",
        "--home",
        str(home.folder),
        "--json",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        limit=_MAX_LINE_BYTES,
        start_new_session=True,
    )
    try:
        await _converse(socket, process)
    finally:
        await _stop(process)


async def _converse(socket: WebSocket[Any, Any, Any], process: Process) -> None:
    """Carry what the command says until it ends or the page goes."""
    said: list[str] = []

    async def answers() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            await _send(socket, {"answer": _json(line)})

    async def lines() -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            text = line.decode(errors="replace").rstrip("\n")
            said.append(text)
            del said[:-20]
            if not (_ERROR.match(text) or _HINT.match(text)):
                await _send(socket, {"say": text})

    async def works() -> None:
        try:
            await asyncio.gather(answers(), lines())
        except ValueError as error:
            raise FarhandError("act-answer", "the command said more than can be shown") from error
        await process.wait()

    await first_of(works(), Socket(socket).gone())
    if process.returncode is None:
        raise WebSocketDisconnect(code=1001, detail="gone")
    status = process.returncode
    end: dict[str, Any] = {"end": status}
    if status:
        end["error"] = told_error(said)
    await _send(socket, end)


def _json(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return line.decode(errors="replace").rstrip("\n")


def told_error(said: list[str]) -> dict[str, str | None]:
    """Return the command's own error out of its last words."""
    error: dict[str, str | None] = {"code": "act-failed", "message": "", "hint": None}
    for text in said:
        if found := _ERROR.match(text):
            error = {"code": found[1], "message": found[2], "hint": None}
        elif found := _HINT.match(text):
            error["hint"] = found[1]
    if not error["message"]:
        error["message"] = said[-1][:500] if said else "the command ended without a word"
    return error


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    for number, patience_s in ((signal.SIGINT, _GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass  # it ended by itself just now
        try:
            async with asyncio.timeout(patience_s):
                await process.wait()
                return
        except TimeoutError:
            continue
