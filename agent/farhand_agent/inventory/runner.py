"""Runs collectors and turns whatever happens into an honest section report.

Sections run beside each other, at most four at a time, each in a daemon thread with a deadline:
a collector that hangs (a dead file server) costs its own section only.  A hung thread cannot be
ended in Python, so this belongs into the short-lived process of `python -m
farhand_agent.inventory`, never into the resident agent.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.context import Context, Denied, Unsupported
from farhand_agent.inventory.registry import Section, sections
from farhand_agent.platforms.commands import CommandDenied, CommandMissing, CommandTimeout
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant
from farhand_protocol.inventory import (
    MAX_ITEMS,
    MAX_REASON_CHARS,
    WITHHELD,
    SectionReport,
    Status,
    section_hash,
    validate_section,
)

__all__ = ["WITHHELD", "collect_all", "collect_section"]

_PARALLEL = 4
_MAX_TEXT_CHARS = 8_000
_MAX_CLEAN_DEPTH = 6

ContextMaker = Callable[[Section], Context]


def collect_all(
    names: Iterable[str] | None = None,
    *,
    leave_out: Iterable[str] = (),
    switched_on: Iterable[str] | None = None,
    personal: bool = True,
    root: Path = Path("/"),
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, SectionReport]:
    """Collect sections and return their reports by name, sorted.

    Args:
        names: which ones; None for all.
        leave_out: of these, which ones not.
        switched_on: the opt-in sections that may be collected; None for those in `names`.
        personal: False keeps values back that say something about a person.
        root: the folder that stands for "/".
        progress: called with how many are done, of how many, and the name of the last.

    Raises:
        FarhandError: `section-unknown` for a name that is no section.
    """
    wanted = list(CATALOGUE) if names is None else list(dict.fromkeys(names))
    unwanted = set(leave_out)
    for name in (*wanted, *sorted(unwanted)):
        if name not in CATALOGUE:
            raise FarhandError(
                "section-unknown",
                f"there is no section {name[:60]!r}",
                hint=f"known are: {', '.join(CATALOGUE)}",
            )
    known = sections(names=set(wanted) - unwanted)

    def make(section: Section) -> Context:
        return Context(root=root, timeout_s=section.timeout_s)

    on = set((names and wanted) or () if switched_on is None else switched_on)
    chosen = [
        known[name] if name in on or not known[name].opt_in else replace(known[name], collect=_off)
        for name in wanted
        if name not in unwanted
    ]
    reports = _collect_beside(chosen, make, personal, progress)
    return {name: reports[name] for name in sorted(reports)}


def _off(context: Context) -> list[dict[str, Any]]:
    raise Unsupported("not switched on")


@dataclass(slots=True)
class _Running:
    section: Section
    started: float


def _collect_beside(
    wanted: list[Section],
    make: ContextMaker,
    personal: bool,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, SectionReport]:
    finished: queue.SimpleQueue[SectionReport] = queue.SimpleQueue()
    waiting = list(reversed(wanted))
    running: dict[str, _Running] = {}
    reports: dict[str, SectionReport] = {}
    while waiting or running:
        while waiting and len(running) < _PARALLEL:
            section = waiting.pop()
            running[section.name] = _Running(section, time.monotonic())
            threading.Thread(
                target=lambda one=section: finished.put(
                    collect_section(one, make(one), personal=personal)
                ),
                name=f"collect-{section.name}",
                daemon=True,
            ).start()
        # A second on top: commands are ended by their own, earlier, limits, with a better reason.
        deadline = min(r.started + r.section.timeout_s + 1.0 for r in running.values())
        try:
            report = finished.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            for name, late in list(running.items()):
                if time.monotonic() >= late.started + late.section.timeout_s + 1.0:
                    del running[name]
                    words = f"no answer in {late.section.timeout_s:g} s"
                    reports[name] = _report(name, "timeout", words, [], late.started)
            continue
        # A report that comes after its section was given up is dropped: one answer per section.
        if running.pop(report.name, None):
            reports[report.name] = report
            if progress is not None:
                progress(len(reports), len(wanted), report.name)
    return reports


def collect_section(section: Section, context: Context, *, personal: bool = True) -> SectionReport:
    """Run one collector in this thread and return its report, whatever happens."""
    started = time.monotonic()
    status: Status
    items: list[dict[str, Any]] = []
    if context.platform != section.platform:
        reason = f"not collected on {context.platform}"
        return _report(section.name, "unsupported", reason, [], started)
    try:
        items = section.collect(context)
        told = [one for one in context.notes if personal or one not in context.private_notes]
        status, reason = "ok", "; ".join(told)
        if len(items) > MAX_ITEMS:
            status, reason = "error", f"{len(items)} items, more than a section may hold"
    except (Unsupported, CommandMissing) as error:
        status, reason = "unsupported", error.message
    except (Denied, CommandDenied) as error:
        status, reason = "denied", error.message
    except PermissionError as error:
        # A path can hold the name of somebody's home.
        status, reason = "denied", f"may not read {error.filename if personal else 'a file'}"
    except CommandTimeout as error:
        status, reason = "timeout", error.message
    except FarhandError as error:
        status, reason = "error", str(error)
    except Exception as error:  # a bug in one collector must not cost the other sections
        status, reason = "error", f"{type(error).__name__}: {error}"
    if status != "ok":
        items = []
    cleaned = [_clean(item, 1) for item in items]
    if not personal:
        cleaned = [_withhold(item, section.personal) for item in cleaned]
    return _report(section.name, status, reason, cleaned, started)


def _report(
    name: str, status: Status, reason: str, items: list[dict[str, Any]], started: float
) -> SectionReport:
    report = SectionReport(
        name=name,
        status=status,
        reason=_text(reason)[:MAX_REASON_CHARS],
        items=items,
        hash=section_hash(status, items),
        collected_at=format_instant(datetime.now(UTC).replace(microsecond=0)),
        duration_ms=int((time.monotonic() - started) * 1000),
    )
    try:
        validate_section(report)
    except FarhandError as error:
        return _report(name, "error", f"the section cannot be sent: {error}", [], started)
    return report


def _clean(value: Any, depth: int) -> Any:
    """Return a value as JSON can hold it: bounded, valid Unicode, finite."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > _MAX_CLEAN_DEPTH:
        return None
    if isinstance(value, dict):
        return {_text(str(key)): _clean(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner, depth + 1) for inner in value]
    return value


def _text(text: str) -> str:
    # File names can hold bytes that are not UTF-8; Python carries them as lone surrogates.
    clean = text.encode("utf-8", "replace").decode() if not text.isascii() else text
    return clean if len(clean) <= _MAX_TEXT_CHARS else clean[: _MAX_TEXT_CHARS - 1] + "…"


def _withhold(item: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(item, dict):
        return {
            key: WITHHELD if key in keys and inner not in (None, "", []) else _withhold(inner, keys)
            for key, inner in item.items()
        }
    if isinstance(item, list):
        return [_withhold(inner, keys) for inner in item]
    return item
