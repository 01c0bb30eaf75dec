"""Section `bios`: the firmware that started this machine."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.moments import day
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_DMI: Final = "/sys/class/dmi/id"


@section("bios", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item.

    Raises:
        Unsupported: the firmware publishes no SMBIOS.
    """
    files = context.files
    if not files.names(_DMI):
        raise Unsupported("the firmware publishes no SMBIOS")
    return [
        {
            "vendor": real_value(files.line(f"{_DMI}/bios_vendor")),
            "version": real_value(files.line(f"{_DMI}/bios_version")),
            "released_on": day(files.line(f"{_DMI}/bios_date"), "%m/%d/%Y", "%m/%d/%y"),
            "revision": files.line(f"{_DMI}/bios_release"),
            "ec_revision": files.line(f"{_DMI}/ec_firmware_release"),
            "kind": "uefi" if files.path("/sys/firmware/efi").is_dir() else "bios or none",
        }
    ]
