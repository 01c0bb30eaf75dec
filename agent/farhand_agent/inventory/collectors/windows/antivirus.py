"""Section `antivirus`: what the security centre knows, and what Defender says of itself.

productState packs three bytes: provider, state and definitions.  0x10 in the second means that it
watches, 0x00 in the third that its definitions are current.  Servers have no security centre.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import date, said, unsigned
from farhand_agent.inventory.context import Unsupported
from farhand_agent.inventory.json_values import truth

__all__ = ["parse", "product_state"]

_ON: Final = 0x10
_DEFENDER: Final = ("windows defender", "microsoft defender antivirus")


def product_state(value: object) -> tuple[bool | None, bool | None]:
    """Return whether a product watches and whether its definitions are current."""
    state = unsigned(value)
    if state is None:
        return None, None
    return bool(state >> 8 & _ON), state & 0xFF == 0


@windows_section("antivirus", parts=("antivirus", "defender"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per product.

    Raises:
        Unsupported, Denied: neither the security centre nor Defender answers.
    """
    try:
        products = told.rows("antivirus")
    except Unsupported:
        told.note("no security centre here, as on servers")
        defender = told.row("defender")
        return [_defender(_item("Microsoft Defender", None, None), defender)]
    items = []
    for one in products:
        name = said(one.get("displayName"))
        item = _item(name, *product_state(one.get("productState")))
        if (name or "").lower() in _DEFENDER:
            item = _defender(item, told.also_row("defender"))
        items.append(item)
    return items


def _item(name: str | None, enabled: bool | None, current: bool | None) -> dict[str, Any]:
    return {
        "name": name, "enabled": enabled, "up_to_date": current, "real_time": None,
        "version": None, "definitions_version": None, "definitions_on": None,
    }  # fmt: skip


def _defender(item: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    stale = truth(told.get("DefenderSignaturesOutOfDate"))
    more = {
        "enabled": truth(told.get("AntivirusEnabled")),
        "up_to_date": None if stale is None else not stale,
        "real_time": truth(told.get("RealTimeProtectionEnabled")),
        "version": said(told.get("AMProductVersion")),
        "definitions_version": said(told.get("AntivirusSignatureVersion")),
        "definitions_on": date(told.get("AntivirusSignatureLastUpdated")),
    }
    return item | {key: value for key, value in more.items() if value is not None}
