"""Section `memory_modules`: what sits in the memory slots, by the firmware's tables.

Source: SMBIOS 3.7, 7.17 (physical memory array) and 7.18 (memory device).
"""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.smbios import Structure, name_of, read_structures

__all__ = ["array_item", "collect", "module_item"]

_ARRAY: Final = 16
_DEVICE: Final = 17
_KIB: Final = 1024
_EDAC: Final = "/sys/devices/system/edac/mc"
_CORRECTION: Final = {
    3: "none", 4: "parity", 5: "single-bit ECC", 6: "multi-bit ECC", 7: "CRC",
}  # fmt: skip
_FORM: Final = {
    3: "SIMM", 5: "chip", 9: "DIMM", 11: "row of chips", 12: "RIMM", 13: "SODIMM", 15: "FB-DIMM",
    16: "die", 17: "CAMM",
}  # fmt: skip
_KIND: Final = {
    0x0F: "SDRAM", 0x12: "DDR", 0x13: "DDR2", 0x14: "DDR2 FB-DIMM", 0x18: "DDR3", 0x1A: "DDR4",
    0x1B: "LPDDR", 0x1C: "LPDDR2", 0x1D: "LPDDR3", 0x1E: "LPDDR4", 0x1F: "non-volatile",
    0x20: "HBM", 0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3",
}  # fmt: skip


def array_item(one: Structure) -> dict[str, Any]:
    """Return the item of a memory array: how many slots, how much it can take."""
    kib = one.number(0x07, 4)
    if kib == 0x8000_0000:
        size = one.number(0x0F, 8)
    else:
        size = kib * _KIB if kib else None
    return {
        "record": "array",
        "slots": one.number(0x0D, 2),
        "max_bytes": size or None,
        "error_correction": name_of(one.number(0x06), _CORRECTION),
    }


def module_item(one: Structure) -> dict[str, Any]:
    """Return the item of a slot; of an empty one, only where it is."""
    size = one.number(0x0C, 2)
    amount: int | None
    if size == 0x7FFF:
        extended = one.number(0x1C, 4)
        amount = (extended & 0x7FFF_FFFF) * _KIB**2 if extended else None
    elif size in (None, 0, 0xFFFF):
        amount = None
    else:
        amount = (size & 0x7FFF) * (_KIB if size & 0x8000 else _KIB**2)
    voltage = one.number(0x26, 2)
    return {
        "record": "module",
        "slot": one.text(0x10),
        "bank": one.text(0x11),
        "size_bytes": amount,
        "kind": name_of(one.number(0x12), _KIND),
        "form": name_of(one.number(0x0E), _FORM),
        "speed_mhz": _speed(one, 0x15, 0x54),
        "configured_mhz": _speed(one, 0x20, 0x58),
        "voltage_mv": voltage or None,
        "manufacturer": one.text(0x17),
        "part": one.text(0x1A),
        "serial": one.text(0x18),
        "asset_tag": one.text(0x19),
    }


@section("memory_modules", platform="linux", personal=("serial", "asset_tag"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per array and per slot.

    Raises:
        Unsupported: the firmware publishes no SMBIOS.
    """
    found = read_structures(context, _ARRAY, _DEVICE)
    # Arrays that are flash or cache (use 3 is system memory) are not what is asked for.
    arrays = [one for one in found if one.kind == _ARRAY and one.number(0x05) == 3]
    items = [array_item(one) for one in arrays]
    corrected, uncorrected = _errors(context)
    for item in items:
        item["corrected_errors"], item["uncorrected_errors"] = corrected, uncorrected
    return items + [module_item(one) for one in found if one.kind == _DEVICE]


def _speed(one: Structure, offset: int, extended: int) -> int | None:
    speed = one.number(offset, 2)
    return (one.number(extended, 4) if speed == 0xFFFF else speed) or None


def _errors(context: Context) -> tuple[int | None, int | None]:
    files = context.files
    controllers = [one for one in files.names(_EDAC) if re.fullmatch(r"mc[0-9]+", one)]
    if not controllers:
        return None, None
    counts = [
        [files.number(f"{_EDAC}/{one}/{kind}_count") or 0 for one in controllers]
        for kind in ("ce", "ue")
    ]
    return sum(counts[0]), sum(counts[1])
