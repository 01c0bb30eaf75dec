"""Section `scheduled_tasks`: of the task scheduler, without the arguments of what they start."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import many, said, unsigned
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_DISABLED: Final = 1
# Source: MSFT_Task*Trigger.
_PREFIX: Final = "MSFT_Task"
_SUFFIX: Final = "Trigger"
# SCHED_S_TASK_HAS_NOT_RUN.
_NEVER: Final = 0x41303


@windows_section("scheduled_tasks", parts=("tasks",), personal=("user",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per task."""
    items = []
    for one in told.rows("tasks"):
        kinds = [
            name.removeprefix(_PREFIX).removesuffix(_SUFFIX).lower() or "other"
            for name in many(one.get("Triggers"))
        ]
        result = unsigned(one.get("LastTaskResult"))
        items.append(
            {
                "source": "task",
                "name": f"{said(one.get('Path')) or ''}{said(one.get('Name')) or ''}",
                "schedule": ", ".join(dict.fromkeys(kinds)) or None,
                "user": said(one.get("User")),
                "program": (said(one.get("Execute")) or "").strip('"') or None,
                "enabled": whole(one.get("State")) != _DISABLED,
                "last_result": None if result == _NEVER else result,
            }
        )
    return items
