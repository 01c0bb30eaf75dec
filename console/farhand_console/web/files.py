"""Files of a session's device in the page: SFTP at one end, HTTP at the other, piece by piece.

    GET  /local/sessions/S/files?path=P        what is in a folder, at most `MAX_LISTED`
    GET  /local/sessions/S/file?path=P         one file, as a download and never as a page
    POST /local/sessions/S/file?folder=P&name=N   the body becomes that file, when all of it came
    POST /local/sessions/S/files               make a folder, rename, remove

A path is the device's own bytes, percent-encoded, and the page hands it back as it got it; so a
name that is no text can be worked with too.  What is uploaded lies beside its place under another
name until it is whole, and is taken away where it does not become so.  What takes the place of a
file has that file's mode and, where that may be, its owner; what is new has what the device gives
to new files.

A device may be hostile: of a folder no more names, and no more bytes of names, are kept than the
bounds say, whatever it goes on to list.
"""

from __future__ import annotations

import asyncio
import posixpath
import secrets
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Annotated, Any, Final, Literal, Protocol, cast
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import asyncssh
import msgspec
from litestar import Request, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from farhand_console.web.session_lines import SessionLine, SessionLines
from farhand_protocol.errors import FarhandError, UsageError

__all__ = [
    "MAX_LISTED",
    "MAX_NAMES_BYTES",
    "MAX_REMOVED",
    "change_files",
    "get_file",
    "list_files",
    "put_file",
]

MAX_LISTED: Final = 5000
MAX_REMOVED: Final = 20_000
MAX_NAMES_BYTES: Final = 4 * 1024 * 1024
# No name of a real folder is longer; one of an SFTP packet may be.
_MAX_NAME_BYTES: Final = 4096
_MAX_KEPT_CHARS: Final = 200
# What is new is never run as somebody else.
_MODE: Final = 0o777
_PIECE_BYTES: Final = 256 * 1024
_MAX_PATH_CHARS: Final = 16_384
_MAX_DEEP: Final = 64
Path = Annotated[str, QueryParameter(max_length=_MAX_PATH_CHARS)]
Kind = Literal["folder", "file", "link", "other"]


class _Reader(Protocol):
    """A file of the device, opened for bytes; asyncssh types it as text."""

    async def read(self, size: int) -> bytes: ...


class Entry(msgspec.Struct, kw_only=True):
    """One thing in a folder; `name` is for showing, `path` for asking again."""

    name: str
    path: str
    kind: Kind
    size_bytes: int | None
    modified_at: int | None
    mode: str


class Folder(msgspec.Struct, kw_only=True):
    """A folder; `omitted` says whether it holds more than is told."""

    path: str
    name: str
    parent: str | None
    items: list[Entry]
    omitted: bool


