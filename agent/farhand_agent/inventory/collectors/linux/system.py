"""Section `system`: which machine this is, by its firmware, and what it is called."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["chassis_name", "collect", "real_value"]

_DMI: Final = "/sys/class/dmi/id"
_FIELDS: Final = {
    "manufacturer": "sys_vendor",
    "model": "product_name",
    "model_version": "product_version",
    "sku": "product_sku",
    "family": "product_family",
    "serial": "product_serial",
    "uuid": "product_uuid",
    "board_manufacturer": "board_vendor",
    "board_model": "board_name",
    "board_serial": "board_serial",
    "asset_tag": "chassis_asset_tag",
    "bios_vendor": "bios_vendor",
    "bios_version": "bios_version",
    "bios_date": "bios_date",
}
# What firmware says when nobody filled it in.
_JUNK: Final = re.compile(
    r"(?:to be filled by o\.?e\.?m\.?|default string|system (?:serial number|product name|version|"
    r"manufacturer)|not (?:specified|available|applicable|settable)|none|n/a|o\.?e\.?m\.?|unknown|"
    r"0123456789|123456789|sku|[0 .-]+|[fx -]+|chassis serial number|asset-?1234567890|"
    r"no asset (?:tag|information))",
    re.IGNORECASE,
)
# Source: SMBIOS 3.7, 7.4.1 "System Enclosure or Chassis Types".
_CHASSIS: Final = {
    3: "desktop", 4: "low-profile desktop", 5: "pizza box", 6: "mini tower", 7: "tower",
    8: "portable", 9: "laptop", 10: "notebook", 11: "hand held", 12: "docking station",
    13: "all in one", 14: "sub notebook", 15: "space-saving", 16: "lunch box", 17: "server",
    18: "expansion", 23: "rack mount", 24: "sealed PC", 28: "blade", 29: "blade enclosure",
    30: "tablet", 31: "convertible", 32: "detachable", 33: "IoT gateway", 34: "embedded PC",
    35: "mini PC", 36: "stick PC",
}  # fmt: skip


def real_value(text: str | None) -> str | None:
    """Return a firmware string, None when it is one of the fillers that say nothing."""
    value = (text or "").strip()
    return None if not value or _JUNK.fullmatch(value) else value


def chassis_name(number: int | None) -> str | None:
    """Return the name of an SMBIOS chassis type; its highest bit (lock present) does not count."""
    return _CHASSIS.get(number & 0x7F) if number is not None else None


@section(
    "system",
    platform="linux",
    personal=("hostname", "serial", "uuid", "board_serial", "asset_tag", "machine_id_sha256"),
)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item; a field is null where the machine does not say."""
    files = context.files
    hostname = files.line("/proc/sys/kernel/hostname") or files.line("/etc/hostname")
    item: dict[str, Any] = {"hostname": hostname or os.uname().nodename}
    hidden = []
    for field, name in _FIELDS.items():
        try:
            item[field] = real_value(files.line(f"{_DMI}/{name}"))
        except PermissionError:
            item[field] = None
            hidden.append(field)
    if hidden:
        context.note(f"needs root: {', '.join(hidden)}")
    if not files.names(_DMI):
        # ARM boards describe themselves in a device tree; many virtual machines nowhere.
        tree = "/proc/device-tree"
        item["model"] = real_value(files.line(f"{tree}/model"))
        item["serial"] = real_value(files.line(f"{tree}/serial-number"))
        context.note("no SMBIOS here")
    item["chassis"] = chassis_name(files.number(f"{_DMI}/chassis_type"))
    item["firmware"] = "uefi" if files.path("/sys/firmware/efi").is_dir() else "bios or none"
    item["virtualisation"] = _virtualisation(context)
    # systemd asks that the machine id itself stays on the machine; this still finds duplicates.
    machine_id = files.line("/etc/machine-id")
    digest = hashlib.sha256(f"farhand:{machine_id}".encode()).hexdigest() if machine_id else None
    item["machine_id_sha256"] = digest
    item["timezone"] = _timezone(context)
    return [item]


def _virtualisation(context: Context) -> str | None:
    try:
        word = context.run(["systemd-detect-virt"]).text.strip()
    except CommandMissing:
        flags = context.files.text("/proc/cpuinfo") or ""
        return "unnamed" if re.search(r"^flags\b.*\bhypervisor\b", flags, re.MULTILINE) else None
    return word or None


def _timezone(context: Context) -> str | None:
    link = context.files.path("/etc/localtime")
    if link.is_symlink():
        _, found, name = str(link.readlink()).partition("zoneinfo/")
        if found:
            return name
    return context.files.line("/etc/timezone")
