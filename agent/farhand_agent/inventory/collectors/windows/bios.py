"""Section `bios`: the firmware, as Windows read it when it started."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import date, said
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import whole

__all__ = ["firmware_kind", "parse"]

_UNKNOWN: Final = 255
_UEFI: Final = 2


def firmware_kind(told: Told) -> str | None:
    """Return how the system was started; the registry has no number for it before Windows 8."""
    number = whole(told.also_row("firmware").get("PEFirmwareType"))
    return None if number is None else "uefi" if number == _UEFI else "bios or none"


@windows_section("bios", parts=("bios", "firmware"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item."""
    bios = told.row("bios")
    return [
        {
            "vendor": real_value(said(bios.get("Manufacturer"))),
            "version": real_value(said(bios.get("SMBIOSBIOSVersion"))),
            "released_on": date(bios.get("ReleaseDate")),
            "revision": _revision(bios, "SystemBios"),
            "ec_revision": _revision(bios, "EmbeddedController"),
            "kind": firmware_kind(told),
        }
    ]


def _revision(bios: dict[str, Any], what: str) -> str | None:
    numbers = [whole(bios.get(f"{what}{part}Version")) for part in ("Major", "Minor")]
    if None in numbers or _UNKNOWN in numbers:
        return None
    return ".".join(str(one) for one in numbers)
