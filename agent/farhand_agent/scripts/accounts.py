"""Under whose account a body runs: what a manifest's `run_as` means on this device.

    agent       the agent's own account                     None
    root        root; refused where the agent is not        None, for it is root then
    service     one without rights: farhand-scripts where   that account
                somebody made it, else nobody
    user:NAME   a named account                             that account

Only root can become somebody else.  On Windows there is `agent` and `root` (the system's own
account) alone.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Final

from farhand_protocol.errors import RefusedError

if sys.platform != "win32":
    import pwd

__all__ = ["SERVICE_ACCOUNTS", "Account", "account_of", "own_account"]

SERVICE_ACCOUNTS: Final = ("farhand-scripts", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this device, with all groups that it is in."""

    name: str
    home: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def account_of(run_as: str) -> Account | None:
    """Return the account that a body runs under; None for the agent's own.

    Raises:
        RefusedError: `script-needs-root` when the agent may not become that account,
            `script-account-unknown` when the device does not have it.
    """
    is_root = _is_root()
    if run_as == "agent":
        return None
    if run_as == "root":
        if not is_root:
            raise RefusedError("script-needs-root", "the script needs root, and the agent is not")
        return None
    names = SERVICE_ACCOUNTS if run_as == "service" else (run_as.removeprefix("user:"),)
    account = next((found for name in names if (found := _named(name)) is not None), None)
    if account is None:
        raise RefusedError("script-account-unknown", f"there is no account {names[-1]} here")
    if account.uid == _own_uid():
        return None
    if not is_root:
        raise RefusedError(
            "script-needs-root", f"only root runs a script as {account.name}, and the agent is not"
        )
    return account


def own_account() -> tuple[str, str]:
    """Return name and home folder of the account that this process runs under."""
    if sys.platform == "win32":
        return os.environ.get("USERNAME", "SYSTEM"), os.environ.get("USERPROFILE", "C:\\")
    else:  # noqa: RET505 - mypy judges only branches by platform, not what follows them
        try:
            entry = pwd.getpwuid(os.getuid())
        except KeyError:  # a numeric user of a container
            return str(os.getuid()), os.sep
        return entry.pw_name, entry.pw_dir


if sys.platform == "win32":

    def _is_root() -> bool:
        return True  # the service; whatever it may not do, Windows refuses

    def _own_uid() -> int:
        return -1

    def _named(name: str) -> Account | None:
        return None

else:

    def _is_root() -> bool:
        return os.geteuid() == 0

    def _own_uid() -> int:
        return os.getuid()

    def _named(name: str) -> Account | None:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        groups = tuple(os.getgrouplist(name, entry.pw_gid))
        return Account(name, entry.pw_dir, entry.pw_uid, entry.pw_gid, groups)
