"""Section `services`: what the service control manager keeps.

State and start mode are words of WMI's own and are not translated.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["parse"]

_STARTS: Final = {
    "Auto": "enabled", "Manual": "manual", "Disabled": "disabled", "Boot": "boot",
    "System": "system",
}  # fmt: skip
# Ended well, and "never started since".
_FINE: Final = (0, 1077)


@windows_section("services", parts=("services",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per service."""
    items = []
    for one in told.rows("services"):
        state = said(one.get("State"))
        start = _STARTS.get(said(one.get("StartMode")) or "")
        code = whole(one.get("ExitCode"))
        failed = state == "Stopped" and code not in (None, *_FINE)
        delayed = start == "enabled" and truth(one.get("DelayedAutoStart"))
        items.append(
            {
                "manager": "scm",
                "name": said(one.get("Name")),
                "display": said(one.get("DisplayName")),
                "state": "failed" if failed else (state or "unknown").lower(),
                "detail": f"exit code {code}" if failed else None,
                "start": "delayed" if delayed else start,
            }
        )
    return sorted(items, key=lambda item: str(item["name"]).lower())
