"""Section `update_settings`: what the system does about updates by itself."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_apt_conf"]

# A name begins where none goes on, and is bounded: a long line must not be tried at each letter.
_NAME: Final = r"(?<![A-Za-z0-9:_-])([A-Za-z][A-Za-z0-9:_-]{0,200})"
_SCALAR: Final = re.compile(_NAME + r"\s{1,100}\"([^\"]*)\"\s{0,100};")
# Entries are quoted and hold braces of their own: "codename=${distro_codename}".
_LIST: Final = re.compile(_NAME + r"\s{0,100}\{((?:[^{}\"]|\"[^\"]*\")*)\}\s{0,100};")
_ENTRY: Final = re.compile(r"\"([^\"]*)\"\s*;")
_DNF: Final = re.compile(r"([a-z_]+)\s*=\s*(.*)")
_ON: Final = ("1", "true", "yes", "on", "enable")


def parse_apt_conf(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the values and the lists of names in a file of apt.conf(5), by lower-case name.

    Blocks inside blocks are not resolved: the two files that matter here have none.
    """
    plain = "\n".join(line for line in text.split("\n") if not line.strip().startswith(("//", "#")))
    plain = re.sub(r"/\*.*?\*/", "", plain, flags=re.DOTALL)
    lists = {found[1].lower(): _ENTRY.findall(found[2]) for found in _LIST.finditer(plain)}
    values = {found[1].lower(): found[2] for found in _SCALAR.finditer(_LIST.sub("", plain))}
    return values, lists


@section("update_settings", platform="linux", personal=("server",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per package manager that can update by itself.

    Raises:
        Unsupported: none of those that are known is here.
    """
    items = []
    files = context.files
    if files.path("/etc/apt/apt.conf.d").is_dir():
        items.append(_apt(context))
    for name in ("/etc/dnf/automatic.conf", "/usr/share/dnf5/dnf5-plugins/automatic.conf"):
        if (text := files.text(name)) is not None:
            items.append(_dnf(context, text))
            break
    if not items:
        raise Unsupported("neither apt nor dnf-automatic has settings here")
    return items


def _apt(context: Context) -> dict[str, Any]:
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    # apt reads them in this order, and the last word counts.
    for name in context.files.names("/etc/apt/apt.conf.d"):
        try:
            more, names = parse_apt_conf(context.files.text(f"/etc/apt/apt.conf.d/{name}") or "")
        except PermissionError:
            context.note(f"/etc/apt/apt.conf.d/{name} needs root")
            continue
        values |= more
        for key, entries in names.items():
            lists.setdefault(key, []).extend(entries)

    def period(key: str) -> bool:
        return values.get(f"apt::periodic::{key}", "0").lower() not in ("0", "", "no", "false")

    installed = context.files.path("/usr/bin/unattended-upgrade").exists()
    origins = lists.get("unattended-upgrade::origins-pattern", [])
    origins += lists.get("unattended-upgrade::allowed-origins", [])
    secure = [one for one in origins if "security" in one.lower()]
    reboots = values.get("unattended-upgrade::automatic-reboot", "false").lower() in _ON
    installs = installed and period("unattended-upgrade")
    return {
        "manager": "apt",
        "checks": period("update-package-lists"),
        "downloads": period("download-upgradeable-packages") or installs,
        "installs": installs,
        "security_only": len(secure) == len(origins) if origins else None,
        "reboots": reboots and installs,
        "reboot_time": values.get("unattended-upgrade::automatic-reboot-time") if reboots else None,
        "held_back": lists.get("unattended-upgrade::package-blacklist", [])[:200],
        "server": None,
    }


def _dnf(context: Context, text: str) -> dict[str, Any]:
    values = {
        found[1]: found[2].strip()
        for line in text.split("\n")
        if (found := _DNF.fullmatch(line.strip()))
    }
    timers = context.files.names("/etc/systemd/system/timers.target.wants")
    on = any(name.startswith("dnf") and "automatic" in name for name in timers)

    def says(key: str) -> bool:
        return on and values.get(key, "no").lower() in _ON

    # dnf-automatic(8): apply_updates implies download_updates.
    return {
        "manager": "dnf",
        "checks": on,
        "downloads": says("download_updates") or says("apply_updates"),
        "installs": says("apply_updates"),
        "security_only": values.get("upgrade_type", "default") == "security",
        "reboots": on and values.get("reboot", "never") != "never",
        "reboot_time": None,
        "held_back": [],
        "server": None,
    }
