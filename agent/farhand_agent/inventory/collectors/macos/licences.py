"""Section `licences`: applications with a receipt of the App Store."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]


@macos_section("licences", types=("SPApplicationsDataType",), personal=("key_tail",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per application that was had from the App Store."""
    return [
        {
            "product": text(one.get("_name")), "kind": "App Store", "state": "licensed",
            "expires_on": None, "key_tail": None,
        }
        for one in profile(context, "SPApplicationsDataType")
        if one.get("obtained_from") == "mac_app_store"
    ]  # fmt: skip
