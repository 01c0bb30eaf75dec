"""Section `system`: which machine this is, by its firmware, and what it is called."""

from __future__ import annotations

import hashlib
from typing import Any

from farhand_agent.inventory.collectors.windows.bios import firmware_kind
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import date, said
from farhand_agent.inventory.collectors.windows.virtualisation import guest_of
from farhand_agent.inventory.fillers import chassis_name, real_value
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]


@windows_section(
    "system",
    parts=(
        "computer", "product", "bios", "board", "enclosure", "machine_guid", "firmware", "culture",
    ),
    personal=(
        "hostname", "domain", "serial", "uuid", "board_serial", "asset_tag", "chassis_serial",
        "machine_id_sha256",
    ),
)  # fmt: skip
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item; a field is null where the machine does not say."""
    computer = told.row("computer")
    product, bios = told.also_row("product"), told.also_row("bios")
    board, case = told.also_row("board"), told.also_row("enclosure")
    guid = said(told.also_row("machine_guid").get("MachineGuid"))
    kinds = case.get("ChassisTypes")
    kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
    joined = computer.get("PartOfDomain") is True

    def real(row: dict[str, Any], name: str) -> str | None:
        return real_value(said(row.get(name)))

    return [
        {
            "hostname": said(computer.get("DNSHostName")) or said(computer.get("Name")),
            # Without a domain Windows writes the name of the workgroup here.
            "domain": said(computer.get("Domain")) if joined else None,
            "manufacturer": real(computer, "Manufacturer"),
            "model": real(computer, "Model"),
            "model_version": real(product, "Version"),
            "sku": real(computer, "SystemSKUNumber"),
            "family": real(computer, "SystemFamily"),
            "serial": real(bios, "SerialNumber"),
            "uuid": (real(product, "UUID") or "").lower() or None,
            "board_manufacturer": real(board, "Manufacturer"),
            "board_model": real(board, "Product"),
            "board_version": real(board, "Version"),
            "board_serial": real(board, "SerialNumber"),
            "asset_tag": real(case, "SMBIOSAssetTag"),
            "chassis_serial": real(case, "SerialNumber"),
            "bios_vendor": real(bios, "Manufacturer"),
            "bios_version": real(bios, "SMBIOSBIOSVersion"),
            "bios_date": date(bios.get("ReleaseDate")),
            "chassis": chassis_name(whole(kind)),
            "firmware": firmware_kind(told),
            "virtualisation": guest_of(computer) or "none",
            # As on Linux: finds duplicates without telling the id itself.
            "machine_id_sha256": _digest(guid),
            "timezone": said(told.also_row("culture").get("timezone")),
        }
    ]


def _digest(guid: str | None) -> str | None:
    return hashlib.sha256(f"farhand:{guid}".encode()).hexdigest() if guid else None
