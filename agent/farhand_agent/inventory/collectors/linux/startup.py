"""Section `startup`: what starts when somebody logs in, and the old ways when the system does.

Services have a section of their own.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.homes import homes
from farhand_agent.inventory.programs import program_of
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_desktop"]

_MACHINE: Final = "/etc/xdg/autostart"
_MAX_ITEMS: Final = 5_000


def parse_desktop(text: str) -> dict[str, Any] | None:
    """Return name, program and whether it runs from a desktop entry; None when it is none.

    Source: Desktop Application Autostart Specification 0.5: `Hidden=true` means as if deleted.
    """
    fields: dict[str, str] = {}
    inside = False
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped == "[Desktop Entry]"
        elif inside and "=" in stripped:
            key, _, value = stripped.partition("=")
            fields.setdefault(key.strip(), value.strip())
    if "Exec" not in fields and "Name" not in fields:
        return None
    off = fields.get("Hidden", "").lower() == "true"
    off = off or fields.get("X-GNOME-Autostart-enabled", "").lower() == "false"
    return {
        "name": fields.get("Name"),
        "program": program_of(fields.get("Exec", "")),
        "enabled": not off,
    }


@section("startup", platform="linux", personal=("user", "path"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per entry of the machine and of each home."""
    context.need("/etc")
    files = context.files
    items = _entries(context, _MACHINE, None)
    for home in homes(context):
        try:
            items += _entries(context, f"{home.path}/.config/autostart", home.user)
        except PermissionError:
            context.note(f"the home of {home.user} needs root", private=True)
    rc_local = files.path("/etc/rc.local")
    if rc_local.is_file():
        runs = bool(rc_local.stat().st_mode & 0o111)
        items.append(_item("rc.local", "rc.local", None, "/etc/rc.local", runs, "/etc/rc.local"))
    for name in files.names("/etc/profile.d"):
        if name.endswith(".sh"):
            path = f"/etc/profile.d/{name}"
            items.append(_item("profile", name, None, path, True, path))
    return items[:_MAX_ITEMS]


def _entries(context: Context, folder: str, user: str | None) -> list[dict[str, Any]]:
    items = []
    for name in context.files.names(folder):
        path = f"{folder}/{name}"
        entry = parse_desktop(context.files.text(path) or "") if name.endswith(".desktop") else None
        if entry:
            label = entry["name"] or name
            items.append(_item("xdg", label, user, entry["program"], entry["enabled"], path))
    return items


def _item(
    source: str, name: str, user: str | None, program: str | None, on: bool, path: str
) -> dict[str, Any]:
    return {
        "source": source, "name": name, "scope": "user" if user else "machine", "user": user,
        "program": program, "enabled": on, "path": path,
    }  # fmt: skip
