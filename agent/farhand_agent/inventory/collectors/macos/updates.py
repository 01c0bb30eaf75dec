"""Section `updates`: what the patch providers know."""

from __future__ import annotations

from typing import Final

from farhand_agent.inventory.pending_updates import pending_updates
from farhand_agent.inventory.registry import section

__all__ = ["pending_updates"]

# softwareupdate asks Apple, and takes its time.
_WAIT_S: Final = 300.0

section("updates", platform="macos", timeout_s=_WAIT_S)(pending_updates)
