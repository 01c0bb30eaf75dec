"""Section `gpus`: display controllers and accelerators, with what their drivers add."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.linux.devices_pci import pci_devices
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_nvidia_smi"]

_QUERY: Final = "pci.bus_id,name,uuid,driver_version,vbios_version,memory.total"
_ADDRESS: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_MIB: Final = 1024 * 1024


def parse_nvidia_smi(text: str) -> dict[str, dict[str, Any]]:
    """Return what nvidia-smi says by PCI address, from its lines of comma separated values.

    Lines of another shape are skipped; "[N/A]" reads null.
    """
    found = {}
    for line in text.split("\n"):
        cells = [None if "N/A" in one else one.strip() for one in line.split(",")]
        # nvidia-smi writes the domain with eight digits: 00000000:01:00.0.
        address = (cells[0] or "").lower()[-12:]
        if len(cells) != 6 or not _ADDRESS.fullmatch(address):
            continue
        _, name, uuid, version, vbios, memory = cells
        amount = int(memory) if memory and re.fullmatch(r"[0-9]{1,9}", memory) else None
        found[address] = {
            "name": name,
            "uuid": uuid,
            "driver_version": version,
            "vbios": vbios,
            "memory_bytes": amount * _MIB if amount else None,
        }
    return found


@section("gpus", platform="linux", personal=("uuid",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per display controller or accelerator (PCI base classes 03 and 12)."""
    files = context.files
    items: list[dict[str, Any]] = []
    for one in pci_devices(context):
        if (one["class_id"] or "")[:2] not in ("03", "12"):
            continue
        folder = f"/sys/bus/pci/devices/{one['address']}"
        driver = one["driver"]
        version = files.line(f"/sys/module/{driver}/version") if driver else None
        items.append(
            {
                "name": one["device"] or one["class"],
                "vendor": one["vendor"],
                "vendor_id": one["vendor_id"],
                "device_id": one["device_id"],
                "address": one["address"],
                "driver": driver,
                "driver_version": version,
                "memory_bytes": files.number(f"{folder}/mem_info_vram_total"),
                "vbios": files.line(f"{folder}/vbios_version"),
                "uuid": files.line(f"{folder}/unique_id"),
            }
        )
    if any(item["driver"] == "nvidia" for item in items):
        try:
            argv = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
            told = parse_nvidia_smi(context.run(argv).text)
        except FarhandError as error:
            told = {}
            context.note(error.message)
        for item in items:
            more = told.get(item["address"], {})
            item.update({key: value for key, value in more.items() if value is not None})
    return items
