"""Section `firewall`: the three profiles, as policy and settings together make them."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, word
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

# Source: MSFT_NetFirewallProfile: GpoBoolean (2 is "not configured"), action (0 likewise).
_ENABLED: Final = {0: False, 1: True}
_ACTIONS: Final = {2: "accept", 4: "drop"}


@windows_section("firewall", parts=("firewall",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per profile."""
    items = []
    for one in told.rows("firewall"):
        enabled = whole(one.get("Enabled"))
        items.append(
            {
                "name": said(one.get("Name")),
                "enabled": _ENABLED.get(enabled) if enabled is not None else None,
                "default_inbound": word(one.get("Inbound"), _ACTIONS),
                "default_outbound": word(one.get("Outbound"), _ACTIONS),
                "rules": None,
            }
        )
    return items
