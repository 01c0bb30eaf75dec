"""What firmware writes where nobody filled anything in, and the numbers it uses for words."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["chassis_name", "real_value"]

# What firmware says when nobody filled it in.
_JUNK: Final = re.compile(
    r"(?:to be filled by o\.?e\.?m\.?|default string|system (?:serial number|product name|version|"
    r"manufacturer)|not (?:specified|available|applicable|settable)|none|n/a|o\.?e\.?m\.?|unknown|"
    r"0123456789|123456789|sku|[0 .-]+|[fx -]+|chassis serial number|asset-?1234567890|"
    r"no asset (?:tag|information))",
    re.IGNORECASE,
)
# Source: SMBIOS 3.7, 7.4.1 "System Enclosure or Chassis Types".
_CHASSIS: Final = {
    3: "desktop", 4: "low-profile desktop", 5: "pizza box", 6: "mini tower", 7: "tower",
    8: "portable", 9: "laptop", 10: "notebook", 11: "hand held", 12: "docking station",
    13: "all in one", 14: "sub notebook", 15: "space-saving", 16: "lunch box", 17: "server",
    18: "expansion", 23: "rack mount", 24: "sealed PC", 28: "blade", 29: "blade enclosure",
    30: "tablet", 31: "convertible", 32: "detachable", 33: "IoT gateway", 34: "embedded PC",
    35: "mini PC", 36: "stick PC",
}  # fmt: skip


def real_value(text: str | None) -> str | None:
    """Return a firmware string, None when it is one of the fillers that say nothing."""
    value = (text or "").strip()
    return None if not value or _JUNK.fullmatch(value) else value


def chassis_name(number: int | None) -> str | None:
    """Return the name of an SMBIOS chassis type; its highest bit (lock present) does not count."""
    return _CHASSIS.get(number & 0x7F) if number is not None else None
