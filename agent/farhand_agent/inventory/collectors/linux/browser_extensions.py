"""Section `browser_extensions` (opt-in): what people put into their browsers."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.extension_files import (
    parse_chromium_manifest,
    parse_firefox_extensions,
)
from farhand_agent.inventory.homes import Home, in_homes
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_CHROMIUM: Final = {
    "chromium": ".config/chromium", "chrome": ".config/google-chrome",
    "edge": ".config/microsoft-edge", "brave": ".config/BraveSoftware/Brave-Browser",
    "vivaldi": ".config/vivaldi", "chromium (snap)": "snap/chromium/common/chromium",
}  # fmt: skip
_FIREFOX: Final = (".mozilla/firefox", "snap/firefox/common/.mozilla/firefox")
_ID: Final = re.compile(r"[a-p]{32}")
_MAX_ITEMS: Final = 5_000


@section(
    "browser_extensions", platform="linux", personal=("user", "profile"), opt_in=True,
    timeout_s=30.0,
)  # fmt: skip
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per extension and profile.

    Raises:
        Denied: nobody's home may be read.
    """
    found = in_homes(context, lambda home: _chromium(context, home) + _firefox(context, home))
    return found[:_MAX_ITEMS]


def _chromium(context: Context, home: Home) -> list[dict[str, Any]]:
    files = context.files
    items = []
    for browser, place in _CHROMIUM.items():
        for profile in files.names(f"{home.path}/{place}"):
            folder = f"{home.path}/{place}/{profile}/Extensions"
            for identity in files.names(folder):
                versions = files.names(f"{folder}/{identity}") if _ID.fullmatch(identity) else []
                if not versions:
                    continue
                path = f"{folder}/{identity}/{versions[-1]}/manifest.json"
                try:
                    name, version = parse_chromium_manifest(files.text(path) or "")
                except Malformed:
                    name, version = None, versions[-1].partition("_")[0]
                one = {"id": identity, "name": name, "version": version, "enabled": None}
                items.append(_of(home, browser, profile) | one)
    return items


def _firefox(context: Context, home: Home) -> list[dict[str, Any]]:
    items = []
    for place in _FIREFOX:
        for profile in context.files.names(f"{home.path}/{place}"):
            path = f"{home.path}/{place}/{profile}/extensions.json"
            text = context.files.text(path)
            if text is None:
                continue
            try:
                found = parse_firefox_extensions(text)
            except Malformed as error:
                context.note(f"{path}: {error.message}", private=True)
                continue
            items += [_of(home, "firefox", profile) | one for one in found]
    return items


def _of(home: Home, browser: str, profile: str) -> dict[str, Any]:
    return {"user": home.user, "browser": browser, "profile": profile}
