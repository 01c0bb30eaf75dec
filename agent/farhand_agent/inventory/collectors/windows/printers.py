"""Section `printers`: queues of the spooler, and where those of the network stand."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["parse"]

# Source: Win32_Printer.PrinterStatus and .PrinterState (1 is "paused").
_STATES: Final = {3: "idle", 4: "printing", 5: "idle", 6: "stopped", 7: "offline"}
_PAUSED: Final = 1
_RAW, _LPR = 1, 2


@windows_section("printers", parts=("printers", "printer_ports"), personal=("uri",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per queue."""
    ports = {said(one.get("Name")): one for one in told.also("printer_ports")}
    items = []
    for one in told.rows("printers"):
        port = said(one.get("PortName"))
        state = _STATES.get(whole(one.get("PrinterStatus")) or 0)
        paused = (whole(one.get("PrinterState")) or 0) & _PAUSED
        items.append(
            {
                "name": said(one.get("Name")),
                "driver": said(one.get("DriverName")),
                "uri": _uri(port, ports.get(port)),
                "location": said(one.get("Location")),
                "default": truth(one.get("Default")) is True,
                "shared": truth(one.get("Shared")),
                "state": "offline" if truth(one.get("WorkOffline")) else state,
                "accepting": not paused,
            }
        )
    return items


def _uri(port: str | None, network: dict[str, Any] | None) -> str | None:
    host = said(network.get("HostAddress")) if network else None
    if network is None or host is None:
        return without_credentials(port) if port else None
    scheme = "lpd" if whole(network.get("Protocol")) == _LPR else "socket"
    number = whole(network.get("PortNumber"))
    return f"{scheme}://{host}" + (f":{number}" if number else "")
