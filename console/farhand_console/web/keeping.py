"""What a page takes up again at its next visit: open work, drafts, filters that were kept.

    GET  /local/kept     -> {"things": {key: text}}
    POST /local/kept     {"things": {key: text}}     an empty text forgets that thing

It lies in the console's home and not in the browser, whose storage belongs to one port: `farhand
web` has another one at each start, and what lay under the old one would be anybody's who listens
there later.  One file (0600) per relay and account, replaced whole.  Drafts nobody came back to for
`DRAFT_DAYS` go, and the oldest drafts go where there are too many things; the rest stays.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from farhand_console.home import Home, write_private
from farhand_protocol.errors import FarhandError, UsageError

__all__ = [
    "DRAFT_DAYS",
    "MAX_THINGS",
    "MAX_THINGS_BYTES",
    "MAX_THING_CHARS",
    "Things",
    "keep",
    "keep_things",
    "kept_things",
]

DRAFT_DAYS: Final = 30
MAX_THINGS: Final = 200
# A script of the greatest size, as its draft.
MAX_THING_CHARS: Final = 640 * 1024
# Of all of them together; more than this never gets into the file.
MAX_THINGS_BYTES: Final = 4 * 1024 * 1024
_DRAFT: Final = "draft."
_DAY_S: Final = 86_400.0

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_THING_CHARS)]


class Things(msgspec.Struct, forbid_unknown_fields=True):
    """Texts by their keys."""

    things: Annotated[dict[Key, Text], msgspec.Meta(max_length=MAX_THINGS)]


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """One thing in the file: its text, and when it was written, in seconds since 1970."""

    text: str
    at: float


def _file(home: Home) -> Path:
    settings = home.settings()
    whose = hashlib.sha256(f"{settings.relay_key} {settings.account}".encode()).hexdigest()
    return home.folder / "web" / f"kept-{whose[:16]}.json"


def _read(path: Path) -> dict[str, _Kept]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Kept])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise FarhandError(
            "home-unreadable", f"cannot read {path}", hint="remove it: open work and drafts go"
        ) from error


def _read_in_turn(home: Home) -> dict[str, _Kept]:
    """Read after whatever a page that was left is still having written."""
    with home.locked("web-kept"):
        return _read(_file(home))


def _bounded(kept: dict[str, _Kept], now: float) -> dict[str, _Kept]:
    """Return what stays: no draft that is too old, and the newest drafts for which there is room.

    Raises:
        UsageError: `web-kept-full` where even without a draft there is too much.
    """
    since = now - DRAFT_DAYS * _DAY_S
    drafts = sorted(
        (key for key, one in kept.items() if key.startswith(_DRAFT) and one.at >= since),
        key=lambda key: kept[key].at,
    )
    stays = [key for key in kept if not key.startswith(_DRAFT)]
    while True:
        left = {key: kept[key] for key in (*stays, *drafts)}
        if len(left) <= MAX_THINGS and len(msgspec.json.encode(left)) <= MAX_THINGS_BYTES:
            return left
        if not drafts:
            raise UsageError("web-kept-full", "there is no room for more of what a page keeps")
        del drafts[0]


def keep(home: Home, things: Mapping[str, str], *, now: float) -> None:
    """Write things down; blocks.

    Args:
        home: of the console.
        things: text by key; an empty text forgets.
        now: seconds since 1970.

    Raises:
        UsageError: `web-kept-full`.
        FarhandError: `home-unreadable`, `home-unwritable`.
    """
    path = _file(home)
    with home.locked("web-kept"):
        kept = _read(path)
        for key, text in things.items():
            kept.pop(key, None)
            if text:
                kept[key] = _Kept(text, now)
        write_private(path, msgspec.json.encode(_bounded(kept, now)))


@get("/local/kept")
async def kept_things(home: NamedDependency[Home]) -> Things:
    """Tell what was kept."""
    kept = await asyncio.to_thread(_read_in_turn, home)
    since = time.time() - DRAFT_DAYS * _DAY_S
    fresh = {key: one for key, one in kept.items() if one.at >= since or key[:6] != _DRAFT}
    return Things({key: one.text for key, one in fresh.items()})


@post("/local/kept", status_code=204)
async def keep_things(data: JSONBody[Things], home: NamedDependency[Home]) -> None:
    """Keep some things, and leave the others as they are."""
    await asyncio.to_thread(keep, home, data.things, now=time.time())
