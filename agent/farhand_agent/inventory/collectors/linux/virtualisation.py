"""Section `virtualisation`: what this system runs in, and whether systems can run in it."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.clouds import cloud_of
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect"]

_DMI: Final = "/sys/class/dmi/id"
_FLAGS: Final = re.compile(r"^(?:flags|Features)\s*:(.*)", re.MULTILINE)


@section("virtualisation", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    context.need("/proc")
    files = context.files
    found = _FLAGS.search(files.text("/proc/cpuinfo") or "")
    flags = set(found[1].split()) if found else set()
    told = [
        files.line(f"{_DMI}/{name}")
        for name in ("sys_vendor", "product_name", "bios_vendor", "bios_version", "product_version")
    ]
    asset = files.line(f"{_DMI}/chassis_asset_tag") or ""
    return [
        {
            "guest_of": _detect(context, "--vm") or ("unnamed" if "hypervisor" in flags else None),
            "container": _detect(context, "--container"),
            "cloud": cloud_of(" ".join(one for one in (*told, asset) if one)),
            "cpu_support": next((one for one in ("vmx", "svm") if one in flags), None),
            "kvm": files.path("/dev/kvm").exists(),
            "iommu": bool(files.names("/sys/class/iommu")),
        }
    ]


def _detect(context: Context, option: str) -> str | None:
    try:
        # It ends with 1 where it says "none".
        word = context.run(["systemd-detect-virt", option], ok=(0, 1)).text.strip()
    except CommandMissing:
        if option == "--container":
            # systemd's own sign, which every container manager that follows it leaves.
            return context.files.line("/run/systemd/container") or _docker(context)
        return None
    return None if word in ("", "none") else word


def _docker(context: Context) -> str | None:
    return "docker" if context.files.path("/.dockerenv").exists() else None
