"""What changed between two snapshots of one inventory section.  Pure: no I/O.

Items are matched by what names them (for software source, name and architecture; elsewhere the
first of `_NAMING` that every item on both sides has and that tells them apart).  Where nothing
names them, an item is its own whole content: added or removed, never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from farhand_protocol.inventory import SectionReport, canonical_json

__all__ = ["Change", "SectionDifference", "compare"]

Item = dict[str, Any]

MAX_LISTED: Final = 1_000
_NAMING: Final[tuple[tuple[str, ...], ...]] = (
    ("id",),
    ("name",),
    ("path",),
    ("mountpoint",),
    ("mount",),
    ("device",),
    ("interface",),
    ("user",),
    ("key",),
    ("serial",),
)
_NAMING_OF: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "software": (("source", "name", "arch"), ("source", "name", "arch", "version")),
    "updates": (("provider", "id"), ("provider", "name"), *_NAMING),
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One item that is there on both sides, but not alike."""

    before: Item
    after: Item


class SectionDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one section; the lists hold at most `MAX_LISTED`, the counts tell all."""

    name: str
    before_at: str | None
    after_at: str
    status_before: str | None
    status_after: str
    added: list[Item]
    removed: list[Item]
    changed: list[Change]
    added_count: int
    removed_count: int
    changed_count: int


def compare(before: SectionReport | None, after: SectionReport) -> SectionDifference:
    """Compare two reports of the same section.

    Args:
        before: the earlier one; None where the section was never seen before.
        after: the later one.
    """
    # What a failed collection did not see was not removed: missing never looks like empty.
    usable = before is None or (before.status == "ok" and after.status == "ok")
    old = list(before.items) if before is not None and usable else []
    new = list(after.items) if usable else []
    naming = _naming_for(after.name, old, new)
    old_by, new_by = _index(old, naming), _index(new, naming)
    added = [item for key, item in new_by.items() if key not in old_by]
    removed = [item for key, item in old_by.items() if key not in new_by]
    changed = [
        Change(before=old_by[key], after=item)
        for key, item in new_by.items()
        if key in old_by and old_by[key] != item
    ]
    return SectionDifference(
        name=after.name,
        before_at=before.collected_at if before else None,
        after_at=after.collected_at,
        status_before=before.status if before else None,
        status_after=after.status,
        added=added[:MAX_LISTED],
        removed=removed[:MAX_LISTED],
        changed=changed[:MAX_LISTED],
        added_count=len(added),
        removed_count=len(removed),
        changed_count=len(changed),
    )


def _naming_for(section: str, old: Sequence[Item], new: Sequence[Item]) -> tuple[str, ...] | None:
    for naming in _NAMING_OF.get(section, _NAMING):
        if all(_names(items, naming) for items in (old, new)):
            return naming
    if len(old) <= 1 and len(new) <= 1:
        return ()  # a section of one item (system, cpu) needs no name
    return None


def _names(items: Sequence[Item], naming: tuple[str, ...]) -> bool:
    keys = set()
    for item in items:
        if any(not isinstance(item.get(field), str | int) for field in naming):
            return False
        keys.add(_key(item, naming))
    return len(keys) == len(items)


def _key(item: Item, naming: tuple[str, ...] | None) -> bytes:
    return canonical_json(item if naming is None else [item[field] for field in naming])


def _index(items: Sequence[Item], naming: tuple[str, ...] | None) -> dict[bytes, Item]:
    return {_key(item, naming): item for item in items}
