"""Section `inputs`: keyboards, mice and whatever else a person touches."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_devices"]

# Source: include/uapi/linux/input.h, BUS_*.
_BUSES: Final = {
    0x01: "pci", 0x03: "usb", 0x05: "bluetooth", 0x06: "virtual", 0x10: "isa", 0x11: "ps2",
    0x18: "i2c", 0x19: "host", 0x1C: "spi", 0x1D: "rmi", 0x1F: "intel-ishtp",
}  # fmt: skip
_IDENTITY: Final = re.compile(
    r"I: Bus=([0-9a-f]{4}) Vendor=([0-9a-f]{4}) Product=([0-9a-f]{4}) Version=[0-9a-f]{4}"
)


def parse_devices(text: str) -> list[dict[str, Any]]:
    """Return one item per device in the text of /proc/bus/input/devices."""
    items = []
    for block in text.split("\n\n"):
        lines = block.strip().split("\n")
        found = _IDENTITY.match(lines[0])
        if not found:
            continue
        fields = {}
        for line in lines[1:]:
            key, _, value = line[3:].partition("=")
            fields[key] = value.strip().strip('"')
        items.append(
            {
                "name": fields.get("Name") or None,
                "kind": _kind(fields),
                "bus": _BUSES.get(int(found[1], 16), "other"),
                "vendor_id": found[2],
                "product_id": found[3],
            }
        )
    return items


@section("inputs", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per input device.

    Raises:
        Unsupported: the kernel has no input devices at all.
    """
    text = context.files.text("/proc/bus/input/devices")
    if text is None:
        raise Unsupported("the kernel has no input devices")
    return parse_devices(text)


def _kind(fields: dict[str, str]) -> str:
    handlers = fields.get("Handlers", "").split()
    name = fields.get("Name", "").lower()
    # Bits of EV: 1 keys, 2 relative, 3 absolute (input-event-codes.h).
    kinds = int(fields["EV"], 16) if re.fullmatch(r"[0-9a-f]{1,16}", fields.get("EV", "")) else 0
    if any(one.startswith("js") for one in handlers):
        return "joystick"
    if any(one.startswith("mouse") for one in handlers):
        if "touchpad" in name or "trackpad" in name:
            return "touchpad"
        return "tablet" if "tablet" in name or "stylus" in name else "mouse"
    if "touchscreen" in name:
        return "touchscreen"
    # A keyboard repeats its keys (EV bit 20); a power button does not.
    if "kbd" in handlers and kinds >> 20 & 1:
        return "keyboard"
    return "button" if "kbd" in handlers and kinds >> 1 & 1 else "other"
