"""Section `updates`: what the patch providers know."""

from __future__ import annotations

from typing import Final

from farhand_agent.inventory.collectors.linux.updates import collect
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

# softwareupdate asks Apple, and takes its time.
_WAIT_S: Final = 300.0

# The collector is the same everywhere: which providers there are is the providers' matter.
section("updates", platform="macos", timeout_s=_WAIT_S)(collect)
