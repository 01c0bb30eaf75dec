"""Section `virtualisation`: whether this Mac is one, and whether machines can run in it."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, sysctl
from farhand_agent.inventory.context import Context
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "guest_of"]

_NAMES = ("kern.hv_vmm_present", "kern.hv_support")


def guest_of(context: Context) -> str | None:
    """Return "unnamed" in a virtual machine: macOS does not tell whose."""
    try:
        return "unnamed" if sysctl(context, *_NAMES).get(_NAMES[0]) == "1" else None
    except FarhandError as error:
        context.note(error.message)
        return None


@macos_section("virtualisation")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    values = sysctl(context, *_NAMES)
    able = values.get("kern.hv_support") == "1"
    return [
        {
            "guest_of": "unnamed" if values.get("kern.hv_vmm_present") == "1" else None,
            "container": None, "cloud": None, "cpu_support": "vmx" if able else None, "kvm": able,
            "iommu": None,
        }
    ]  # fmt: skip
