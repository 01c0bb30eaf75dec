"""What a session changed on the device, as the device tells it at the end: read, shown, attached.

It is the device's word, bounded and escaped here; no verdict about who changed it.  On the ticket
it stands as a message of kind `session`: sentences first, the same as JSON below where it fits.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from farhand_console.output import json_bytes, printable
from farhand_protocol.errors import FarhandError

__all__ = ["ChangesTold", "InventoryDifference", "SectionChange", "changes_message", "read_changes"]

# A message on a ticket has at most 64,000 characters.
_MAX_WORDS_CHARS: Final = 20_000
_MAX_BODY_CHARS: Final = 60_000
_SHOWN_PER_KIND: Final = 25
_MAX_CELL_CHARS: Final = 200
_NOT_SHOWN: Final = frozenset({"source", "manager", "record", "arch", "name"})


class ItemChange(msgspec.Struct, frozen=True, kw_only=True):
    """One item before and after."""

    before: dict[str, Any]
    after: dict[str, Any]


class SectionChange(msgspec.Struct, frozen=True, kw_only=True):
    """What differs in one inventory section."""

    name: str
    status_before: str
    status_after: str
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[ItemChange]
    omitted: int = 0

    @property
    def is_known(self) -> bool:
        """Whether both looks could read it."""
        return self.status_before == self.status_after == "ok"

    @property
    def count(self) -> int:
        """How many items differ."""
        return len(self.added) + len(self.removed) + len(self.changed) + self.omitted


class InventoryDifference(msgspec.Struct, frozen=True, kw_only=True):
    """All sections, and when they were looked at."""

    before_at: str
    after_at: str
    sections: list[SectionChange]


class ChangesTold(msgspec.Struct, frozen=True, kw_only=True):
    """The device's answer: the changes, or why it knows none."""

    changes: InventoryDifference | None = None
    why: str = ""


def read_changes(line: bytes) -> ChangesTold:
    """Read the device's answer.

    Raises:
        FarhandError: `session-lost` when it cannot be read.
    """
    try:
        return msgspec.json.decode(line, type=ChangesTold)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise FarhandError(
            "session-lost", "what changed on the device cannot be read", detail=str(error)
        ) from error


def changes_message(session: str, found: InventoryDifference) -> str:
    """Return the body of the ticket's message."""
    words = [
        f"What changed on the device during session {session}"
        f" ({printable(found.before_at, 40)} to {printable(found.after_at, 40)}):"
    ]
    for section in found.sections:
        words += _section_lines(section)
    text = "\n".join(words)
    if len(text) > _MAX_WORDS_CHARS:
        text = text[:_MAX_WORDS_CHARS].rpartition("\n")[0] + "\n... and more"
    data = json_bytes(found).decode()
    if len(text) + len(data) + 10 <= _MAX_BODY_CHARS:
        text += f"\n\n{data}"
    return text


def _section_lines(section: SectionChange) -> list[str]:
    name = printable(section.name, 40)
    if not section.is_known:
        looks = (
            f"{printable(section.status_before, 40)}, then {printable(section.status_after, 40)}"
        )
        return [f"{name}: not known ({looks})"]
    if not section.count:
        return [f"{name}: nothing"]
    lines = [f"{name}:"]
    for sign, items in (("+", section.added), ("-", section.removed)):
        lines += [f"  {sign} {_item(item)}" for item in items[:_SHOWN_PER_KIND]]
    for change in section.changed[:_SHOWN_PER_KIND]:
        lines += [f"  ~ {_name(change.after)}: {_difference(change)}"]
    kinds = (section.added, section.removed, section.changed)
    more = section.omitted + sum(max(0, len(kind) - _SHOWN_PER_KIND) for kind in kinds)
    return [*lines, f"  ... and {more} more"] if more else lines


def _name(item: dict[str, Any]) -> str:
    return printable(item.get("name", item.get("record", "?")), _MAX_CELL_CHARS)


def _item(item: dict[str, Any]) -> str:
    rest = [
        f"{printable(field, 40)} {printable(value, _MAX_CELL_CHARS)}"
        for field, value in item.items()
        if field not in _NOT_SHOWN
    ]
    return f"{_name(item)}  {', '.join(rest)}".rstrip()


def _difference(change: ItemChange) -> str:
    before, after = change.before, change.after
    return ", ".join(
        f"{printable(field, 40)} {printable(before.get(field), _MAX_CELL_CHARS)}"
        f" -> {printable(after.get(field), _MAX_CELL_CHARS)}"
        for field in dict.fromkeys([*before, *after])
        if before.get(field) != after.get(field)
    )
