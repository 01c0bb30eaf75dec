"""Section `browser_extensions` (opt-in): what people put into their browsers."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.people import homes
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.extension_files import (
    parse_chromium_manifest,
    parse_firefox_extensions,
)

__all__ = ["collect"]

_SUPPORT: Final = "Library/Application Support"
_CHROMIUM: Final = {
    "chrome": "Google/Chrome", "edge": "Microsoft Edge", "chromium": "Chromium",
    "brave": "BraveSoftware/Brave-Browser", "vivaldi": "Vivaldi",
}  # fmt: skip
_ID: Final = re.compile(r"[a-p]{32}")
_MAX_ITEMS: Final = 5_000


@macos_section("browser_extensions", personal=("user", "profile"), opt_in=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per extension and profile."""
    items: list[dict[str, Any]] = []
    for user, home in homes(context):
        try:
            items += _chromium(context, user, home) + _firefox(context, user, home)
        except PermissionError:
            context.note(f"the home of {user} needs root")
    return items[:_MAX_ITEMS]


def _chromium(context: Context, user: str, home: str) -> list[dict[str, Any]]:
    files = context.files
    items = []
    for browser, place in _CHROMIUM.items():
        base = f"{home}/{_SUPPORT}/{place}"
        for profile in files.names(base):
            folder = f"{base}/{profile}/Extensions"
            for identity in filter(_ID.fullmatch, files.names(folder)):
                versions = files.names(f"{folder}/{identity}")
                if not versions:
                    continue
                manifest = files.text(f"{folder}/{identity}/{versions[-1]}/manifest.json")
                try:
                    name, version = parse_chromium_manifest(manifest or "")
                except Malformed:
                    name, version = None, versions[-1].partition("_")[0]
                items.append(
                    {
                        "user": user, "browser": browser, "profile": profile, "id": identity,
                        "name": name, "version": version, "enabled": None,
                    }
                )  # fmt: skip
    return items


def _firefox(context: Context, user: str, home: str) -> list[dict[str, Any]]:
    items = []
    base = f"{home}/{_SUPPORT}/Firefox/Profiles"
    for profile in context.files.names(base):
        content = context.files.text(f"{base}/{profile}/extensions.json")
        if content is None:
            continue
        try:
            found = parse_firefox_extensions(content)
        except Malformed as error:
            context.note(f"firefox of {user}: {error.message}")
            continue
        items += [{"user": user, "browser": "firefox", "profile": profile} | one for one in found]
    return items
