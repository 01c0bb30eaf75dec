"""Section `updates`: what the patch providers know; they ask Windows by scripts of their own."""

from __future__ import annotations

from typing import Final

from farhand_agent.inventory.collectors.linux.updates import collect
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

# Windows Update takes minutes to say that there is nothing.
_WAIT_S: Final = 300.0

# The collector is the same everywhere: which providers there are is the providers' matter.
section("updates", platform="windows", timeout_s=_WAIT_S)(collect)
