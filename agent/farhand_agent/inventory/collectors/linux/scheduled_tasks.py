"""Section `scheduled_tasks`: what runs by the clock.  Programs by name, never with arguments."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.moments import instant
from farhand_agent.inventory.programs import program_of
from farhand_agent.inventory.registry import section
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_anacrontab", "parse_crontab", "parse_timers"]

_SPOOLS: Final = ("/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron")
_PARTS: Final = ("hourly", "daily", "weekly", "monthly")
# What run-parts takes, and cron from /etc/cron.d: no dots, so no backup copies.
_RUN_PARTS: Final = re.compile(r"[A-Za-z0-9_-]+")
_FIELD: Final = r"[0-9A-Za-z*/,~-]+"
_CRON: Final = re.compile(rf"((?:{_FIELD}\s+){{4}}{_FIELD}|@[a-z]+)\s+(.+)")
_JOB: Final = re.compile(r"[a-zA-Z=]([0-9a-f]{5})([0-9a-f]{8})")
_ON: Final = re.compile(r"\{ (On\w+)=(.*?) ; next_elapse=")
_MAX_TASKS: Final = 5_000


def parse_crontab(text: str, name: str, user: str | None) -> list[dict[str, Any]]:
    """Return one item per line of a crontab(5).

    Args:
        text: the file.
        name: what its items are called.
        user: whose crontab it is; None where each line names its user.
    """
    items = []
    for line in text.split("\n"):
        found = _CRON.fullmatch(line.strip())
        if not found:
            continue  # a comment, a setting, or no line of a crontab
        whose, rest = user, found[2]
        if whose is None:
            whose, *command = rest.split(None, 1)
            rest = "".join(command)
        items.append(_task("cron", name, found[1], whose, program_of(rest), True))
    return items


def parse_anacrontab(text: str) -> list[dict[str, Any]]:
    """Return one item per job of anacrontab(5): period, delay, name, command."""
    items = []
    for line in text.split("\n"):
        fields = line.split(None, 3)
        if len(fields) == 4 and re.fullmatch(r"[0-9]+|@[a-z]+", fields[0]) and fields[1].isdigit():
            schedule = fields[0] if fields[0].startswith("@") else f"every {fields[0]} days"
            items.append(_task("anacron", fields[2], schedule, "root", program_of(fields[3]), True))
    return items


def parse_timers(output: str) -> list[dict[str, Any]]:
    """Return one item per timer of `systemctl show --all '*.timer' -p Id,Unit,Timers...`."""
    items = []
    for block in output.split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in block.strip().split("\n"):
            key, equals, value = line.partition("=")
            if equals:
                fields.setdefault(key, []).append(value)
        name = fields.get("Id", [""])[0]
        if not name.endswith(".timer") or fields.get("LoadState", ["loaded"])[0] != "loaded":
            continue
        rules = fields.get("TimersCalendar", []) + fields.get("TimersMonotonic", [])
        schedule = "; ".join(
            found[2] if found[1] == "OnCalendar" else f"{found[1].removesuffix('USec')} {found[2]}"
            for rule in rules
            if (found := _ON.search(rule))
        )
        active = fields.get("ActiveState", [""])[0] == "active"
        items.append(
            _task("timer", name, schedule or None, None, fields.get("Unit", [None])[0], active)
        )
    return items


def _task(
    source: str, name: str, schedule: str | None, user: str | None, program: str | None, on: bool
) -> dict[str, Any]:
    return {
        "source": source, "name": name, "schedule": schedule, "user": user, "program": program,
        "enabled": on, "last_result": None,
    }  # fmt: skip


@section("scheduled_tasks", platform="linux", personal=("user",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per line of a crontab, script of a cron folder, timer and waiting job."""
    context.need("/etc")
    files = context.files
    items = parse_crontab(files.text("/etc/crontab") or "", "/etc/crontab", None)
    for name in files.names("/etc/cron.d"):
        if _RUN_PARTS.fullmatch(name):
            path = f"/etc/cron.d/{name}"
            items += parse_crontab(_text(context, path), path, None)
    for part in _PARTS:
        for name in files.names(f"/etc/cron.{part}"):
            path = f"/etc/cron.{part}/{name}"
            if _RUN_PARTS.fullmatch(name):
                runs = bool(files.path(path).stat().st_mode & 0o111)
                items.append(_task("cron", name, part, "root", path, runs))
    items += parse_anacrontab(_text(context, "/etc/anacrontab"))
    items += _of_users(context) + _waiting(context)
    if files.path("/run/systemd/system").is_dir():
        properties = "Id,Unit,LoadState,ActiveState,TimersCalendar,TimersMonotonic"
        argv = ["systemctl", "show", "--all", "--no-pager", "-p", properties, "*.timer"]
        try:
            items += parse_timers(context.run(argv).text)
        except FarhandError as error:
            context.note(f"no timers: {error.message}")
    return items[:_MAX_TASKS]


def _of_users(context: Context) -> list[dict[str, Any]]:
    items = []
    for folder in _SPOOLS:
        try:
            for user in context.files.names(folder):
                path = f"{folder}/{user}"
                if context.files.path(path).is_file():
                    items += parse_crontab(_text(context, path), "crontab", user)
        except PermissionError:
            context.note(f"{folder} needs root")
    return items


def _waiting(context: Context) -> list[dict[str, Any]]:
    """Return one item per job of at: its name holds its queue, its number and its minute."""
    items = []
    for folder in ("/var/spool/cron/atjobs", "/var/spool/at"):
        try:
            names = context.files.names(folder)
        except PermissionError:
            context.note(f"{folder} needs root")
            continue
        for name in names:
            if found := _JOB.fullmatch(name):
                when = instant(int(found[2], 16) * 60)
                items.append(_task("at", f"job {int(found[1], 16)}", when, None, None, True))
    return items


def _text(context: Context, name: str) -> str:
    try:
        return context.files.text(name) or ""
    except PermissionError:
        context.note(f"{name} needs root")
        return ""
