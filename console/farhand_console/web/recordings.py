"""Opened recordings, for the player in the page.

    POST   /local/recordings/S/open     {"passphrase": ..., "accept": [...]}
           -> the verdict, the streams with what they are, and the index of commands
    GET    /local/recordings/S/casts/N  one stream as an asciicast, after it was opened
    GET    /local/recordings/S/screens/N            what a recorded screen is, and its pieces
    GET    /local/recordings/S/screens/N/pieces/K   one of them (`recorded_screens`)

Opening is `farhand recording export` in a child process, which verifies every signature, and gets
the passphrase of the key in its environment.  What it wrote lies in a private folder until as many
others were opened, or the console ends; one that was killed leaves it to the next one (`scratch`).
What a device recorded may be hostile: each stream passes the filter that lets through what draws,
and nothing that makes a terminal answer, or grow without bound; of a screen, what draws.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from farhand_console.home import Home
from farhand_console.output import printable
from farhand_console.session.recording_screen import ScreenFilter
from farhand_console.web.acting import own_environment, told_error
from farhand_console.web.recorded_screens import PreparedScreen, Screen, prepare_screen
from farhand_console.web.scratch import make_scratch, sweep_scratch
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import is_session_id

__all__ = [
    "MAX_OPENED",
    "MAX_PLAYED_BYTES",
    "get_screen",
    "get_screen_piece",
    "hold_recordings",
    "open_recording",
    "play_recording",
]

MAX_OPENED: Final = 4
MAX_PLAYED_BYTES: Final = 64 * 1024 * 1024
_MAX_INDEX: Final = 2000
_MAX_COLS: Final = 500
_MAX_ROWS: Final = 200
_SIZE: Final = re.compile(r"([0-9]{1,5})x([0-9]{1,5})\Z", re.ASCII)
_PATIENCE_S: Final = 120.0
_MAX_SAID_BYTES: Final = 8 * 1024 * 1024
# What a person can take all the same, once she was told what is amiss.
Accepted = Literal["open-end", "unwitnessed", "unknown-device"]


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """How to open it."""

    passphrase: str | None = None
    accept: list[Accepted] = []


class Stream(msgspec.Struct, kw_only=True):
    """One stream of an opened recording; `at_s` is when it began, after the recording did."""

    number: int
    kind: str
    title: str
    lines: int
    at_s: float
    duration_s: float


class Moment(msgspec.Struct, kw_only=True):
    """One thing that was done, so many seconds after the recording began."""

    at_s: float
    words: str


class Opened(msgspec.Struct, kw_only=True):
    """What an opened recording holds."""

    session: str
    streams: list[Stream]
    moments: list[Moment]
    warnings: list[str]


class _Shelf:
    """The folders of what was opened, the newest last."""

    def __init__(self) -> None:
        self.folders: OrderedDict[str, Path] = OrderedDict()
        self._screens: dict[Path, PreparedScreen] = {}
        self._preparing = asyncio.Lock()

    def folder(self, session: str) -> Path:
        """Return where an opened recording lies.

        Raises:
            FarhandError: `recording-closed`.
        """
        folder = self.folders.get(session)
        if folder is None:
            raise _closed()
        return folder

    async def screen(self, session: str, number: int) -> PreparedScreen:
        """Return one screen of an opened recording, which is read at first use.

        Raises:
            FarhandError: `recording-closed`, and as `prepare_screen`.
        """
        path = self.folder(session) / f"{session}-{number}.rfb"
        async with self._preparing:
            if path not in self._screens:
                try:
                    made = await asyncio.to_thread(prepare_screen, path.with_suffix(".cast"), path)
                except OSError as error:
                    raise _closed() from error
                kept = self.folders.values()
                self._screens = {at: one for at, one in self._screens.items() if at.parent in kept}
                self._screens[path] = made
            return self._screens[path]

    def put(self, session: str, folder: Path) -> None:
        old = self.folders.pop(session, None)
        if old is None and len(self.folders) >= MAX_OPENED:
            _, old = self.folders.popitem(last=False)
        self.folders[session] = folder
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        for folder in self.folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        self.folders.clear()


def hold_recordings() -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Return the part of the application's life in which opened recordings are kept."""

    @asynccontextmanager
    async def held(app: Litestar) -> AsyncIterator[None]:
        app.state.recordings = shelf = _Shelf()
        await asyncio.to_thread(sweep_scratch)
        try:
            yield
        finally:
            await asyncio.to_thread(shelf.close)

    return held


