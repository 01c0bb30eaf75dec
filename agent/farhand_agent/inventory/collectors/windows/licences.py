"""Section `licences`: what Windows' licensing service keeps; of keys the last five characters."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import date, said, word

__all__ = ["parse"]

# Source: SoftwareLicensingProduct.LicenseStatus.
_STATES: Final = {
    0: "not licensed", 1: "licensed", 2: "grace", 3: "grace", 4: "not genuine", 5: "notification",
    6: "grace",
}  # fmt: skip
_KINDS: Final = {
    "retail": "retail", "volume:gvlk": "volume (KMS)", "volume:mak": "volume (MAK)",
    "oem:dm": "oem", "oem:slp": "oem", "oem:coa": "oem", "oem:nonslp": "oem",
}  # fmt: skip
_TAIL_CHARS: Final = 5
# "No end" is written as the first day that Windows' calendar has.
_NO_END: Final = "1601"


@windows_section("licences", parts=("licences",), personal=("key_tail",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per licence that has a key."""
    items = []
    for one in told.rows("licences"):
        channel = said(one.get("ProductKeyChannel")) or ""
        end = date(one.get("EvaluationEndDate"))
        items.append(
            {
                "product": said(one.get("Name")),
                "kind": _KINDS.get(channel.lower(), channel or None),
                "state": word(one.get("LicenseStatus"), _STATES),
                "expires_on": None if end is None or end.startswith(_NO_END) else end,
                "key_tail": (said(one.get("PartialProductKey")) or "")[-_TAIL_CHARS:] or None,
            }
        )
    return items
