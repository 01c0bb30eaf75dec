"""The names of checks and sections, so that a slip of the pen is seen before it is signed.

The agent's catalogues decide; a test holds these to them.  A name that is not here is no error: a
newer agent may know it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from farhand_console.library.catalogue import shipped

__all__ = ["SECTIONS", "check_names", "unknown_names"]

_CHECK: Final = "check."
SECTIONS: Final = frozenset(
    (
        "antivirus", "batteries", "bios", "bluetooth", "boot", "browser_extensions", "cameras",
        "certificates", "containers", "cpu", "crashes", "databases", "devices_pci",
        "devices_usb", "disk_encryption", "disk_health", "disks", "dns", "drivers",
        "editor_extensions", "firewall", "firmware_security", "gpus", "groups", "hardening",
        "hosts_file", "inputs", "language_packages", "licences", "listening_ports", "locale",
        "log_summary", "logical_volumes", "logins", "management", "memory", "memory_modules",
        "modems", "monitors", "neighbours", "network", "os", "partitions", "ports",
        "power_supplies", "printers", "processes", "proxy", "raid", "reboot", "remote_access",
        "remote_tools", "repositories", "routes", "scheduled_tasks", "sensors", "services",
        "sessions", "slots", "software", "sound", "startup", "system", "time",
        "update_settings", "updates", "usage", "users", "virtual_machines", "virtualisation",
        "volumes", "vpn", "wifi",
    )
)  # fmt: skip


def check_names() -> frozenset[str]:
    """Return the ids of the checks, each of which has its shipped script."""
    return frozenset(one.id.removeprefix(_CHECK) for one in shipped() if one.id.startswith(_CHECK))


def unknown_names(kind: str, given: Iterable[str], known: frozenset[str]) -> list[str]:
    """Return a sentence for each name that is not known, with the one that was perhaps meant."""
    sentences = []
    for name in dict.fromkeys(given):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"; is it {close[0]}?" if close else ""
            sentences.append(f"no {kind} is called {name[:80]} here{meant}")
    return sentences
