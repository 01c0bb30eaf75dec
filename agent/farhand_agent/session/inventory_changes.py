"""What a session changed on this computer: some inventory sections before it and after it.

    begin()        the session opens: a snapshot is taken beside it, by the inventory's own process
    look_again()   the session's programs are gone: another one
    found()        what differs, or why that is not known

Only on enrolled devices, whose inventory their organisation has anyway, and without the sections
that this device keeps to itself; a guest's software and users are nobody's business. Where policy
switches personal values off they are compared here all the same, and told as withheld. The first
snapshot lies beside the session's lock, so that a restart of the computer is no gap in it. It is
what the collectors see, by name and version, and no proof of who changed it: the computer's own
updates may run at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_agent.config import read_limited, write_atomically
from farhand_agent.processes import command
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant
from farhand_protocol.inventory import WITHHELD

__all__ = ["MAX_CHANGES", "InventoryChanges", "compare_sections"]

_log = logging.getLogger(__name__)

MAX_CHANGES: Final = 100
MAX_VALUE_CHARS: Final = 300
MAX_SNAPSHOT_BYTES: Final = 8 * 1024 * 1024
_COLLECT_S: Final = 60.0
# The technician's console waits for it at the end, and no longer.
_FOUND_S: Final = 10.0
# Nobody waits for the first look.
_FIRST_NICE: Final = 10


@dataclass(frozen=True)
class _Watched:
    """By which fields an item is known again, which of it are compared, which say who somebody is.

    `personal` are the collectors' own personal fields, as far as they are looked at here.
    """

    identity: tuple[str, ...]
    compared: tuple[str, ...]
    personal: tuple[str, ...] = ()


# What is cheap to look at and what a repair changes.
_SECTIONS: Final = {
    "network": _Watched(
        ("record", "name", "family"),
        ("state", "addresses", "gateway", "servers"),
        personal=("addresses", "gateway", "servers"),
    ),
    "services": _Watched(("manager", "name"), ("state", "start")),
    "software": _Watched(("source", "name", "arch"), ("version", "held")),
    "users": _Watched(("name",), ("uid", "administrator", "shell", "password"), ("name",)),
}


class _Section(msgspec.Struct, frozen=True):
    status: str
    items: list[dict[str, Any]]
    reason: str = ""


class _Collected(msgspec.Struct, frozen=True):
    """The part of `farhand-agent inventory --json` that counts here."""

    sections: dict[str, _Section]


class _Snapshot(msgspec.Struct, frozen=True):
    at: str
    sections: dict[str, _Section]


class InventoryChanges:
    """Watches one session.

    Args:
        path: where the first snapshot is kept.
        leave_out: sections that this device keeps to itself; None for a guest, which is not looked
            at.
        group: where the work is done.
        now: the session's time.
        personal: False keeps values back that say something about a person.
    """

    def __init__(
        self,
        path: Path,
        leave_out: Iterable[str] | None,
        group: asyncio.TaskGroup,
        now: Callable[[], datetime],
        *,
        personal: bool = True,
    ) -> None:
        self._personal = personal
        self._path = path
        self._group = group
        self._now = now
        self._sections = (
            [] if leave_out is None else [one for one in _SECTIONS if one not in set(leave_out)]
        )
        self._before: asyncio.Task[_Snapshot | None] | None = None
        self._after: asyncio.Task[_Snapshot | None] | None = None

    def begin(self) -> None:
        """Take the first snapshot, in the background; the one of an earlier process stands."""
        if self._sections:
            self._before = self._group.create_task(self._first())

    def look_again(self) -> None:
        """Take the second one; safe to repeat."""
        if self._before is not None and self._before.done() and self._after is None:
            self._after = self._group.create_task(self._look())

    async def found(self) -> dict[str, Any]:
        """Return what differs: {"changes": {...}} or {"changes": null, "why": TEXT}."""
        if self._before is None:
            return _unknown("this device's inventory is not compared")
        if self._after is None:
            return _unknown("the session was over before the computer had been looked at")
        try:
            async with asyncio.timeout(_FOUND_S):
                after = await asyncio.shield(self._after)
        except TimeoutError:
            return _unknown("looking at the computer took too long")
        before = self._before.result()
        if before is None or after is None:
            return _unknown("the computer could not be looked at")
        sections = await asyncio.to_thread(
            compare_sections, before.sections, after.sections, personal=self._personal
        )
        return {
            "changes": {"before_at": before.at, "after_at": after.at, "sections": sections},
        }

    async def close(self, *, keep: bool = False) -> None:
        """Stop looking; the first snapshot is removed unless another process goes on."""
        tasks = [task for task in (self._before, self._after) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not keep:
            self._path.unlink(missing_ok=True)

    async def _first(self) -> _Snapshot | None:
        with contextlib.suppress(OSError, FarhandError, msgspec.MsgspecError):
            # There is none of an earlier process, or it was cut short: a new one is taken.
            data = await asyncio.to_thread(read_limited, self._path, MAX_SNAPSHOT_BYTES)
            return msgspec.json.decode(data, type=_Snapshot)
        snapshot = await self._look(nice=_FIRST_NICE)
        if snapshot is not None:
            try:
                data = msgspec.json.encode(snapshot)
                await asyncio.to_thread(write_atomically, self._path, data)
            except (OSError, FarhandError) as error:
                # Only a restart of the computer would need it.
                _log.info("the snapshot could not be kept: %s", error)
        return snapshot

    async def _look(self, *, nice: int = 0) -> _Snapshot | None:
        """Run the inventory's process; None when it fails, which costs nothing but the answer."""
        at = format_instant(self._now().replace(microsecond=0))
        words = ["--section", ",".join(self._sections), "--json"]
        try:
            async with asyncio.timeout(_COLLECT_S):
                data = await _output(command("farhand_agent.inventory", *words), nice)
            collected = msgspec.json.decode(data, type=_Collected)
        except (OSError, TimeoutError, FarhandError, msgspec.MsgspecError) as error:
            _log.info("the inventory could not be looked at: %s", error)
            return None
        return _Snapshot(
            at, {name: _reduced(name, one) for name, one in collected.sections.items()}
        )


