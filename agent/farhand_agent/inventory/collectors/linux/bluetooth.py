"""Section `bluetooth`: adapters, and how many devices they are paired with.

The paired devices themselves say who somebody is near to; they are only counted.
"""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_CLASS: Final = "/sys/class/bluetooth"
_ADAPTER: Final = re.compile(r"hci[0-9]+")
_ADDRESS: Final = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}")


@section("bluetooth", platform="linux", personal=("address",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per adapter.

    Raises:
        Unsupported: the kernel has no Bluetooth.
    """
    files = context.files
    if not files.path(_CLASS).is_dir():
        raise Unsupported("the kernel has no Bluetooth")
    items = []
    for name in files.names(_CLASS):
        if not _ADAPTER.fullmatch(name):
            continue  # hci0:256 is a connection
        device = f"{_CLASS}/{name}/device"
        driver = files.path(f"{device}/driver")
        address = files.line(f"{_CLASS}/{name}/address")
        items.append(
            {
                "name": name,
                "address": address,
                # A USB adapter is an interface of its device, one folder up.
                "manufacturer": files.line(f"{device}/../manufacturer"),
                "driver": driver.resolve().name if driver.exists() else None,
                "blocked": _blocked(context, f"{_CLASS}/{name}"),
                "paired_devices": _paired(context, address),
            }
        )
    return items


def _blocked(context: Context, folder: str) -> bool | None:
    for name in context.files.names(folder):
        if name.startswith("rfkill"):
            soft = context.files.number(f"{folder}/{name}/soft")
            hard = context.files.number(f"{folder}/{name}/hard")
            return bool(soft or hard)
    return None


def _paired(context: Context, address: str | None) -> int | None:
    if not address:
        return None
    try:
        names = context.files.names(f"/var/lib/bluetooth/{address.upper()}")
    except PermissionError:
        context.note("paired devices need root")
        return None
    return sum(bool(_ADDRESS.fullmatch(one)) for one in names)
