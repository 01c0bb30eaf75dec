"""Section `disk_health`: what disks say about their own health."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["parse"]

_HEALTHY, _WARNING, _UNHEALTHY = 0, 1, 2
_VERDICTS: Final = {_HEALTHY: True, _WARNING: False, _UNHEALTHY: False}
_NOTHING: Final = dict.fromkeys(
    (
        "unsafe_shutdowns", "spare_percent", "media_errors", "reallocated_sectors",
        "pending_sectors", "crc_errors", "written_bytes",
    )
)  # fmt: skip


@windows_section(
    "disk_health",
    parts=("physical_disks", "reliability", "failure_prediction"),
    personal=("serial",),
    volatile=True,
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per disk.  Counters that Windows does not show read null."""
    counters = {said(one.get("DeviceId")): one for one in told.also("reliability")}
    doomed = any(truth(one.get("PredictFailure")) for one in told.also("failure_prediction"))
    if doomed:
        told.note("a disk predicts its own failure")
    items = []
    for one in told.rows("physical_disks"):
        number = said(one.get("DeviceId")) or str(one.get("DeviceId"))
        more = counters.get(number, {})
        verdict = whole(one.get("HealthStatus"))
        # 0 degrees is what disks without a sensor answer.
        celsius = whole(more.get("Temperature")) or None
        items.append(
            {
                "name": f"PhysicalDrive{number}",
                "model": said(one.get("Model")) or said(one.get("FriendlyName")),
                "serial": real_value((said(one.get("SerialNumber")) or "").rstrip(". ")),
                "passed": _VERDICTS.get(verdict) if verdict is not None else None,
                "temperature_celsius": celsius,
                "power_on_h": unsigned(more.get("PowerOnHours")),
                "power_cycles": unsigned(more.get("StartStopCycleCount")),
                "wear_percent": whole(more.get("Wear")),
                "uncorrectable_sectors": unsigned(more.get("ReadErrorsUncorrected"), 64),
                "failing": [],
            }
            | _NOTHING
        )
    return items
