"""Section `monitors`: what hangs on the graphics processors."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import rows, text, whole

__all__ = ["collect", "maker", "monitor_items"]

_PIXELS: Final = re.compile(r"([0-9]{2,5}) ?x ?([0-9]{2,5})")


def maker(value: object) -> str | None:
    """Return the three letters of a maker, which macOS writes as the hex of EDID's two bytes."""
    try:
        letters = int(text(value) or "", 16)
    except ValueError:
        return None
    parts = [letters >> shift & 31 for shift in (10, 5, 0)]
    return "".join(chr(64 + part) for part in parts) if all(0 < p < 27 for p in parts) else None


def monitor_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per monitor in SPDisplaysDataType."""
    items = []
    for one in (m for gpu in entries for m in rows(gpu.get("spdisplays_ndrvs"))):
        pixels = _PIXELS.search(text(one.get("_spdisplays_pixels")) or "")
        year, week = whole(one.get("_spdisplays_display-year")), whole(
            one.get("_spdisplays_display-week")
        )  # fmt: skip
        product = text(one.get("_spdisplays_display-product-id"))
        items.append(
            {
                "connector": (text(one.get("spdisplays_connection_type")) or "").removeprefix(
                    "spdisplays_"
                )
                or None,
                "manufacturer": maker(one.get("_spdisplays_display-vendor-id")),
                "model": text(one.get("_name")),
                "product_id": product.rjust(4, "0") if product else None,
                "serial": real_value(
                    text(one.get("spdisplays_display-serial-number"))
                    or text(one.get("_spdisplays_display-serial-number"))
                ),
                "made_year": year or None,
                "made_week": week or None,
                "width_mm": None,
                "height_mm": None,
                "width_px": int(pixels[1]) if pixels else None,
                "height_px": int(pixels[2]) if pixels else None,
            }
        )
    return items


@macos_section("monitors", types=("SPDisplaysDataType",), personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per monitor."""
    return monitor_items(profile(context, "SPDisplaysDataType"))
