"""Section `services`: jobs that launchd knows right now."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_lines
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import whole

__all__ = ["collect", "listed_jobs", "parse_launchctl"]


def parse_launchctl(output: str) -> list[dict[str, Any]]:
    """Return one item per line of `launchctl list`: process, last exit status, label."""
    items = []
    for line in output.split("\n"):
        fields = line.split("\t")
        if len(fields) != 3 or fields[0] == "PID":
            continue
        process, status, label = fields
        running, code = process != "-", whole(status)
        failed = not running and code not in (None, 0)
        items.append(
            {
                "manager": "launchd",
                "name": label.strip(),
                "display": None,
                "state": "running" if running else "failed" if failed else "stopped",
                # Negative: the number of the signal that ended it.
                "detail": f"exit status {code}" if failed else None,
                "start": None,
            }
        )
    return items


def listed_jobs(context: Context) -> list[dict[str, Any]]:
    """Return one item per job that launchd lists to this user.

    Raises:
        Malformed: it lists none, though there always are some.
    """
    told = context.run(["launchctl", "list"]).text
    items = parse_launchctl(told)
    require_lines(context, "launchctl list", told, len(items), aside=r"^PID\s")
    return items


@macos_section("services")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per job."""
    return listed_jobs(context)
