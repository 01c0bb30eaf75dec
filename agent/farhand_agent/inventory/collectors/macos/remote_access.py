"""Section `remote_access`: macOS' own doors, by the jobs that launchd knows."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.services import listed_jobs
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.sshd_settings import parse_sshd

__all__ = ["collect"]

# By label: name and port.
_DOORS: Final = {
    "com.openssh.sshd": ("ssh", 22), "com.apple.screensharing": ("vnc", 5900),
    "com.apple.RemoteDesktop.agent": ("ard", 3283), "com.apple.smbd": ("smb", 445),
}  # fmt: skip


@macos_section("remote_access")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per door that is open."""
    items = []
    for service in listed_jobs(context):
        known = _DOORS.get(service["name"])
        if known is None:
            continue
        item: dict[str, Any] = {
            "name": known[0], "enabled": True, "running": service["state"] == "running",
            "ports": [known[1]], "root_login": None, "password_login": None,
        }  # fmt: skip
        if known[0] == "ssh":
            settings = parse_sshd(context.files.text("/etc/ssh/sshd_config") or "")
            first = {key: values[0].lower() for key, values in settings.items()}
            item["root_login"] = first.get("permitrootlogin", "prohibit-password")
            item["password_login"] = first.get("passwordauthentication", "yes") == "yes"
        items.append(item)
    return items
