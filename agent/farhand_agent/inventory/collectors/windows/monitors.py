"""Section `monitors`: by the EDID that Windows keeps of every monitor it ever saw.

Only those that are plugged in now count, as root\\wmi tells.  An override is what somebody put in
the place of a wrong EDID, so it goes first.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.fillers import real_value
from farhand_agent.platforms.edid import parse_edid

__all__ = ["parse"]


@windows_section("monitors", parts=("edids", "monitors_on"), personal=("serial",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per monitor that is plugged in."""
    on = {
        (said(one.get("InstanceName")) or "").upper().rpartition("_")[0]
        for one in told.also("monitors_on")
        if one.get("Active") is not False
    }
    items = []
    for one in told.rows("edids"):
        instance = (said(one.get("Instance")) or "").upper()
        if on and instance not in on:
            continue
        edid = parse_edid(binary(one.get("Override"))) or parse_edid(binary(one.get("EDID")))
        if edid is not None:
            item = {"connector": None} | asdict(edid)
            items.append(item | {"serial": real_value(edid.serial)})
        elif on:
            told.note(f"{instance}: no EDID can be read")
    return items
