"""Section `scheduled_tasks`: jobs of launchd with a time."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.launch import jobs, program
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text, whole

__all__ = ["collect", "schedule"]

_PARTS: Final = ("Month", "Day", "Weekday", "Hour", "Minute")


def schedule(told: dict[str, Any]) -> str | None:
    """Return when a job runs: "every 3600 s", "Hour=3 Minute=0"; None without a time."""
    every = whole(told.get("StartInterval"))
    if every is not None:
        return f"every {every} s"
    times = told.get("StartCalendarInterval")
    times = [times] if isinstance(times, dict) else times
    if not isinstance(times, list):
        return None
    shown = [
        " ".join(f"{part}={n}" for part in _PARTS if (n := whole(one.get(part))) is not None)
        for one in rows(times)[:50]
    ]
    return ", ".join(one or "every minute" for one in shown) or None


@macos_section("scheduled_tasks", personal=("user",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per job."""
    context.need("/Library")
    return [
        {
            "source": "launchd",
            "name": text(job.told.get("Label")),
            "schedule": when,
            "user": job.user or text(job.told.get("UserName")) or ("root" if job.daemon else None),
            "program": program(job.told),
            "enabled": job.told.get("Disabled") is not True,
            "last_result": None,
        }
        for job in jobs(context)
        if (when := schedule(job.told))
    ]
