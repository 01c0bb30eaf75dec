"""Section `slots`: where cards can be plugged in, by the firmware's tables.

Source: SMBIOS 3.7, 7.10 (system slots).
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.smbios import Structure, name_of, read_structures

__all__ = ["collect", "slot_item"]

_SLOT: Final = 9
_KINDS: Final = {
    0x03: "ISA", 0x06: "PCI", 0x0F: "AGP", 0x12: "PCI-X", 0x14: "M.2 socket 1-DP",
    0x15: "M.2 socket 1-SD", 0x16: "M.2 socket 2", 0x17: "M.2 socket 3", 0x18: "MXM type I",
    0x1F: "U.2", 0x23: "mini PCI Express", 0xA5: "PCI Express", 0xAB: "PCI Express 2",
    0xB1: "PCI Express 3", 0xB8: "PCI Express 4", 0xBE: "PCI Express 5",
}  # fmt: skip
_FAMILIES: Final = (
    (0xA5, "PCI Express"), (0xAB, "PCI Express 2"), (0xB1, "PCI Express 3"),
    (0xB8, "PCI Express 4"), (0xBE, "PCI Express 5"),
)  # fmt: skip
_WIDTHS: Final = (1, 2, 4, 8, 16)
_USE: Final = {3: False, 4: True}


def slot_item(one: Structure) -> dict[str, Any]:
    """Return the item of one slot."""
    bus, function = one.number(0x0F), one.number(0x10)
    segment = one.number(0x0D, 2)
    address = None
    if None not in (segment, bus, function) and (bus, function) != (0xFF, 0xFF):
        address = f"{segment:04x}:{bus:02x}:{(function or 0) >> 3:02x}.{(function or 0) & 7}"
    use = one.number(0x07)
    return {
        "name": one.text(0x04),
        "kind": _kind(one.number(0x05)),
        "in_use": _USE.get(use) if use is not None else None,
        "address": address,
    }


@section("slots", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per slot.

    Raises:
        Unsupported: the firmware publishes no SMBIOS.
    """
    return [slot_item(one) for one in read_structures(context, _SLOT)]


def _kind(number: int | None) -> str | None:
    # Each generation has a value without a width, followed by those with x1 to x16.
    for first, family in _FAMILIES:
        if number is not None and first < number <= first + len(_WIDTHS):
            return f"{family} x{_WIDTHS[number - first - 1]}"
    return name_of(number, _KINDS)
