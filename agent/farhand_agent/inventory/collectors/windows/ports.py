"""Section `ports`: sockets on the case, by the firmware's tables, and serial ports that answer."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import many, said, word
from farhand_agent.inventory.fillers import real_value

__all__ = ["parse"]

# Source: Win32_PortConnector.PortType, which are SMBIOS' numbers (7.9.3).
_KINDS: Final = {
    1: "parallel", 2: "parallel", 3: "parallel", 4: "parallel", 5: "parallel", 6: "serial",
    7: "serial", 8: "serial", 9: "serial", 10: "SCSI", 13: "keyboard", 14: "mouse", 16: "USB",
    17: "FireWire", 18: "PCMCIA", 27: "video", 28: "video", 29: "audio", 30: "modem",
    31: "network", 32: "SATA", 33: "SAS", 35: "Thunderbolt",
}  # fmt: skip


@windows_section("ports", parts=("connectors", "serial_ports"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per connector of the case and per serial port of Windows."""
    items: list[dict[str, Any]] = [
        {
            "name": real_value(said(one.get("ExternalReferenceDesignator"))),
            "internal_name": real_value(said(one.get("InternalReferenceDesignator"))),
            "kind": word(one.get("PortType"), _KINDS),
            "connector": ", ".join(many(one.get("ConnectorType"))) or None,
        }
        for one in told.rows("connectors")
    ]
    for one in told.also("serial_ports"):
        name = said(one.get("DeviceID"))
        items.append({"name": name, "internal_name": None, "kind": "serial", "connector": None})
    return items
