"""The rights that an installed agent may be given by name; without any it is an ordinary user.

    name       what it opens                                  what it costs
    logs       the system's journal and /var/log              logs hold what nobody meant to show
    network    ICMP for the checks that ping                  raw packets on every network
    hardware   serial numbers, SMART, NVMe, memory modules    it can read every file of the device
    sudo       `sudo` in a session, for who knows a password  programs of a session may gain rights
    root       approved scripts that need root, patches       everything: the agent is root

On Linux they become lines of a drop-in beside the unit; on macOS and Windows there is `root` alone,
which is the system's own account there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from farhand_protocol.errors import UsageError

__all__ = ["PRIVILEGES", "chosen_privileges"]

# Each with the lines of a systemd unit's [Service] that grant it (systemd.exec(5)).
PRIVILEGES: Final[dict[str, tuple[str, ...]]] = {
    "logs": ("SupplementaryGroups=systemd-journal adm",),
    "network": ("AmbientCapabilities=CAP_NET_RAW", "CapabilityBoundingSet=CAP_NET_RAW"),
    "hardware": (
        "AmbientCapabilities=CAP_DAC_READ_SEARCH CAP_SYS_RAWIO CAP_SYS_ADMIN",
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_RAWIO CAP_SYS_ADMIN",
    ),
    "sudo": (
        "NoNewPrivileges=no",
        "RestrictSUIDSGID=no",
        "CapabilityBoundingSet=~",
        "ProtectSystem=no",
        "ProtectHome=no",
    ),
    "root": (
        "User=root",
        "Group=root",
        "NoNewPrivileges=no",
        "RestrictSUIDSGID=no",
        "CapabilityBoundingSet=~",
        "ProtectSystem=no",
        "ProtectHome=no",
        "ProtectClock=no",
        "ProtectHostname=no",
        "ProtectKernelModules=no",
        "ProtectKernelTunables=no",
        "ProtectControlGroups=no",
        "RestrictNamespaces=no",
        "RestrictRealtime=no",
        "RestrictAddressFamilies=",
    ),
}


def chosen_privileges(text: str) -> tuple[str, ...]:
    """Read names with commas between, or `none`.

    Returns:
        The names in the table's order, each once.

    Raises:
        UsageError: `privilege-unknown`.
    """
    wanted: Iterable[str] = [name.strip() for name in text.split(",") if name.strip()]
    wanted = set(wanted) - {"none"}
    for name in sorted(wanted - set(PRIVILEGES)):
        raise UsageError(
            "privilege-unknown",
            f"there is no privilege {name[:40]!r}",
            hint=f"choose of: {', '.join(PRIVILEGES)}, or none",
        )
    return tuple(name for name in PRIVILEGES if name in wanted)
