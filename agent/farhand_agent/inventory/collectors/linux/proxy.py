"""Section `proxy`: through whom the system reaches the world, by its files.

Never by an environment: this process has none of a person's, and environments hold secrets.
"""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_apt", "parse_assignments", "parse_ini"]

_ASSIGNMENT: Final = re.compile(
    r"(?:export\s+)?(https?|ftp|all|no)_proxy=(\"[^\"]*\"|'[^']*'|\S*)", re.IGNORECASE
)
_APT: Final = re.compile(
    r"Acquire::(https?|ftp)::Proxy(?:::[^\s\"]+)?\s+\"([^\"]*)\"\s*;", re.IGNORECASE
)
_INI: Final = re.compile(r"proxy\s*=\s*(\S+)")
_DIRECT: Final = ("", "none", "false", "direct", "_none_")


def parse_assignments(text: str, source: str) -> list[dict[str, Any]]:
    """Return the proxies in lines as of /etc/environment or a shell's profile."""
    values: dict[str, str] = {}
    for line in text.split("\n"):
        if found := _ASSIGNMENT.match(line.strip()):
            values[found[1].lower()] = found[2].strip("\"'")
    exceptions = [one.strip() for one in values.pop("no", "").split(",") if one.strip()][:64]
    return [
        _item(source, scheme, address, exceptions)
        for scheme, address in values.items()
        if address.lower() not in _DIRECT
    ]


def parse_apt(text: str, source: str) -> list[dict[str, Any]]:
    """Return the proxies in a file of apt.conf(5), written in one line each."""
    lines = "\n".join(line for line in text.split("\n") if not line.strip().startswith(("//", "#")))
    return [
        _item(source, found[1].lower(), found[2], [])
        for found in _APT.finditer(lines)
        if found[2].lower() not in _DIRECT
    ]


def parse_ini(text: str, source: str) -> list[dict[str, Any]]:
    """Return the proxies in a file as dnf.conf(5)."""
    return [
        _item(source, "all", found[1], [])
        for line in text.split("\n")
        if (found := _INI.match(line.strip())) and found[1].lower() not in _DIRECT
    ]


def _item(source: str, scheme: str, address: str, exceptions: list[str]) -> dict[str, Any]:
    return {
        "source": source,
        "scheme": scheme,
        "address": without_credentials(address),
        "exceptions": exceptions,
    }


@section("proxy", platform="linux", personal=("address", "exceptions"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per setting; none means that the system goes out directly."""
    context.need("/etc")
    files = context.files
    items: list[dict[str, Any]] = []
    profiles = [f"/etc/profile.d/{one}" for one in files.names("/etc/profile.d")]
    for name in ("/etc/environment", "/etc/profile", *profiles):
        items += parse_assignments(files.text(name) or "", name)
    for one in ("/etc/apt/apt.conf", *(f"/etc/apt/apt.conf.d/{n}" for n in _apt_parts(context))):
        items += parse_apt(_readable(context, one), one)
    for name in ("/etc/dnf/dnf.conf", "/etc/yum.conf"):
        items += parse_ini(_readable(context, name), name)
    return items


def _apt_parts(context: Context) -> list[str]:
    return context.files.names("/etc/apt/apt.conf.d")


def _readable(context: Context, name: str) -> str:
    try:
        return context.files.text(name) or ""
    except PermissionError:
        # Such files are kept to root when they hold a password.
        context.note(f"{name} needs root")
        return ""
