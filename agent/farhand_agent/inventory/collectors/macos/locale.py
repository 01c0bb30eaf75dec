"""Section `locale`: language and time zone of the system."""

from __future__ import annotations

import os
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.plists import plist_file

__all__ = ["collect", "timezone_name"]

_ZONES: Final = "zoneinfo/"


def timezone_name(context: Context) -> str | None:
    """Return the zone that /etc/localtime links to."""
    try:
        target = os.readlink(context.files.path("/etc/localtime"))
    except OSError:
        return None
    return target.partition(_ZONES)[2] or None


@macos_section("locale")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    settings = plist_file(context, "/Library/Preferences/.GlobalPreferences.plist") or {}
    return [
        {
            "language": text(settings.get("AppleLocale")),
            "timezone": timezone_name(context),
            "keyboard_layout": None,
            "keyboard_model": None,
        }
    ]
