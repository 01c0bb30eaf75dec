"""Section `antivirus`: XProtect, and Microsoft Defender where it is installed."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.defender_health import parse_mdatp
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.plists import plist_file
from farhand_agent.platforms.commands import CommandMissing
from farhand_protocol.errors import FarhandError

__all__ = ["collect"]

_XPROTECT: Final = (
    "/Library/Apple/System/Library/CoreServices/XProtect.bundle/Contents/Info.plist",
    "/var/protected/xprotect/XProtect.bundle/Contents/Info.plist",
)


@macos_section("antivirus")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per product."""
    items = []
    for path in _XPROTECT:
        told = plist_file(context, path)
        if told is not None:
            version = text(told.get("CFBundleShortVersionString"))
            items.append(_item("XProtect") | {"enabled": True, "definitions_version": version})
            break
    try:
        document = context.run_json(["/usr/local/bin/mdatp", "health", "--output", "json"])
        items.append(_item("Microsoft Defender") | parse_mdatp(document))
    except CommandMissing:
        pass  # it is not installed
    except FarhandError as error:
        context.note(error.message)
    return items


def _item(name: str) -> dict[str, Any]:
    return {
        "name": name, "enabled": None, "up_to_date": None, "real_time": None, "version": None,
        "definitions_version": None, "definitions_on": None,
    }  # fmt: skip
