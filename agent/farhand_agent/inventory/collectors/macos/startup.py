"""Section `startup`: agents of launchd, and daemons that start with the machine."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.launch import jobs, program
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]


@macos_section("startup", personal=("user", "path"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per job that runs at its load."""
    context.need("/Library")
    return [
        {
            "source": "launchd",
            "name": text(job.told.get("Label")),
            "scope": "user" if job.user else "machine",
            "user": job.user,
            "program": program(job.told),
            "enabled": job.told.get("Disabled") is not True,
            "path": job.path,
        }
        for job in jobs(context)
        if job.told.get("RunAtLoad") is True or job.told.get("KeepAlive") not in (None, False)
    ]
