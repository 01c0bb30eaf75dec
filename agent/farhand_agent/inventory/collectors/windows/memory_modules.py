"""Section `memory_modules`: what sits in the memory slots, by the firmware's tables.

Source: SMBIOS 3.7, 7.17 and 7.18; Win32_PhysicalMemory counts in bytes and takes the numbers of
SMBIOS for the kind, its own for the form.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, word
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_KIB: Final = 1024
_SYSTEM_MEMORY: Final = 3
_FORM: Final = {2: "SIP", 7: "SIMM", 8: "DIMM", 11: "RIMM", 12: "SODIMM", 15: "FB-DIMM"}
_KIND: Final = {
    0x12: "DDR", 0x13: "DDR2", 0x14: "DDR2 FB-DIMM", 0x18: "DDR3", 0x1A: "DDR4", 0x1B: "LPDDR",
    0x1C: "LPDDR2", 0x1D: "LPDDR3", 0x1E: "LPDDR4", 0x1F: "non-volatile", 0x20: "HBM",
    0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3",
}  # fmt: skip
_CORRECTION: Final = {
    3: "none", 4: "parity", 5: "single-bit ECC", 6: "multi-bit ECC", 7: "CRC",
}  # fmt: skip


@windows_section(
    "memory_modules", parts=("memory_modules", "memory_arrays"), personal=("serial", "asset_tag")
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per array and per module; Windows does not list empty slots."""
    items = []
    for one in told.also("memory_arrays"):
        if whole(one.get("Use")) not in (None, _SYSTEM_MEMORY):
            continue
        # MaxCapacity counts KiB in 32 bits; the newer one KiB in 64.
        kib = unsigned(one.get("MaxCapacityEx"), 64) or unsigned(one.get("MaxCapacity"))
        items.append(
            {
                "record": "array",
                "slots": whole(one.get("MemoryDevices")),
                "max_bytes": kib * _KIB if kib else None,
                "error_correction": word(one.get("MemoryErrorCorrection"), _CORRECTION),
                "corrected_errors": None,
                "uncorrected_errors": None,
            }
        )
    return items + [_module(one) for one in told.rows("memory_modules")]


def _module(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "record": "module",
        "slot": said(one.get("DeviceLocator")),
        "bank": said(one.get("BankLabel")),
        "size_bytes": unsigned(one.get("Capacity"), 64),
        "kind": word(one.get("SMBIOSMemoryType"), _KIND),
        "form": word(one.get("FormFactor"), _FORM),
        "speed_mhz": unsigned(one.get("Speed")) or None,
        "configured_mhz": unsigned(one.get("ConfiguredClockSpeed")) or None,
        "voltage_mv": unsigned(one.get("ConfiguredVoltage")) or None,
        "manufacturer": real_value(said(one.get("Manufacturer"))),
        "part": real_value(said(one.get("PartNumber"))),
        "serial": real_value(said(one.get("SerialNumber"))),
        "asset_tag": None,
    }
