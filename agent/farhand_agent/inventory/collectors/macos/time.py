"""Section `time`: whether this clock follows others."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.locale import timezone_name
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context

__all__ = ["collect", "setting"]


def setting(output: str) -> str | None:
    """Return what stands behind the colon in an answer of systemsetup; None without rights."""
    name, colon, value = output.strip().partition(": ")
    return value.strip() or None if colon and "\n" not in name else None


@macos_section("time", volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    using = setting(context.run(["systemsetup", "-getusingnetworktime"], ok=None).text)
    server = setting(context.run(["systemsetup", "-getnetworktimeserver"], ok=None).text)
    if using is None:
        context.note("systemsetup needs root")
    return [
        {
            "timezone": timezone_name(context),
            "ntp": {"On": True, "Off": False}.get(using or ""),
            "synchronised": None,
            "source": f"timed: {server}" if server else None,
            "stratum": None,
            "offset_ms": None,
            "rtc_local": False,
        }
    ]
