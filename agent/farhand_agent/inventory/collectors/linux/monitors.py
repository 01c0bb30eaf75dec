"""Section `monitors`: what is plugged into the display connectors, by its EDID."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.edid import parse_edid

__all__ = ["collect"]

_CLASS: Final = "/sys/class/drm"
_CONNECTOR: Final = re.compile(r"card[0-9]{1,3}-(.{1,40})")
_MAX_EDID_BYTES: Final = 32 * 1024


@section("monitors", platform="linux", personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per monitor that answers; without a graphics card there is no such class."""
    context.need("/sys/class")
    items = []
    for name in context.files.names(_CLASS):
        found = _CONNECTOR.fullmatch(name)
        path = context.files.path(f"{_CLASS}/{name}/edid")
        if not found or not path.is_file():
            continue
        with path.open("rb") as file:
            edid = parse_edid(file.read(_MAX_EDID_BYTES))
        if edid is None:
            if context.files.line(f"{_CLASS}/{name}/status") == "connected":
                context.note(f"{found[1]}: connected, and no EDID can be read")
            continue
        item = {"connector": found[1]} | asdict(edid)
        items.append(item | {"serial": real_value(edid.serial)})
    return items
