"""Section `firmware_security`: the security chip, and System Integrity Protection."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.collectors.macos.understood import require_mark
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect", "sip_of", "sip_state"]


def sip_state(output: str) -> str | None:
    """Return "enabled" or "disabled" of `csrutil status`; None for a mix of both."""
    head = output.split("\n")[0].lower()
    if "unknown" in head or "custom" in head:
        return None
    return "enabled" if "enabled" in head else "disabled" if "disabled" in head else None


def sip_of(context: Context) -> str | None:
    """Return what `csrutil status` tells, as `sip_state`.

    Raises:
        Malformed: it tells nothing.
    """
    told = context.run(["csrutil", "status"]).text
    require_mark("csrutil", told, "System Integrity Protection status")
    return sip_state(told)


@macos_section("firmware_security", types=("SPiBridgeDataType", "SPHardwareDataType"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    sip = sip_of(context)
    bridge = profile(context, "SPiBridgeDataType")
    hardware = profile(context, "SPHardwareDataType")
    chip = text(hardware[0].get("chip_type")) if hardware else None
    told = bridge[0] if bridge else {}
    boot = text(told.get("ibridge_secure_boot"))
    return [
        {
            "secure_boot": None if boot is None else "full" in boot.lower(),
            "setup_mode": None,
            # Apple's processors hold their keys themselves.
            "tpm": bool(bridge) or (chip or "").startswith("Apple"),
            "tpm_version": None,
            "tpm_description": text(told.get("ibridge_model_name")) or chip,
            "lockdown": f"SIP {sip}" if sip else None,
        }
    ]
