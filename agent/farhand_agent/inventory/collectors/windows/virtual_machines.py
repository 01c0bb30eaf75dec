"""Section `virtual_machines`: of Hyper-V."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

# Source: Microsoft.HyperV.PowerShell.VMState.
_STATES: Final = {
    2: "running", 3: "stopped", 4: "stopping", 6: "saved", 9: "paused", 10: "starting",
    11: "resetting", 32773: "saving", 32776: "pausing", 32777: "resuming",
}  # fmt: skip


@windows_section("virtual_machines", parts=("hyperv",), personal=("name", "id"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per machine; without Hyper-V its commands are not there."""
    return [
        {
            "engine": "hyper-v",
            "name": said(one.get("Name")),
            "id": said(one.get("Id")),
            "state": _STATES.get(whole(one.get("State")) or 0, "other"),
            "memory_bytes": unsigned(one.get("MemoryStartup"), 64),
            "processors": whole(one.get("ProcessorCount")),
        }
        for one in told.rows("hyperv")
    ]
