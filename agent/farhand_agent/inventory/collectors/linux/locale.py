"""Section `locale`: language, keyboard and time zone of the system."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.linux.os import parse_os_release
from farhand_agent.inventory.collectors.linux.system import timezone_name
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["collect"]


@section("locale", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item; null where the system does not say."""
    context.need("/etc")
    settings: dict[str, str] = {}
    # Debian's files, then systemd's; all are shell assignments.
    for name in ("default/locale", "locale.conf", "default/keyboard", "vconsole.conf"):
        for key, value in parse_os_release(context.files.text(f"/etc/{name}") or "").items():
            settings.setdefault(key, value)
    return [
        {
            "language": settings.get("LANG"),
            "timezone": timezone_name(context),
            "keyboard_layout": settings.get("XKBLAYOUT") or settings.get("KEYMAP"),
            "keyboard_model": settings.get("XKBMODEL"),
        }
    ]
