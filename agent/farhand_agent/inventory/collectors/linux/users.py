"""Section `users`: local accounts and who of them may administer the device.

Names are personal data and flagged so; full names, telephone numbers and password hashes are
never collected.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Malformed
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing, CommandOverflow, CommandTimeout

__all__ = ["account_database", "admin_names", "collect", "parse_passwd", "parse_shadow"]

_ADMIN_GROUPS: Final = ("sudo", "wheel", "admin", "root")
_NO_LOGIN: Final = ("nologin", "false", "sync", "halt", "shutdown")
# A group of a directory may name thousands; nobody has an account of a quarter MiB.
_MAX_LINE_BYTES: Final = 256 * 1024
_MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_MAX_DAYS: Final = 1_000_000


def parse_passwd(text: str) -> list[dict[str, Any]]:
    """Return one item per account in passwd(5) format; lines of another shape are skipped.

    Raises:
        Malformed: there are lines and none is an account.
    """
    items = []
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) != 7 or not fields[0] or not _is_number(fields[2]):
            continue
        shell = fields[6].strip()
        items.append(
            {
                "name": fields[0],
                "uid": int(fields[2]),
                "gid": int(fields[3]) if _is_number(fields[3]) else None,
                "home": fields[5],
                "shell": shell,
                "interactive": shell.rpartition("/")[2] not in _NO_LOGIN,
                "administrator": False,
                "password": "unknown",
                "password_changed_on": None,
            }
        )
    if text.strip() and not items:
        raise Malformed("passwd")
    return items


def parse_shadow(text: str) -> dict[str, tuple[str, str | None]]:
    """Return by account name whether it has a password, and the date of its last change.

    Returns:
        "set", "locked" or "none", and a date as YYYY-MM-DD or None.

    Source: shadow(5).
    """
    states = {}
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) != 9:
            continue
        secret, days = fields[1], fields[2]
        state = "none" if not secret else "locked" if secret[0] in "!*" else "set"
        changed = None
        if _is_number(days) and 0 < int(days) < _MAX_DAYS:
            changed = (datetime.date(1970, 1, 1) + datetime.timedelta(int(days))).isoformat()
        states[fields[0]] = (state, changed)
    return states


def admin_names(group_text: str) -> tuple[set[str], set[int]]:
    """Return the members and the numbers of the groups that administer, from group(5) format.

    Raises:
        Malformed: there are lines and none is a group.
    """
    names: set[str] = set()
    numbers: set[int] = set()
    lines = [line.split(":") for line in group_text.split("\n")]
    if group_text.strip() and not any(len(fields) == 4 for fields in lines):
        raise Malformed("group")
    for fields in lines:
        if len(fields) == 4 and fields[0] in _ADMIN_GROUPS and _is_number(fields[2]):
            numbers.add(int(fields[2]))
            names.update(name for name in fields[3].strip().split(",") if name)
    return names, numbers


@section("users", platform="linux", personal=("name", "home"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per account; what needs root reads "unknown" without it."""
    items = parse_passwd(account_database(context, "passwd"))
    names, numbers = admin_names(account_database(context, "group"))
    try:
        states = parse_shadow(context.files.text("/etc/shadow") or "")
    except PermissionError:
        states = {}
        context.note("whether accounts have a password needs root")
    for item in items:
        item["administrator"] = item["uid"] == 0 or item["name"] in names or item["gid"] in numbers
        if item["name"] in states:
            item["password"], item["password_changed_on"] = states[item["name"]]
    return items


def account_database(context: Context, name: str) -> str:
    """Return the lines of "passwd" or "group", of the name service where it answers.

    Else they are those of the local file, without lines that are too long to be true.

    Raises:
        CommandDenied: getent may not be run.
        Malformed: the file has more than 64 MiB.
    """
    try:
        # Asks the name service too, which may hang on a dead directory server.
        return context.run(["getent", name], timeout_s=8.0).text
    except (CommandFailed, CommandMissing, CommandOverflow, CommandTimeout):
        context.note(f"{name} from the local file only")
        return _local_lines(context, f"/etc/{name}")


def _local_lines(context: Context, name: str) -> str:
    path = context.files.path(name)
    if not path.is_file():
        return ""
    kept = []
    size, whole = 0, True
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            size += len(line)
            if size > _MAX_FILE_BYTES:
                raise Malformed(name)
            ended = line.endswith(b"\n") or len(line) < _MAX_LINE_BYTES
            if whole and ended:
                kept.append(line)
            elif whole:
                context.note(f"a line of {name} is too long to be read")
            whole = ended
    return b"".join(kept).decode("utf-8", "replace")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12
