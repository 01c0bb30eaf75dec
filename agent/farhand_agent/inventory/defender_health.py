"""What Microsoft Defender says of itself on Linux and macOS, in the keys of section `antivirus`."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.json_values import text, truth

__all__ = ["parse_mdatp"]


def parse_mdatp(document: Any) -> dict[str, Any]:
    """Return what `mdatp health --output json` says in this section's keys.

    Raises:
        Malformed: it is not what mdatp prints.
    """
    if not isinstance(document, dict):
        raise Malformed("mdatp")

    def value(name: str) -> Any:
        # Newer versions wrap what policy can set: {"value": true, "source": ...}.
        found = document.get(name)
        return found.get("value") if isinstance(found, dict) else found

    status = text(value("definitionsStatus"))
    return {
        "enabled": truth(value("healthy")),
        "real_time": truth(value("realTimeProtectionEnabled")),
        "up_to_date": None if status is None else "up_to_date" in status,
        "definitions_version": text(value("definitionsVersion")),
        "version": text(value("appVersion")),
    }
