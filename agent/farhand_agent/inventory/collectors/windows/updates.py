"""Section `updates`: what the patch providers know; they ask Windows by scripts of their own."""

from __future__ import annotations

from typing import Final

from farhand_agent.inventory.pending_updates import pending_updates
from farhand_agent.inventory.registry import section

__all__ = ["pending_updates"]

# Windows Update takes minutes to say that there is nothing.
_WAIT_S: Final = 300.0

section("updates", platform="windows", timeout_s=_WAIT_S)(pending_updates)