class Change(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to do: `make` a folder `name` in `path`, `rename` `path` to `name`, or `remove` it."""

    do: Literal["make", "rename", "remove"]
    path: str
    name: str = ""


class Stored(msgspec.Struct, kw_only=True):
    """What was uploaded."""

    name: str
    size_bytes: int


def _path(text: str) -> bytes:
    path = unquote_to_bytes(text) or b"."
    if b"\0" in path or len(path) > _MAX_PATH_CHARS:
        raise UsageError("act-values", "this path cannot be taken")
    return path


def _name(text: str) -> bytes:
    name = text.encode("utf-8", "replace")
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > 255:
        raise UsageError("file-name", "a name has no slash, and 1 to 255 bytes")
    return name


async def _names(
    sftp: asyncssh.SFTPClient, folder: bytes, most: int
) -> AsyncGenerator[asyncssh.SFTPName | None, None]:
    """Yield what is in a folder, without itself and its parent; None, last, where there is more.

    Everything that comes is counted, so that a listing ends whatever the device says.
    """
    count = size = 0
    async for one in sftp.scandir(folder):
        name = _bytes_of(one)
        count, size = count + 1, size + len(name)
        is_dot = name in (b".", b"..")
        if count > most + 2 or size > MAX_NAMES_BYTES or len(name) > _MAX_NAME_BYTES:
            yield None
            return
        if not is_dot:
            yield one


def _bytes_of(one: asyncssh.SFTPName) -> bytes:
    name = one.filename
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace")


def _kept_name(name: bytes) -> str:
    """Return the name under which a browser keeps a file: nothing in it hides or turns its end."""
    shown = "".join(one if one.isprintable() else "_" for one in _shown(name))
    return shown[-_MAX_KEPT_CHARS:] or "file"


@asynccontextmanager
async def _sftp(lines: SessionLines, session: str) -> AsyncIterator[asyncssh.SFTPClient]:
    """Use a session's SFTP channel; what it answers becomes words.

    Raises:
        FarhandError: `files-refused`, `session-lost`, `session-ended`, ...
    """
    async with lines.use(session) as line, _translated(line):
        yield await line.sftp()


@asynccontextmanager
async def _translated(line: SessionLine) -> AsyncIterator[None]:
    try:
        yield
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
        raise await line.reason(error) from error
    except asyncssh.SFTPError as error:
        words = str(error.reason or error)[:300]
        raise FarhandError("files-refused", f"the device says: {words}") from error
    except (asyncssh.Error, OSError) as error:
        raise await line.reason(error) from error


def _entry(folder: bytes, one: asyncssh.SFTPName) -> Entry:
    name = _bytes_of(one)
    attrs = one.attrs
    mode = attrs.permissions or 0
    kinds: dict[int | None, Kind] = {
        asyncssh.FILEXFER_TYPE_DIRECTORY: "folder",
        asyncssh.FILEXFER_TYPE_REGULAR: "file",
        asyncssh.FILEXFER_TYPE_SYMLINK: "link",
    }
    return Entry(
        name=_shown(name),
        path=quote_from_bytes(posixpath.join(folder, name)),
        kind=kinds.get(attrs.type, "other"),
        size_bytes=attrs.size,
        modified_at=attrs.mtime,
        mode=stat.filemode(mode)[1:] if mode else "",
    )


@get("/local/sessions/{session:str}/files")
async def list_files(
    request: Request[Any, Any, Any], session: FromPath[str], path: Path = ""
) -> Folder:
    """Say what is in a folder; the first one is where the session's files begin."""
    lines: SessionLines = request.app.state.session_lines
    async with _sftp(lines, session) as sftp:
        real = await sftp.realpath(_path(path))
        assert isinstance(real, bytes)
        items: list[Entry] = []
        omitted = False
        async with aclosing(_names(sftp, real, MAX_LISTED)) as names:
            async for one in names:
                if one is None or len(items) >= MAX_LISTED:
                    omitted = True
                    break
                items.append(_entry(real, one))
    items.sort(key=lambda one: (one.kind != "folder", one.name.casefold()))
    parent = posixpath.dirname(real)
    return Folder(
        path=quote_from_bytes(real),
        name=_shown(real),
        parent=quote_from_bytes(parent) if parent != real else None,
        items=items,
        omitted=omitted,
    )


@get("/local/sessions/{session:str}/file")
async def get_file(request: Request[Any, Any, Any], session: FromPath[str], path: Path) -> Stream:
    """Send one file; whatever it is, the browser keeps it and does not open it."""
    lines: SessionLines = request.app.state.session_lines
    wanted = _path(path)
    async with _sftp(lines, session) as sftp:
        found = await sftp.stat(wanted)
        if found.type != asyncssh.FILEXFER_TYPE_REGULAR:
            raise FarhandError("files-refused", "this is no file")
    size = found.size or 0

    async def pieces() -> AsyncIterator[bytes]:
        # Its own use of the line: this runs when the answer is under way, for as long as it takes.
        async with _sftp(lines, session) as sftp, sftp.open(wanted, "rb") as file:
            left, reader = size, cast("_Reader", file)
            while left and (data := await reader.read(min(_PIECE_BYTES, left))):
                left -= len(data)
                yield data
            if left:
                raise FarhandError("files-refused", "the file became shorter meanwhile")

    name = quote(_kept_name(posixpath.basename(wanted)), safe="")
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        "content-length": str(size),
        "content-security-policy": "sandbox; default-src 'none'",
        "cache-control": "no-store",
    }
    return Stream(pieces(), media_type="application/octet-stream", headers=headers)


