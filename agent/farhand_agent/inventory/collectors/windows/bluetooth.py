"""Section `bluetooth`: adapters, which are those devices of the class that sit on a real bus."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.pnp import of_class
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_SWITCHED_OFF: Final = 22
_REMOTE: Final = "BTHENUM\\DEV_"
_REMOTE_LE: Final = "BTHLE\\DEV_"


@windows_section("bluetooth", parts=("pnp",), personal=("address",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per adapter; what it is paired with are children of the class as well."""
    found = list(of_class(told, "bluetooth"))
    names = [(said(one.get("DeviceID")) or "").upper() for one in found]
    paired = sum(name.startswith((_REMOTE, _REMOTE_LE)) for name in names)
    return [
        {
            "name": said(one.get("Name")),
            "address": None,
            "manufacturer": said(one.get("Manufacturer")),
            "driver": said(one.get("Service")),
            "blocked": whole(one.get("ConfigManagerErrorCode")) == _SWITCHED_OFF,
            "paired_devices": paired,
        }
        for one, name in zip(found, names, strict=True)
        if name.startswith(("USB\\", "PCI\\", "ACPI\\", "UART\\"))
    ]