async def _output(argv: list[str], nice: int) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    data = bytearray()
    try:
        with contextlib.suppress(OSError):
            # Whatever the session is for goes first; the process may have ended already.
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        while piece := await process.stdout.read(256 * 1024):
            data += piece
            if len(data) > MAX_SNAPSHOT_BYTES:
                raise FarhandError("child-failed", "the inventory is too large to be compared")
    except BaseException:
        # Only then: asking a process that ends by itself takes its status from whom it belongs to.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    await process.wait()
    return bytes(data)


def _unknown(why: str) -> dict[str, Any]:
    return {"changes": None, "why": why}


def _reduced(name: str, section: _Section) -> _Section:
    """Keep of each item what is compared, in bounded values."""
    watched = _SECTIONS.get(name)
    if watched is None:
        return _Section("error", [])
    fields = (*watched.identity, *watched.compared)
    items = [{field: _bounded(item.get(field)) for field in fields} for item in section.items]
    return _Section(section.status, items, section.reason)


def _bounded(value: Any) -> Any:
    if isinstance(value, list):
        value = ", ".join(str(one) for one in value)
    return value[:MAX_VALUE_CHARS] if isinstance(value, str) else value


def compare_sections(
    before: dict[str, _Section], after: dict[str, _Section], *, personal: bool = True
) -> list[dict[str, Any]]:
    """Return what differs between two snapshots, one object per section that both have.

    A section that could not be read at either time is never taken for an empty one.

    Args:
        before, after: the sections by name.
        personal: False tells what says something about a person as withheld.

    Returns:
        {"name", "status_before", "status_after", "added": [ITEM], "removed": [ITEM],
        "changed": [{"before": ITEM, "after": ITEM}], "omitted"}; at most `MAX_CHANGES` of each
        kind, `omitted` counting the others.
    """
    return [
        _compare(name, before[name], after[name], () if personal else _SECTIONS[name].personal)
        for name in sorted(before.keys() & after.keys() & _SECTIONS.keys())
    ]


def _compare(
    name: str, before: _Section, after: _Section, withheld: tuple[str, ...]
) -> dict[str, Any]:
    added: list[dict[str, Any]] = []
    removed: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    if before.status == after.status == "ok":
        old, new = _by_identity(name, before.items), _by_identity(name, after.items)
        added = [_told(item, withheld) for key, item in new.items() if key not in old]
        removed = [_told(item, withheld) for key, item in old.items() if key not in new]
        changed = [
            {"before": _told(item, withheld), "after": _told(new[key], withheld)}
            for key, item in old.items()
            if key in new and new[key] != item
        ]
    kinds = (added, removed, changed)
    return {
        "name": name,
        "status_before": before.status,
        "status_after": after.status,
        "added": added[:MAX_CHANGES],
        "removed": removed[:MAX_CHANGES],
        "changed": changed[:MAX_CHANGES],
        "omitted": sum(max(0, len(kind) - MAX_CHANGES) for kind in kinds),
    }


def _by_identity(name: str, items: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return items by what they are known by; the second of the same is known as that."""
    seen: Counter[tuple[str, ...]] = Counter()
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for item in items:
        identity = tuple(str(item.get(field)) for field in _SECTIONS[name].identity)
        seen[identity] += 1
        found[(*identity, seen[identity])] = item
    return found


def _told(item: dict[str, Any], withheld: tuple[str, ...]) -> dict[str, Any]:
    return {
        field: WITHHELD if field in withheld and value != "" else value
        for field, value in item.items()
        if value is not None
    }
