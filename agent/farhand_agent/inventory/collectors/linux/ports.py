"""Section `ports`: sockets on the case, by the firmware's tables, and serial ports that answer.

Source: SMBIOS 3.7, 7.9 (port connector information).
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.smbios import Structure, name_of, read_structures

__all__ = ["collect", "port_item"]

_PORT: Final = 8
_KINDS: Final = {
    0x01: "parallel", 0x02: "parallel", 0x03: "parallel", 0x04: "parallel", 0x05: "parallel",
    0x06: "serial", 0x07: "serial", 0x08: "serial", 0x09: "serial", 0x0A: "SCSI", 0x0D: "keyboard",
    0x0E: "mouse", 0x0F: "SSA", 0x10: "USB", 0x11: "FireWire", 0x12: "PCMCIA", 0x1B: "video",
    0x1C: "video", 0x1D: "audio", 0x1E: "modem", 0x1F: "network", 0x20: "SATA", 0x21: "SAS",
    0x22: "MFDP", 0x23: "Thunderbolt",
}  # fmt: skip
_CONNECTORS: Final = {
    0x03: "25-pin parallel", 0x08: "DB-9", 0x0B: "RJ-11", 0x0C: "RJ-45", 0x0F: "PS/2",
    0x12: "USB", 0x1F: "audio jack", 0x22: "SATA", 0x07: "DB-15", 0x10: "mini-DIN",
    0x21: "mini-jack", 0x23: "SAS", 0x24: "USB-C",
}  # fmt: skip
# A port of this type is a driver's placeholder without hardware (PORT_UNKNOWN).
_NO_UART: Final = 0


def port_item(one: Structure) -> dict[str, Any]:
    """Return the item of one connector."""
    return {
        "name": one.text(0x06),
        "internal_name": one.text(0x04),
        "kind": name_of(one.number(0x08), _KINDS),
        "connector": name_of(one.number(0x07) or one.number(0x05), _CONNECTORS),
    }


@section("ports", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per connector and per serial or parallel port of the kernel."""
    try:
        items = [port_item(one) for one in read_structures(context, _PORT)]
    except (Unsupported, PermissionError) as error:
        # The kernel's own ports are known all the same.
        items = []
        words = error.message if isinstance(error, Unsupported) else "they need root"
        context.note(f"no connectors of the case: {words}")
    files = context.files
    for name in files.names("/sys/class/tty"):
        kind = files.number(f"/sys/class/tty/{name}/type")
        if kind is not None and kind != _NO_UART:
            items.append(_kernel_port(name, "serial"))
    items += [_kernel_port(name, "parallel") for name in files.names("/sys/class/parport")]
    return items


def _kernel_port(name: str, kind: str) -> dict[str, Any]:
    return {"name": f"/dev/{name}", "internal_name": None, "kind": kind, "connector": None}
