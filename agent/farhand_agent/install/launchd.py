"""The agent under launchd (launchd.plist(5)): one property list, and how its user is made."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence

__all__ = ["LABEL", "plist_bytes", "user_commands"]

LABEL = "org.farhand.agent"
# System accounts of macOS lie between 200 and 400 and begin with an underscore.
_FIRST_ID, _LAST_ID = 380, 399


def plist_bytes(program: Sequence[str], *, user: str, home: str) -> bytes:
    """Return the property list; launchd starts the agent once the device is enrolled."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": [*program, "run", "--home", home],
            "UserName": user,
            "KeepAlive": {"PathState": {f"{home}/config.toml": True}},
            "ThrottleInterval": 10,
            "ProcessType": "Background",
            # Running scripts outlive a restart of the agent.
            "AbandonProcessGroup": True,
            "Umask": 0o077,
            "StandardErrorPath": "/var/log/farhand-agent.log",
        }
    )


def user_commands(user: str, home: str, *, taken: frozenset[int]) -> list[list[str]]:
    """Return the commands that make a user and its group with the first free number.

    Args:
        user: name of the account.
        home: its folder.
        taken: numbers of accounts and groups that are there.
    """
    number = str(next(one for one in range(_FIRST_ID, _LAST_ID + 1) if one not in taken))
    group, account = f"/Groups/{user}", f"/Users/{user}"
    values = {
        "UniqueID": number,
        "PrimaryGroupID": number,
        "UserShell": "/bin/sh",
        "NFSHomeDirectory": home,
        "RealName": "Farhand agent",
        "IsHidden": "1",
        "Password": "*",
    }
    return [
        ["dscl", ".", "-create", group, "PrimaryGroupID", number],
        ["dscl", ".", "-create", account],
        *(["dscl", ".", "-create", account, name, value] for name, value in values.items()),
    ]
