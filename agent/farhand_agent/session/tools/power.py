"""The tools `lock`, `logout`, `shutdown` and `power-cancel`; `restart` is session/restart.py's.

              linux                        macos                       windows
    lock      loginctl lock-sessions       pmset displaysleepnow       LockWorkStation
    logout    loginctl terminate-user      launchctl bootout user/UID  shutdown /l
    shutdown  shutdown -P                  shutdown -h                 shutdown /s
    cancel    shutdown -c                  killall shutdown            shutdown /a

No words of the console reach a command besides a delay in minutes and a user's name.
"""

from __future__ import annotations

import pwd
from typing import Any

from farhand_agent.session.restart import MachineRestart
from farhand_agent.session.tools.commands import ToolCommands, ToolUnsupported, failed
from farhand_agent.session.tools.requests import Lock, Logout, PowerCancel, Restart, Shutdown
from farhand_protocol.errors import FarhandError

__all__ = ["PowerRequest", "power", "power_command"]

PowerRequest = Lock | Logout | Restart | Shutdown | PowerCancel


def power_command(
    what: str, platform: str, *, delay_min: int = 0, user: str = "", uid: int = 0
) -> list[str]:
    """Return the system's command.

    Args:
        what: `lock`, `logout`, `shutdown` or `power-cancel`.
        platform: as `platform_name` says.
        delay_min: of a shutdown.
        user, uid: who is signed out.

    Raises:
        ToolUnsupported: this platform is not known.
    """
    when = f"+{delay_min}" if delay_min else "now"
    tables: dict[str, dict[str, list[str]]] = {
        "linux": {
            "lock": ["loginctl", "lock-sessions"],
            "logout": ["loginctl", "terminate-user", "--", user],
            "shutdown": ["shutdown", "-P", when],
            "power-cancel": ["shutdown", "-c"],
        },
        "macos": {
            "lock": ["pmset", "displaysleepnow"],
            "logout": ["launchctl", "bootout", f"user/{uid}"],
            "shutdown": ["shutdown", "-h", when],
            "power-cancel": ["killall", "shutdown"],
        },
        "windows": {
            "lock": ["rundll32.exe", "user32.dll,LockWorkStation"],
            "logout": ["shutdown.exe", "/l"],
            "shutdown": ["shutdown.exe", "/s", "/t", str(delay_min * 60)],
            "power-cancel": ["shutdown.exe", "/a"],
        },
    }
    if platform not in tables:
        raise ToolUnsupported("this is not known on this system")
    return tables[platform][what]


async def power(
    request: PowerRequest, commands: ToolCommands, restart: MachineRestart, platform: str
) -> dict[str, Any]:
    """Do one of them.

    Returns:
        What was ordered: {"ordered", "delay_min"}, of a restart with "instance".

    Raises:
        FarhandError: `tool-unsupported`, `tool-failed`.
    """
    what = str(request.__struct_config__.tag)
    if isinstance(request, Restart):
        try:
            instance = await restart.order(request.delay_min)
        except FarhandError as error:
            raise failed(error.message) from error
        return {"ordered": what, "delay_min": request.delay_min, "instance": instance}
    delay_min = request.delay_min if isinstance(request, Shutdown) else 0
    user = request.user if isinstance(request, Logout) else ""
    uid = _uid(user) if user and platform == "macos" else 0
    argv = power_command(what, platform, delay_min=delay_min, user=user, uid=uid)
    await commands.run(argv)
    if isinstance(request, PowerCancel):
        restart.forget()
    return {"ordered": what, "delay_min": delay_min}


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise failed("there is no such user") from error
