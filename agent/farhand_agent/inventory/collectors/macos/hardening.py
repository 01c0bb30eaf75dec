"""Section `hardening`: Gatekeeper, System Integrity Protection, logging in without a password."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.firmware_security import sip_of
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_mark
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.plists import plist_file

__all__ = ["collect"]


@macos_section("hardening")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per setting."""
    gate = context.run(["spctl", "--status"], ok=(0, 1)).text  # 1: disabled
    require_mark("spctl", gate, "assessments (?:enabled|disabled)")
    sip = sip_of(context)
    login = plist_file(context, "/Library/Preferences/com.apple.loginwindow.plist") or {}
    state = "on" if "assessments enabled" in gate else "off" if "disabled" in gate else None
    return [
        {"name": "gatekeeper", "value": state},
        {"name": "sip", "value": sip},
        # Whose account it is stays here.
        {"name": "auto_login", "value": "on" if text(login.get("autoLoginUser")) else "off"},
        {"name": "guest_account", "value": "on" if login.get("GuestEnabled") is True else "off"},
    ]