@post("/local/sessions/{session:str}/file", request_max_body_size=None, status_code=200)
async def put_file(
    request: Request[Any, Any, Any],
    session: FromPath[str],
    name: FromQuery[str],
    folder: Path = "",
    replace: FromQuery[bool] = False,
) -> Stored:
    """Take the body as a new file, or with `replace` in the place of one."""
    lines: SessionLines = request.app.state.session_lines
    target = posixpath.join(_path(folder), _name(name))
    beside = posixpath.join(_path(folder), f".farhand-{secrets.token_hex(8)}.part".encode())
    async with _sftp(lines, session) as sftp:
        if not replace and await sftp.exists(target):
            raise FarhandError("file-there", f"{name[:200]} is there already")
        like = await _replaced(sftp, target) if replace else None
        try:
            size = await _store(request, sftp, beside, like)
            if replace:
                await sftp.posix_rename(beside, target)
            else:
                await sftp.rename(beside, target)
        except BaseException:
            with suppress(asyncssh.Error, OSError, TimeoutError):
                # A line that is gone cannot be asked to take it away; the device's user may.
                async with asyncio.timeout(5):
                    await sftp.remove(beside)
            raise
    return Stored(name=name, size_bytes=size)


async def _replaced(sftp: asyncssh.SFTPClient, path: bytes) -> asyncssh.SFTPAttrs | None:
    """Return what is known of the file that is to be replaced; None where there is none."""
    try:
        return await sftp.stat(path)
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None


async def _make_like(sftp: asyncssh.SFTPClient, path: bytes, like: asyncssh.SFTPAttrs) -> None:
    """Give a new file the owner, where that may be, and the mode of the one that it replaces."""
    if like.uid is not None and like.gid is not None:
        # Only a superuser gives a file away; everybody else replaces it by one of her own.
        with suppress(asyncssh.SFTPError):
            await sftp.chown(path, like.uid, like.gid)
    if like.permissions is not None:
        await sftp.chmod(path, like.permissions & _MODE)


async def _store(
    request: Request[Any, Any, Any],
    sftp: asyncssh.SFTPClient,
    path: bytes,
    like: asyncssh.SFTPAttrs | None,
) -> int:
    """Write the body to a new file; returns its size.

    Who may not read what it replaces shall not read it while it comes either: it has its mode only
    once it is whole.
    """
    size = 0
    attrs = asyncssh.SFTPAttrs() if like is None else asyncssh.SFTPAttrs(permissions=0o600)
    async with sftp.open(path, "xb", attrs) as file:
        try:
            async for piece in request.stream():
                if piece:
                    await file.write(piece)
                    size += len(piece)
        except HTTPException as error:
            raise FarhandError("files-stopped", "the page stopped sending") from error
    if like is not None:
        await _make_like(sftp, path, like)
    return size


@post("/local/sessions/{session:str}/files", status_code=200)
async def change_files(
    request: Request[Any, Any, Any], session: FromPath[str], data: JSONBody[Change]
) -> dict[str, int]:
    """Make a folder, rename or remove; answers with how much was changed."""
    lines: SessionLines = request.app.state.session_lines
    path = _path(data.path)
    async with _sftp(lines, session) as sftp:
        if data.do == "make":
            await sftp.mkdir(posixpath.join(path, _name(data.name)))
        elif data.do == "rename":
            await sftp.rename(path, posixpath.join(posixpath.dirname(path), _name(data.name)))
        else:
            return {"changed": await _remove(sftp, path, _MAX_DEEP, MAX_REMOVED)}
    return {"changed": 1}


async def _remove(sftp: asyncssh.SFTPClient, path: bytes, deep: int, most: int) -> int:
    """Remove a file, or a folder with what is in it; links are removed and not followed."""
    found = await sftp.lstat(path)
    if found.type != asyncssh.FILEXFER_TYPE_DIRECTORY:
        await sftp.remove(path)
        return 1
    removed = 0
    # Read whole before anything goes: a folder that changes under a listing is listed wrongly.
    names: list[bytes] = []
    async with aclosing(_names(sftp, path, most)) as found_names:
        async for one in found_names:
            if one is None:
                raise _too_much()
            names.append(_bytes_of(one))
    for name in names:
        if deep == 0 or removed >= most:
            raise _too_much()
        removed += await _remove(sftp, posixpath.join(path, name), deep - 1, most - removed)
    await sftp.rmdir(path)
    return removed + 1


def _too_much() -> FarhandError:
    return FarhandError("files-refused", "there is too much in this folder to remove it")
