"""Lists over the API: `{"items": [...], "next": CURSOR}`.

A cursor is opaque to the caller: base64url of the MessagePack list of the last row's sort values.
It carries no authority; whoever handles it applies the same filters again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from farhand_protocol.errors import UsageError

__all__ = [
    "LIMIT_DEFAULT",
    "LIMIT_MAX",
    "Cursor",
    "Limit",
    "Page",
    "decode_cursor",
    "encode_cursor",
    "page_of",
]

LIMIT_DEFAULT = 50
LIMIT_MAX = 500

# Route parameters: `cursor: Cursor = None, limit: Limit = LIMIT_DEFAULT`.
Cursor = Annotated[str | None, QueryParameter(name="cursor", max_length=512)]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=LIMIT_MAX)]

T = TypeVar("T")
R = TypeVar("R")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page; `next` is the cursor of the next one, null on the last."""

    items: list[T]
    next: str | None = None


def encode_cursor(*values: str | int | None) -> str:
    """Return a cursor for the sort values of the last row shown."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(values)).decode("ascii").rstrip("=")


def decode_cursor(cursor: str | None, *kinds: Any) -> tuple[Any, ...] | None:
    """Read a cursor made of values of these types; None stays None (the first page).

    Raises:
        UsageError: `cursor-malformed`.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = msgspec.msgpack.decode(raw, type=tuple[kinds])  # type: ignore[valid-type]
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise UsageError("cursor-malformed", "the cursor cannot be read") from error
    return tuple(values)


def page_of(
    rows: Sequence[R],
    limit: int,
    show: Callable[[R], T],
    key: Callable[[R], tuple[str | int | None, ...]],
) -> Page[T]:
    """Make a page from up to `limit + 1` rows: one more than shown tells that there are more.

    Args:
        rows: as the query returned them, asked with `LIMIT limit + 1`.
        limit: how many to show.
        show: turns a row into an item.
        key: a row's sort values, for the cursor.
    """
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(
        items=[show(row) for row in shown], next=encode_cursor(*key(shown[-1])) if more else None
    )
