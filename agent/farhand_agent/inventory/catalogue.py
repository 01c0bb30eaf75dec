"""The sections that inventory knows, on whatever platform, and how often each is looked at.

A name stands here once for all platforms; whether this platform can look is the registry's matter.
Nothing is imported, so that the resident agent can read it.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = ["CATALOGUE", "INTERVALS_S", "PACES", "Pace", "of_pace"]

Pace = Literal["hardware", "software", "security", "volatile"]
PACES: Final[tuple[Pace, ...]] = get_args(Pace)

# How long what was seen is taken to be true.  A device's `inventory_interval_s` bounds the first
# two from below: nothing is looked at more often than the device's owner wants.
INTERVALS_S: Final[dict[Pace, int]] = {
    "hardware": 24 * 3600,
    "software": 6 * 3600,
    "security": 3600,
    "volatile": 300,
}

CATALOGUE: Final[dict[str, Pace]] = {
    "antivirus": "security",
    "batteries": "hardware",
    "bios": "hardware",
    "bluetooth": "hardware",
    "boot": "security",
    "browser_extensions": "software",
    "cameras": "hardware",
    "certificates": "security",
    "containers": "software",
    "cpu": "hardware",
    "crashes": "security",
    "databases": "software",
    "devices_pci": "hardware",
    "devices_usb": "hardware",
    "disk_encryption": "security",
    "disk_health": "security",
    "disks": "hardware",
    "dns": "security",
    "drivers": "security",
    "editor_extensions": "software",
    "firewall": "security",
    "firmware_security": "security",
    "gpus": "hardware",
    "groups": "security",
    "hardening": "security",
    "hosts_file": "security",
    "inputs": "hardware",
    "language_packages": "software",
    "licences": "software",
    "listening_ports": "security",
    "locale": "hardware",
    "log_summary": "security",
    "logical_volumes": "hardware",
    "logins": "security",
    "management": "software",
    "memory": "hardware",
    "memory_modules": "hardware",
    "modems": "hardware",
    "monitors": "hardware",
    "neighbours": "security",
    "network": "security",
    "os": "software",
    "partitions": "hardware",
    "ports": "hardware",
    "power_supplies": "hardware",
    "printers": "software",
    "processes": "volatile",
    "proxy": "security",
    "raid": "security",
    "reboot": "security",
    "remote_access": "security",
    "remote_tools": "security",
    "repositories": "software",
    "routes": "security",
    "scheduled_tasks": "software",
    "sensors": "volatile",
    "services": "security",
    "sessions": "volatile",
    "slots": "hardware",
    "software": "software",
    "sound": "hardware",
    "startup": "software",
    "system": "hardware",
    "time": "security",
    "update_settings": "software",
    "updates": "software",
    "usage": "volatile",
    "users": "security",
    "virtual_machines": "software",
    "virtualisation": "hardware",
    "volumes": "hardware",
    "vpn": "security",
    "wifi": "security",
}


def of_pace(pace: Pace) -> list[str]:
    """Return the names of the sections that are looked at in this pace."""
    return [name for name, its_pace in CATALOGUE.items() if its_pace == pace]
