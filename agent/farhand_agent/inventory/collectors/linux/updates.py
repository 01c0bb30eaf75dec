"""Section `updates`: what the patch providers know."""

from __future__ import annotations

from farhand_agent.inventory.pending_updates import pending_updates
from farhand_agent.inventory.registry import section

__all__ = ["pending_updates"]

section("updates", platform="linux", timeout_s=180.0)(pending_updates)
