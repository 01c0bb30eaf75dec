"""Section `system`: which machine this is, by its firmware, and what it is called."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import chassis_name, real_value
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "timezone_name"]

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
    "board_version": "board_version",
    "board_serial": "board_serial",
    "chassis_serial": "chassis_serial",
    "asset_tag": "chassis_asset_tag",
    "bios_vendor": "bios_vendor",
    "bios_version": "bios_version",
    "bios_date": "bios_date",
}


@section(
    "system",
    platform="linux",
    personal=(
        "hostname", "domain", "serial", "uuid", "board_serial", "asset_tag", "chassis_serial",
        "machine_id_sha256",
    ),
)  # fmt: skip
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item; a field is null where the machine does not say."""
    files = context.files
    hostname = files.line("/proc/sys/kernel/hostname") or files.line("/etc/hostname")
    item: dict[str, Any] = {"hostname": hostname or os.uname().nodename}
    item["domain"] = _domain(context, str(item["hostname"]))
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
    item["timezone"] = timezone_name(context)
    return [item]


def _domain(context: Context, hostname: str) -> str | None:
    """Return the DNS domain as this machine itself has it; no server is asked."""
    if "." in hostname:
        return hostname.partition(".")[2] or None
    for line in (context.files.text("/etc/hosts") or "").split("\n"):
        for word in line.partition("#")[0].split()[1:]:
            if word.startswith(f"{hostname}."):
                return word.partition(".")[2] or None
    return None


def _virtualisation(context: Context) -> str | None:
    try:
        # It ends with 1 where it says "none".
        word = context.run(["systemd-detect-virt"], ok=(0, 1)).text.strip()
    except CommandMissing:
        flags = context.files.text("/proc/cpuinfo") or ""
        return "unnamed" if re.search(r"^flags\b.*\bhypervisor\b", flags, re.MULTILINE) else None
    return word or None


def timezone_name(context: Context) -> str | None:
    """Return the time zone as /etc/localtime names it, else /etc/timezone."""
    link = context.files.path("/etc/localtime")
    if link.is_symlink():
        _, found, name = str(link.readlink()).partition("zoneinfo/")
        if found:
            return name
    return context.files.line("/etc/timezone")
