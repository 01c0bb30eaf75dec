"""Section `processes` (opt-in): never a command line, never an environment."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, when
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]


@windows_section("processes", parts=("processes",), personal=("user",), volatile=True, opt_in=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per process."""
    return [
        {
            "pid": whole(one.get("ProcessId")),
            "parent_pid": whole(one.get("ParentProcessId")),
            "name": said(one.get("Name")),
            # Windows would have to be asked for each of them.
            "user": None,
            "state": None,
            "threads": whole(one.get("ThreadCount")),
            "memory_bytes": unsigned(one.get("WorkingSetSize"), 64),
            "started_at": when(one.get("CreationDate")),
        }
        for one in told.rows("processes")
    ]
