"""Section `gpus`: display adapters, with the memory that the driver wrote into the registry.

AdapterRAM has 32 bits: a card with 8 GiB reads 4 GiB less one MiB there, or nothing, or less than
nothing.  HardwareInformation.qwMemorySize has 64.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.pnp import pci_numbers
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said, unsigned

__all__ = ["memory_bytes", "parse"]

# From here on 32 bits cannot be told from an overflow.
_DOUBTFUL: Final = 4 * 1024**3 - 2 * 1024**2


def memory_bytes(wide: object, narrow: object) -> int | None:
    """Return a card's memory: by the registry, else by AdapterRAM where that can be right."""
    data = binary(wide)
    number = int.from_bytes(data, "little") if len(data) in (4, 8) else unsigned(wide, 64)
    if number:
        return number
    plain = unsigned(narrow)
    return plain if plain and plain < _DOUBTFUL else None


@windows_section("gpus", parts=("video", "video_registry"), personal=("uuid",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per adapter."""
    written = told.also("video_registry")
    items = []
    for one in told.rows("video"):
        identity = said(one.get("PNPDeviceID")) or ""
        name = said(one.get("Name"))
        more = next((row for row in written if _fits(row, identity, name)), {})
        numbers = pci_numbers({"DeviceID": identity}) or {}
        drivers = (said(one.get("InstalledDisplayDrivers")) or "").split(",")
        items.append(
            {
                "name": name,
                "vendor": said(one.get("AdapterCompatibility")),
                "vendor_id": numbers.get("vendor_id"),
                "device_id": numbers.get("device_id"),
                "address": None,
                "driver": drivers[0].rpartition("\\")[2] or None,
                "driver_version": said(one.get("DriverVersion")),
                "memory_bytes": memory_bytes(
                    more.get("HardwareInformation.qwMemorySize"), one.get("AdapterRAM")
                ),
                "vbios": _bios(more.get("HardwareInformation.BiosString")),
                "uuid": None,
            }
        )
    return items


def _fits(row: dict[str, Any], identity: str, name: str | None) -> bool:
    matching = (said(row.get("MatchingDeviceId")) or "").lower()
    if matching and identity.lower().startswith(matching):
        return True
    return name is not None and said(row.get("DriverDesc")) == name


def _bios(value: object) -> str | None:
    # Some drivers write it as text, others as bytes of UTF-16.
    data = binary(value)
    if data and b"\0" in data:
        return data.decode("utf-16-le", "replace").strip("\0 ") or None
    return said(value)