@post("/local/recordings/{session:str}/open", status_code=200)
async def open_recording(
    request: Request[Any, Any, Any],
    session: FromPath[str],
    data: JSONBody[Asked],
    home: NamedDependency[Home],
) -> Opened:
    """Verify and decrypt a recording."""
    if not is_session_id(session):
        raise FarhandError("session-unknown", "this is not a session")
    shelf: _Shelf = request.app.state.recordings
    folder = await asyncio.to_thread(make_scratch, "recording")
    try:
        answer, warnings = await _export(home, session, data, folder)
        opened = await asyncio.to_thread(_opened, session, answer, warnings, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    await asyncio.to_thread(shelf.put, session, folder)
    return opened


async def _export(
    home: Home, session: str, asked: Asked, folder: Path
) -> tuple[dict[str, Any], list[str]]:
    environment = own_environment(asked.passphrase)
    words = ["recording", "export", f"--out={folder}", *(f"--{one}" for one in asked.accept)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "farhand_console",
        f"--home={home.folder}",
        "--json",
        *words,
        "--",
        session,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            out, said = await process.communicate()
    except TimeoutError as error:
        raise FarhandError(
            "recording-large",
            "the recording could not be opened in two minutes",
            hint="farhand recording export writes files for a player",
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = said[:_MAX_SAID_BYTES].decode(errors="replace").splitlines()
    if process.returncode:
        told = told_error(lines)
        raise FarhandError(str(told["code"]), str(told["message"]), hint=told["hint"])
    warnings = [line.partition("warning: ")[2] for line in lines if "warning: " in line]
    answer: dict[str, Any] = msgspec.json.decode(out)
    return answer, warnings


def _opened(session: str, answer: dict[str, Any], warnings: list[str], folder: Path) -> Opened:
    streams, moments = [], []
    for row in answer["files"]:
        stream = Stream(
            number=row["stream"],
            kind=str(row["kind"])[:40],
            title=str(row["title"])[:300],
            lines=row["lines"],
            at_s=_began(Path(row["path"])),
            duration_s=row["duration_s"],
        )
        if stream.number == 0:
            moments = _index(folder / f"{session}-0.cast")
        else:
            streams.append(stream)
    return Opened(session=session, streams=streams, moments=moments, warnings=warnings[:20])


def _began(path: Path) -> float:
    with path.open(encoding="utf-8") as file:
        header = json.loads(next(file))
    return float((header.get("farhand") or {}).get("at_s") or 0.0)


def _index(path: Path) -> list[Moment]:
    """Return what was done and when, out of the stream of events."""
    moments: list[Moment] = []
    at_s = 0.0
    with path.open(encoding="utf-8") as file:
        next(file, None)  # the header
        for text in file:
            interval_s, code, data = json.loads(text)
            at_s += interval_s
            if code == "o" and len(moments) < _MAX_INDEX:
                moments.append(Moment(at_s=round(at_s, 3), words=data.strip()[:500]))
    return moments


@get("/local/recordings/{session:str}/casts/{number:int}")
async def play_recording(
    request: Request[Any, Any, Any], session: FromPath[str], number: FromPath[int]
) -> Response[bytes]:
    """Send one stream of an opened recording."""
    shelf: _Shelf = request.app.state.recordings
    path = shelf.folder(session) / f"{session}-{number}.cast"
    data = await asyncio.to_thread(_filtered, path)
    return Response(
        data, media_type="application/x-asciicast", headers={"cache-control": "no-store"}
    )


@get("/local/recordings/{session:str}/screens/{number:int}")
async def get_screen(
    request: Request[Any, Any, Any], session: FromPath[str], number: FromPath[int]
) -> Screen:
    """Say what a recorded screen is, and where its pieces begin."""
    shelf: _Shelf = request.app.state.recordings
    return (await shelf.screen(session, number)).screen


@get("/local/recordings/{session:str}/screens/{number:int}/pieces/{piece:int}")
async def get_screen_piece(
    request: Request[Any, Any, Any],
    session: FromPath[str],
    number: FromPath[int],
    piece: FromPath[int],
) -> Response[bytes]:
    """Send one piece of a recorded screen."""
    shelf: _Shelf = request.app.state.recordings
    screen = await shelf.screen(session, number)
    try:
        data = await asyncio.to_thread(screen.piece, piece)
    except OSError as error:
        raise _closed() from error
    return Response(
        data, media_type="application/octet-stream", headers={"cache-control": "no-store"}
    )


def _closed() -> FarhandError:
    return FarhandError("recording-closed", "this recording is not open here any more")


def _within(number: Any, most: int) -> int:
    """Return a side of the player's terminal: it keeps a cell for each place, seen or not."""
    return min(max(int(number), 1), most)


def _filtered(path: Path) -> bytes:
    """Return a stream of which the output is safe on any terminal."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UsageError("stream-unknown", "the recording has no such stream") from error
    if size > MAX_PLAYED_BYTES:
        raise FarhandError(
            "recording-large",
            "this is too long for the page",
            hint="farhand recording play shows it in a terminal",
        )
    screen = ScreenFilter()
    out = bytearray()
    with path.open(encoding="utf-8") as file:
        header = json.loads(next(file))
        term = header.get("term", {})
        shown = {
            "version": 3,
            "term": {
                "cols": _within(term.get("cols") or 80, _MAX_COLS),
                "rows": _within(term.get("rows") or 24, _MAX_ROWS),
            },
        }
        out += msgspec.json.encode(shown) + b"\n"
        for text in file:
            interval_s, code, words = json.loads(text)
            if code == "o":
                words = screen.feed(words)
            elif code == "r" and (told := _SIZE.match(str(words))) is not None:
                cols, rows = _within(told[1], _MAX_COLS), _within(told[2], _MAX_ROWS)
                words = f"{cols}x{rows}"
            elif code in ("m", "x"):
                words = printable(words)
            else:
                code, words = "i", ""  # what was typed is in what was shown
            out += msgspec.json.encode([interval_s, code, words]) + b"\n"
    return bytes(out)
