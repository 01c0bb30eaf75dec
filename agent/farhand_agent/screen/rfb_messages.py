"""The names and numbers of RFB that are used here, and what the state machine tells its driver.

Source: RFC 6143; the encodings beyond it are those of the community's RFB specification
(github.com/rfbproto/rfbproto).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

__all__ = [
    "ClientMessage",
    "CutTextTaken",
    "Encoding",
    "EncodingsSet",
    "Ended",
    "Event",
    "FormatSet",
    "KeyPressed",
    "Opened",
    "PointerMoved",
    "Rectangle",
    "UpdateWanted",
]


class ClientMessage(IntEnum):
    """What a viewer may send."""

    SET_PIXEL_FORMAT = 0
    SET_ENCODINGS = 2
    UPDATE_REQUEST = 3
    KEY = 4
    POINTER = 5
    CUT_TEXT = 6
    SET_DESKTOP_SIZE = 251


class Encoding(IntEnum):
    """How a rectangle is written, and what a viewer says it can do."""

    RAW = 0
    TIGHT = 7
    DESKTOP_SIZE = -223
    LAST_RECT = -224
    CURSOR = -239
    EXTENDED_DESKTOP_SIZE = -308
    EXTENDED_CLIPBOARD = -1063131698


JPEG_QUALITY: Final = range(-32, -22)
COMPRESSION: Final = range(-256, -246)


@dataclass(frozen=True)
class Rectangle:
    """One rectangle of an update, encoded."""

    x: int
    y: int
    width: int
    height: int
    encoding: int
    data: bytes


@dataclass(frozen=True)
class Opened:
    """The viewer is in."""


@dataclass(frozen=True)
class FormatSet:
    """It wants other pixels; what is shown must be sent anew."""


@dataclass(frozen=True)
class EncodingsSet:
    """It says what it understands."""


@dataclass(frozen=True)
class UpdateWanted:
    """It may be sent one update; `is_incremental` is False where it has forgotten everything."""

    is_incremental: bool


@dataclass(frozen=True)
class KeyPressed:
    """A key, as an X11 keysym, went down or up."""

    keysym: int
    is_down: bool


@dataclass(frozen=True)
class PointerMoved:
    """The pointer's place, and a bit for each button that is down."""

    x: int
    y: int
    buttons: int


@dataclass(frozen=True)
class CutTextTaken:
    """The viewer's clipboard holds this text."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The viewer broke a rule; nothing more is read from it."""

    code: str
    message: str


Event: TypeAlias = (
    Opened
    | FormatSet
    | EncodingsSet
    | UpdateWanted
    | KeyPressed
    | PointerMoved
    | CutTextTaken
    | Ended
)
