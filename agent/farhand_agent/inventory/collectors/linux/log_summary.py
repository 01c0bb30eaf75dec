"""Section `log_summary`: how many errors each source wrote in a day.  Counts, never contents."""

from __future__ import annotations

import json
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Unsupported
from farhand_agent.inventory.json_values import number, text, whole
from farhand_agent.inventory.moments import instant
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_journal"]

_HOURS: Final = 24
_SHOWN: Final = 200
# Enough for any healthy day; of a flood the newest lines are counted.
_LINES: Final = 20_000
_ARGV: Final = (
    "journalctl", "-p", "err", "-S", "-24h", "-n", str(_LINES), "--no-pager", "-o", "json",
    "--output-fields=_SYSTEMD_UNIT,SYSLOG_IDENTIFIER,PRIORITY",
)  # fmt: skip
_CRITICAL: Final = 2


def parse_journal(output: str) -> list[dict[str, Any]]:
    """Return one item per source in lines of `journalctl -o json`, most errors first.

    Lines that are no object are skipped: a journal that is cut short ends anywhere.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in output.split("\n"):
        try:
            entry = json.loads(line) if line else None
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict):
            continue
        source = (
            text(entry.get("_SYSTEMD_UNIT")) or text(entry.get("SYSLOG_IDENTIFIER")) or "kernel"
        )
        micros = number(entry.get("__REALTIME_TIMESTAMP"))
        at = instant(micros / 1e6) if micros else None
        empty = {"source": source, "hours": _HOURS, "critical": 0, "errors": 0, "last_at": None}
        item = found.setdefault(source, empty)
        priority = whole(entry.get("PRIORITY"))
        item["critical" if priority is not None and priority <= _CRITICAL else "errors"] += 1
        item["last_at"] = max(item["last_at"] or "", at or "") or None
    return sorted(found.values(), key=lambda one: (-one["critical"] - one["errors"], one["source"]))


def _is_written(context: Context) -> bool:
    """Tell whether any journal file lies here; journalctl takes none for an empty journal."""
    for folder in ("/var/log/journal", "/run/log/journal"):
        for machine in context.files.names(folder):
            try:
                names = context.files.names(f"{folder}/{machine}")
            except PermissionError:
                return True  # journalctl shows this user his own part
            if any(name.endswith(".journal") for name in names):
                return True
    return False


@section("log_summary", platform="linux", volatile=True, timeout_s=30.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per source that wrote errors.

    Raises:
        Unsupported: there is no journal here.
    """
    if not _is_written(context):
        raise Unsupported("there is no journal here")
    outcome = context.run(list(_ARGV), timeout_s=25.0, ok=None)
    if "No journal files" in outcome.error_text:
        raise Unsupported("there is no journal here")
    if outcome.exit_code != 0:
        raise CommandFailed(_ARGV[0], outcome.exit_code)
    if not context.privileged:
        context.note("without root only what this user may see")
    return parse_journal(outcome.text)[:_SHOWN]
