"""What a console can ask of `farhand-tools`: one JSON object per line, told apart by `tool`.

A request that names no tool of this list, a field that a tool does not have, or a value out of its
bounds is `tool-malformed`, before anything is looked at.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from farhand_protocol.errors import RemoteError

__all__ = [
    "MAX_REQUEST_BYTES",
    "DiskUsage",
    "Lock",
    "Logout",
    "Logs",
    "PowerCancel",
    "ProcessKill",
    "Processes",
    "Request",
    "Restart",
    "ServiceChange",
    "ServiceRestart",
    "ServiceStart",
    "ServiceStop",
    "Services",
    "Shutdown",
    "Wake",
    "decode_request",
]

MAX_REQUEST_BYTES: Final = 8 * 1024
MAX_LOG_LINES: Final = 2000
MAX_DELAY_MIN: Final = 24 * 60

# Never a leading hyphen, never a blank or a quote: it becomes an argument of a system's command.
_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9@._:\\-]{0,127}"
_Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"\A{_NAME}\Z")]
_NameOrNone: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"\A({_NAME})?\Z")]
_Words: TypeAlias = Annotated[str, msgspec.Meta(max_length=200)]
_Path: TypeAlias = Annotated[str, msgspec.Meta(max_length=4096)]
_Delay: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_DELAY_MIN)]


class _Request(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="tool"
):
    pass


class Processes(_Request, frozen=True, kw_only=True, tag="processes"):
    """What runs, largest (or busiest) first; `match` is a part of name, command or user."""

    match: _Words = ""
    sort: Literal["memory", "cpu"] = "memory"


class ProcessKill(_Request, frozen=True, kw_only=True, tag="process-kill"):
    """End one process; with `name` only if that is what it is still called."""

    pid: Annotated[int, msgspec.Meta(ge=2, le=2**31 - 1)]
    signal: Literal["term", "kill"] = "term"
    name: _Words = ""


class Services(_Request, frozen=True, kw_only=True, tag="services"):
    """What runs in the background; `match` is a part of the name."""

    match: _Words = ""


class ServiceStart(_Request, frozen=True, kw_only=True, tag="service-start"):
    """Start a service."""

    name: _Name


class ServiceStop(_Request, frozen=True, kw_only=True, tag="service-stop"):
    """Stop a service."""

    name: _Name


class ServiceRestart(_Request, frozen=True, kw_only=True, tag="service-restart"):
    """Restart a service."""

    name: _Name


class Logs(_Request, frozen=True, kw_only=True, tag="logs"):
    """The end of the system's log, or of one file; `follow` goes on with what comes.

    `unit`, `since_s` and `priority` (0 the gravest to 7) are about the system's log only; `match`
    is a part of the text.
    """

    file: _Path = ""
    unit: _NameOrNone = ""
    match: _Words = ""
    since_s: Annotated[int, msgspec.Meta(ge=1, le=90 * 86_400)] | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=7)] | None = None
    lines: Annotated[int, msgspec.Meta(ge=0, le=MAX_LOG_LINES)] = 100
    follow: bool = False


class DiskUsage(_Request, frozen=True, kw_only=True, tag="disk-usage"):
    """What in a folder takes the room; empty means where the session's files begin."""

    path: _Path = ""


class Lock(_Request, frozen=True, kw_only=True, tag="lock"):
    """Lock the screens of whoever is signed in."""


class Logout(_Request, frozen=True, kw_only=True, tag="logout"):
    """Sign a user out; what that user runs ends."""

    user: _Name


class Restart(_Request, frozen=True, kw_only=True, tag="restart"):
    """Restart this computer, at once or in so many minutes; the session goes on afterwards."""

    delay_min: _Delay = 0


class Shutdown(_Request, frozen=True, kw_only=True, tag="shutdown"):
    """Switch this computer off, at once or in so many minutes."""

    delay_min: _Delay = 1


class PowerCancel(_Request, frozen=True, kw_only=True, tag="power-cancel"):
    """Take a restart or shutdown back that has not happened yet."""


class Wake(_Request, frozen=True, kw_only=True, tag="wake"):
    """Wake a neighbour in the local network; `broadcast` is an IPv4 address, empty for all."""

    mac: Annotated[str, msgspec.Meta(pattern=r"\A([0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}\Z")]
    broadcast: Annotated[str, msgspec.Meta(max_length=15)] = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 9


ServiceChange: TypeAlias = ServiceStart | ServiceStop | ServiceRestart
Request: TypeAlias = (
    Processes
    | ProcessKill
    | Services
    | ServiceStart
    | ServiceStop
    | ServiceRestart
    | Logs
    | DiskUsage
    | Lock
    | Logout
    | Restart
    | Shutdown
    | PowerCancel
    | Wake
)
# Where it is, as msgspec says it: "... - at `$.mac`".
_FIELD: Final = re.compile(r"`\$\.([a-z_]{1,20})[`.\[]")
_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def decode_request(line: bytes) -> Request:
    """Read one request.

    Raises:
        RemoteError: `tool-malformed`; its words name the field, never its value.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        field = _FIELD.search(str(error))
        what = f": {field[1]} is not as it should be" if field else ""
        raise RemoteError("tool-malformed", f"no tool takes this request{what}") from error
