"""Section `hardening`: settings that make a break-in harder, as the registry has them."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

# Source: Win32_DeviceGuard.SecurityServicesRunning.
_SERVICES: Final = {1: "credential guard", 2: "memory integrity", 3: "system guard", 4: "smm"}
# Names alone would be ambiguous: two services have a setting of the same name.
_NAMED: Final = {
    "LanmanServer": "smb.server", "LanmanWorkstation": "smb.client", "mrxsmb10": "smb1.client",
    "Lsa": "lsa", "WDigest": "wdigest", "System": "uac", "Winlogon": "winlogon",
    "PowerShell": "powershell", "ScriptBlockLogging": "powershell", "Explorer": "explorer",
}  # fmt: skip


@windows_section("hardening", parts=("hardening", "device_guard"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per setting; one that nobody set reads null."""
    items = []
    for one in told.rows("hardening"):
        folders = (said(one.get("Path")) or "").split("\\")
        owner = next((_NAMED[f] for f in reversed(folders) if f in _NAMED), None)
        name = said(one.get("Name"))
        value = one.get("Value")
        number = whole(value)
        shown = str(number) if number is not None else said(value)
        items.append({"name": f"{owner}.{name}" if owner else name, "value": shown})
    for one in told.also("device_guard"):
        running = one.get("SecurityServicesRunning")
        running = running if isinstance(running, list) else [running]
        names = sorted(_SERVICES[n] for n in map(whole, running) if n in _SERVICES)
        status = {0: "off", 1: "set up", 2: "on"}.get(
            whole(one.get("VirtualizationBasedSecurityStatus")) or 0
        )
        items.append({"name": "virtualisation_based_security", "value": status})
        items.append({"name": "security_services", "value": ", ".join(names) or "none"})
    return items
