"""device inventory, checks, diff, history: what a device reported, and what changed of it.

Every word comes from the device, over the relay: shown escaped and cut (`output`), never believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from farhand_console.cli.base import Context, command, paged
from farhand_console.output import hint, line, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import (
    CheckState,
    Device,
    Differences,
    HistoryEntry,
    HistoryPage,
    ItemChange,
    Page,
    Section,
    SectionDifference,
    SectionName,
)

__all__ = ["register"]

_SHOWN_ITEMS = 50
_SHOWN_CHANGES = 5


def register(devices: click.Group) -> None:
    """Add the commands of this file to `farhand device`."""
    _register_now(devices)
    _register_changes(devices)


def _register_now(devices: click.Group) -> None:
    @command(devices)
    @click.argument("device")
    @click.option("--section", help="Only this one, such as software.")
    def inventory(context: Context, device: str, section: str | None) -> None:
        """Show what the device last reported of its hardware and software."""
        relay = context.relay
        found = relay.get(segments("devices", device), Device).id
        if section:
            names = [section]
        else:
            path = segments("devices", found, "sections")
            names = [one.name for one in relay.pages(path, SectionName)]
        sections = {
            name: relay.get(segments("devices", found, "sections", name), Section) for name in names
        }
        answer = {"device": found, "sections": sections}
        context.show(answer, lambda: _show_sections(sections, whole=section is not None))

    @command(devices)
    @click.argument("device")
    def checks(context: Context, device: str) -> None:
        """Show the newest known state of each check of the device."""
        page = context.relay.get(segments("devices", device, "checks"), Page[CheckState])
        context.show(
            page,
            lambda: show_table(
                ("state", "check", "subject", "value", "since", "summary"),
                [
                    (
                        one.state,
                        one.id,
                        one.subject,
                        f"{one.value} {one.unit or ''}".strip() if one.value else "",
                        one.since or "",
                        one.summary,
                    )
                    for one in page.items
                ],
            ),
        )


def _register_changes(devices: click.Group) -> None:
    @command(devices)
    @click.argument("device")
    @click.option(
        "--since",
        default="7d",
        show_default=True,
        help="7d, 12h, yesterday, a time, a session (s-...) or a ticket (FH-1).",
    )
    @paged
    def diff(context: Context, device: str, since: str, limit: int, cursor: str | None) -> None:
        """Show what changed on the device; --limit counts changes."""
        path = segments("devices", device, "diff")
        answer = context.relay.get(path, Differences, since=since, limit=limit, cursor=cursor)

        def readable() -> None:
            rows = [row for section in answer.items for row in _change_rows(section)]
            if not rows:
                line(f"nothing changed since {answer.since}")
                return
            show_table(("section", "change", "item", "what"), rows)
            for section in answer.items:
                if not section.is_whole:
                    hint(f"{section.name}: not every change since then is kept")
            _more(answer.next)

        context.show(answer, readable)

    @command(devices)
    @click.argument("device")
    @click.option("--section", help="Only this one, such as software.")
    @paged
    def history(
        context: Context, device: str, section: str | None, limit: int, cursor: str | None
    ) -> None:
        """Show each report that changed something, the newest first."""
        path = segments("devices", device, "history")
        answer = context.relay.get(path, HistoryPage, section=section, limit=limit, cursor=cursor)

        def readable() -> None:
            show_table(
                ("seen", "section", "changed", "added", "removed", "what"),
                [_history_row(one) for one in answer.items],
            )
            _more(answer.next)

        context.show(answer, readable)


def _more(cursor: str | None) -> None:
    if cursor:
        hint(f"there is more: --cursor {cursor}")


def _item(item: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in item.items() if value is not None)


def _show_sections(sections: dict[str, Section], *, whole: bool) -> None:
    for name, section in sections.items():
        line("")
        line(f"{name}  [{section.status}]  {section.collected_at}")
        if section.reason:
            line(f"  {section.reason}")
        items = section.items if whole else section.items[:_SHOWN_ITEMS]
        columns = _columns(items)
        if columns:
            show_table(columns, [[_cell(item.get(one)) for one in columns] for item in items])
        else:
            for item in items:
                line("  " + _item(item), 500)
        if len(section.items) > len(items):
            line(f"  ... and {len(section.items) - len(items)} more (--section {name} shows all)")


def _columns(items: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns of a table of these items; none where they are too few or too wide."""
    names = list(dict.fromkeys(name for item in items for name in item))
    filled = [name for name in names if any(item.get(name) not in (None, "") for item in items)]
    return filled if len(items) > 1 and 0 < len(filled) <= 8 else []


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "" if value is None else str(value)


def _change_rows(section: SectionDifference) -> list[tuple[str, str, str, str]]:
    rows = [
        (section.name, "changed", _title(change.after), _became(change.before, change.after))
        for change in section.changed
    ]
    rows += [(section.name, "added", _title(item), _item(item)) for item in section.added]
    rows += [(section.name, "removed", _title(item), _item(item)) for item in section.removed]
    if section.status_before != section.status_after:
        words = f"{section.status_before or 'never seen'} -> {section.status_after}"
        rows.append((section.name, "status", "", words))
    return rows


def _title(item: dict[str, Any]) -> str:
    """Return what a person would call the item."""
    named = ("name", "id", "mount", "path", "address", "device", "interface", "product")
    return next((str(item[field]) for field in named if item.get(field)), "")


def _became(before: dict[str, Any], after: dict[str, Any]) -> str:
    fields = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name}: {before.get(name)} -> {after.get(name)}" for name in fields)


def _history_row(one: HistoryEntry) -> tuple[str, ...]:
    kinds = [change.change for change in one.changes]
    changed = kinds.count("changed")
    if one.is_first:
        what = f"seen for the first time, {one.added_count} items"
    elif one.status_before != one.status:
        what = f"{one.status_before or 'never seen'} -> {one.status}"
    else:
        what = "; ".join(_words(change) for change in one.changes[:_SHOWN_CHANGES])
        if len(one.changes) > _SHOWN_CHANGES:
            what += f"; and {len(one.changes) - _SHOWN_CHANGES} more"
    counts = [changed, one.added_count - changed, one.removed_count - changed]
    cells = ["" if one.is_first else str(max(count, 0) or "") for count in counts]
    return (one.seen_at, one.section, *cells, what)


def _words(change: ItemChange) -> str:
    item = change.after or change.before or {}
    name = _title(item) or change.identity
    if change.before is not None and change.after is not None:
        return f"{name} ({_became(change.before, change.after)})"
    return f"{'+' if change.before is None else '-'}{name} {item.get('version') or ''}".rstrip()
