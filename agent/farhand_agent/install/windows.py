"""The agent as a Windows service: the commands of sc.exe and icacls that make and remove it.

The service runs under its own virtual account (`NT SERVICE\\FarhandAgent`), which Windows makes by
itself, has no password and no more rights than a user; `root` among the privileges makes it
LocalSystem.  What the service starts is `windows_service`, which speaks with the service manager.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

__all__ = ["SERVICE_NAME", "account", "install_commands", "remove_commands"]

SERVICE_NAME = "FarhandAgent"
_DESCRIPTION = "Lets a technician help with this device, on terms that its people set."


def account(*, is_root: bool) -> str:
    """Return the account that the service runs under."""
    return "LocalSystem" if is_root else f"NT SERVICE\\{SERVICE_NAME}"


def install_commands(python: str, *, home: str, is_root: bool, exists: bool) -> list[list[str]]:
    """Return the commands that make the service, or bring it up to date where it exists.

    Args:
        python: the interpreter's path.
        home: the agent's home.
        is_root: whether it runs as LocalSystem.
        exists: whether there is a service of that name.
    """
    image = subprocess.list2cmdline(
        [python, "-P", "-m", "farhand_agent.install.windows_service", home]
    )
    settings = [
        # sc.exe wants the blank behind each equals sign: as arguments of their own.
        "binPath=", image,
        "start=", "delayed-auto",
        "obj=", account(is_root=is_root),
        "DisplayName=", "Farhand agent",
    ]  # fmt: skip
    commands = [
        ["sc.exe", "config" if exists else "create", SERVICE_NAME, *settings],
        ["sc.exe", "description", SERVICE_NAME, _DESCRIPTION],
        ["sc.exe", "failure", SERVICE_NAME, "reset=", "86400", "actions=",
         "restart/5000/restart/30000/restart/60000"],
        ["sc.exe", "sidtype", SERVICE_NAME, "unrestricted"],
    ]  # fmt: skip
    # Nobody but the service, administrators and the system may look into the home.
    return [
        *commands,
        ["icacls.exe", home, "/inheritance:r", "/grant:r", "*S-1-5-18:(OI)(CI)F",
         "*S-1-5-32-544:(OI)(CI)F", f"NT SERVICE\\{SERVICE_NAME}:(OI)(CI)F"],
    ]  # fmt: skip


def remove_commands() -> Sequence[list[str]]:
    """Return the commands that stop and remove the service; the first may fail."""
    return (["sc.exe", "stop", SERVICE_NAME], ["sc.exe", "delete", SERVICE_NAME])
