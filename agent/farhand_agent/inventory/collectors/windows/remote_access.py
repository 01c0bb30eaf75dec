"""Section `remote_access`: Windows' own doors, and what they let in."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import truth, whole
from farhand_agent.inventory.sshd_settings import parse_sshd

__all__ = ["parse"]

_SERVICES: Final = {"winrm": ("winrm", [5985]), "tlntsvr": ("telnet", [23]), "sshd": ("ssh", [])}
_RDP: Final = 3389


@windows_section("remote_access", parts=("remote_settings", "services"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per door that is there."""
    settings = told.row("remote_settings")
    services = {(said(one.get("Name")) or "").lower(): one for one in told.rows("services")}
    denied = truth(settings.get("fDenyTSConnections"))
    port = whole(settings.get("PortNumber")) or _RDP
    if truth(settings.get("UserAuthentication")) is False and denied is False:
        told.note("rdp lets strangers as far as the login screen (no NLA)")
    terminal = services.get("termservice")
    items: list[dict[str, Any]] = [
        {
            "name": "rdp",
            "enabled": None if denied is None else not denied,
            "running": denied is False and _runs(terminal),
            "ports": [port],
            "root_login": None,
            "password_login": True if denied is False else None,
        }
    ]
    for name, (kind, ports) in _SERVICES.items():
        service = services.get(name)
        if service is None:
            continue
        item: dict[str, Any] = {
            "name": kind, "enabled": said(service.get("StartMode")) == "Auto",
            "running": _runs(service), "ports": ports, "root_login": None, "password_login": None,
        }  # fmt: skip
        if kind == "ssh":
            found = parse_sshd(said(settings.get("sshd")) or "")
            first = {key: values[0].lower() for key, values in found.items()}
            told_ports = [p for p in found.get("port", ["22"]) if re.fullmatch(r"[0-9]{1,5}", p)]
            item["ports"] = [int(p) for p in told_ports]
            item["password_login"] = first.get("passwordauthentication", "yes") == "yes"
        items.append(item)
    return items


def _runs(service: dict[str, Any] | None) -> bool:
    return service is not None and said(service.get("State")) == "Running"
