"""Section `cameras`: what can take pictures, one item per device and not per video node."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_CLASS: Final = "/sys/class/video4linux"
_NODE: Final = re.compile(r"video([0-9]{1,4})")


@section("cameras", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per capture device; the class is absent where the kernel found none."""
    context.need("/sys/class")
    files = context.files
    items: dict[str, dict[str, Any]] = {}
    for name in sorted(files.names(_CLASS), key=lambda one: (len(one), one)):
        if not _NODE.fullmatch(name):
            continue
        device = files.path(f"{_CLASS}/{name}/device")
        driver = files.path(f"{_CLASS}/{name}/device/driver")
        key = str(device.resolve()) if device.exists() else name
        # One camera has a node for pictures and one for their metadata; the first one counts.
        items.setdefault(
            key,
            {
                "name": files.line(f"{_CLASS}/{name}/name"),
                "device": f"/dev/{name}",
                "driver": driver.resolve().name if driver.exists() else None,
            },
        )
    return list(items.values())
