"""The tools `services`, `service-start`, `service-stop` and `service-restart`.

    services    {"items": [{"manager", "name", "display", "state", "detail", "start"}], "note"}
    the others  {"name", "manager", "state"}       as the system says afterwards

                start                        stop                        restart
    systemd     systemctl start              systemctl stop              systemctl restart
    sysv        service NAME start           service NAME stop           service NAME restart
    launchd     launchctl kickstart          launchctl kill TERM         launchctl kickstart -k
    windows     Start-Service                Stop-Service                Restart-Service

Names are bounded to letters, digits and `@._:\\-` by the request, so no command can be hidden in
one.
"""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from farhand_agent.inventory.collectors.linux.services import collect
from farhand_agent.inventory.context import Context
from farhand_agent.platforms.commands import CommandTimeout
from farhand_agent.session.tools.commands import ToolCommands, ToolUnsupported, failed
from farhand_agent.session.tools.requests import ServiceChange, Services
from farhand_protocol.errors import FarhandError

__all__ = [
    "Manager",
    "change_service",
    "list_services",
    "parse_launchctl_list",
    "parse_windows_services",
    "service_command",
    "service_manager",
]

Manager: TypeAlias = Literal["systemd", "sysv", "launchd", "windows"]
_SYSTEMD: Final = Path("/run/systemd/system")
_POWERSHELL: Final = ("powershell.exe", "-NoProfile", "-NonInteractive", "-Command")
_LISTS: Final[dict[str, list[str]]] = {
    "launchd": ["launchctl", "list"],
    "windows": [
        *_POWERSHELL,
        "Get-Service | Select-Object Name,DisplayName,Status,StartType"
        " | ConvertTo-Csv -NoTypeInformation",
    ],
}


def service_manager(platform: str) -> Manager:
    """Return what rules over services here.

    Raises:
        ToolUnsupported: nothing that we know.
    """
    if platform == "linux":
        return "systemd" if _SYSTEMD.is_dir() else "sysv"
    if platform == "macos":
        return "launchd"
    if platform == "windows":
        return "windows"
    raise ToolUnsupported("services are not known on this system")


def service_command(manager: Manager, verb: str, name: str) -> list[str]:
    """Return the command that does `start`, `stop`, `restart` or `state` to a service."""
    match manager, verb:
        case "systemd", "state":
            return ["systemctl", "show", "--property=ActiveState", "--value", "--", _unit(name)]
        case "systemd", _:
            return ["systemctl", "--no-pager", "--no-ask-password", verb, "--", _unit(name)]
        case "sysv", "state":
            return ["service", name, "status"]
        case "sysv", _:
            return ["service", name, verb]
        case "launchd", "start":
            return ["launchctl", "kickstart", f"system/{name}"]
        case "launchd", "stop":
            return ["launchctl", "kill", "TERM", f"system/{name}"]
        case "launchd", "restart":
            return ["launchctl", "kickstart", "-k", f"system/{name}"]
        case "launchd", _:
            return ["launchctl", "print", f"system/{name}"]
        case _, "state":
            return [*_POWERSHELL, f"(Get-Service -Name '{name}').Status"]
        case _:
            return [*_POWERSHELL, f"{verb.capitalize()}-Service -Name '{name}'"]


def _unit(name: str) -> str:
    return name if "." in name else f"{name}.service"


async def list_services(
    request: Services, commands: ToolCommands, platform: str, manager: Manager
) -> dict[str, Any]:
    """Return the services of this system.

    Raises:
        FarhandError: `tool-unsupported`, `tool-failed`.
    """
    note = ""
    if manager in ("systemd", "sysv"):
        context = Context(platform=platform, timeout_s=30.0)
        try:
            items = await asyncio.to_thread(collect, context)
        except CommandTimeout as error:
            raise failed(error.message) from error
        except FarhandError as error:
            raise ToolUnsupported(error.message) from error
        note = "; ".join(context.notes)
    else:
        text = (await commands.run(_LISTS[manager])).text
        items = parse_launchctl_list(text) if manager == "launchd" else parse_windows_services(text)
    wanted = request.match.lower()
    return {"items": [item for item in items if wanted in item["name"].lower()], "note": note}


async def change_service(
    request: ServiceChange, commands: ToolCommands, manager: Manager
) -> dict[str, Any]:
    """Start, stop or restart a service.

    Raises:
        FarhandError: `tool-unsupported`, `tool-failed` with the system's own words.
    """
    verb = str(request.__struct_config__.tag).removeprefix("service-")
    await commands.run(service_command(manager, verb, request.name), timeout_s=90.0)
    told = await commands.run(service_command(manager, "state", request.name), needs_success=False)
    state = _state(manager, told.exit_code, told.text)
    return {"name": request.name, "manager": manager, "state": state}


def _state(manager: Manager, exit_code: int, text: str) -> str:
    if manager == "systemd":
        word = text.strip()
        return {"active": "running", "inactive": "stopped"}.get(word, word or "unknown")
    if manager == "sysv":
        # LSB init scripts: 0 it runs, 1 to 3 it does not, 4 and above unknown.
        return "running" if exit_code == 0 else "stopped" if exit_code <= 3 else "unknown"
    running = "state = running" in text or text.strip() == "Running"
    return "running" if running else "stopped"


def parse_launchctl_list(text: str) -> list[dict[str, Any]]:
    """Return one item per line of `launchctl list`: process, last status, label."""
    items = []
    for line in text.splitlines()[1:]:
        fields = line.split("\t")
        if len(fields) == 3:
            pid, status, label = fields
            items.append(
                _item("launchd", label, state="running" if pid != "-" else "stopped", detail=status)
            )
    return items


def parse_windows_services(text: str) -> list[dict[str, Any]]:
    """Return one item per row of `Get-Service` as CSV."""
    return [
        _item(
            "windows",
            row["Name"],
            display=row.get("DisplayName"),
            state=(row.get("Status") or "unknown").lower(),
            start=row.get("StartType"),
        )
        for row in csv.DictReader(io.StringIO(text))
        if row.get("Name")
    ]


def _item(
    manager: str,
    name: str,
    *,
    state: str,
    display: str | None = None,
    detail: str | None = None,
    start: str | None = None,
) -> dict[str, Any]:
    return {
        "manager": manager,
        "name": name,
        "display": display,
        "state": state,
        "detail": detail,
        "start": start,
    }
