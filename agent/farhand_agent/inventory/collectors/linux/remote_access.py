"""Section `remote_access`: the system's own doors, and what they let in."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.presence import Found, Product, look_for
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.sshd_settings import parse_sshd

__all__ = ["collect"]

_PRODUCTS: Final = (
    Product("ssh", ("openssh-server", "dropbear"), ("sshd", "dropbear"), ("/usr/sbin/sshd",)),
    Product("rdp", ("xrdp", "gnome-remote-desktop"), ("xrdp", "gnome-remote-de")),
    Product(
        "vnc", ("tigervnc-standalone-server", "x11vnc", "tightvncserver", "vino"),
        ("x11vnc", "Xvnc", "Xtigervnc"),
    ),
    Product("telnet", ("telnetd", "inetutils-telnetd", "telnet-server"), ("telnetd",)),
    Product("cockpit", ("cockpit-ws",), ("cockpit-ws",)),
    Product("webmin", ("webmin",), ("miniserv.pl",), ("/etc/webmin",)),
    Product("rlogin", ("rsh-server",), ("in.rlogind",)),
)  # fmt: skip
# The names of their systemd units, by which "starts with the system" is told.
_UNITS: Final = {
    "ssh": ("ssh", "sshd", "dropbear"), "rdp": ("xrdp", "gnome-remote-desktop"), "vnc": ("x11vnc",),
    "telnet": ("telnet", "inetd"), "cockpit": ("cockpit",), "webmin": ("webmin",),
}  # fmt: skip
_PORTS: Final = {"rdp": 3389, "vnc": 5900, "telnet": 23, "cockpit": 9090, "webmin": 10_000}
_MAX_INCLUDES: Final = 100


@section("remote_access", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per door that is installed."""
    return [_item(context, found) for found in look_for(context, _PRODUCTS)]


def _item(context: Context, found: Found) -> dict[str, Any]:
    name = found.product.name
    item: dict[str, Any] = {
        "name": name,
        "enabled": _enabled(context, _UNITS.get(name, ())),
        "running": found.running,
        "ports": [_PORTS[name]] if name in _PORTS else [],
        "root_login": None,
        "password_login": None,
    }
    if name == "ssh":
        item |= _ssh(context)
    return item


def _enabled(context: Context, units: tuple[str, ...]) -> bool:
    """Tell whether a unit is wanted by a target, or an init script is linked to start."""
    names = {f"{unit}.{kind}" for unit in units for kind in ("service", "socket")}
    for folder in context.files.names("/etc/systemd/system"):
        wanted = context.files.names(f"/etc/systemd/system/{folder}")
        if folder.endswith(".wants") and names & set(wanted):
            return True
    scripts = {name[3:] for name in context.files.names("/etc/rc2.d") if name.startswith("S")}
    return bool(scripts & set(units))


def _ssh(context: Context) -> dict[str, Any]:
    try:
        settings = _sshd_settings(context)
    except PermissionError:
        context.note("sshd's configuration needs root")
        return {}
    first = {key: values[0].lower() for key, values in settings.items()}
    ports = [int(one) for one in settings.get("port", ["22"]) if re.fullmatch(r"[0-9]{1,5}", one)]
    return {
        "ports": ports,
        # The defaults of OpenSSH (sshd_config(5)).
        "root_login": first.get("permitrootlogin", "prohibit-password"),
        "password_login": first.get("passwordauthentication", "yes") == "yes",
    }


def _sshd_settings(context: Context) -> dict[str, list[str]]:
    files = context.files
    main = parse_sshd(files.text("/etc/ssh/sshd_config") or "")
    merged: dict[str, list[str]] = {}
    if "include" in main:
        # Distributions include this one folder at the top, so that it wins.
        for name in files.names("/etc/ssh/sshd_config.d")[:_MAX_INCLUDES]:
            if name.endswith(".conf"):
                part = parse_sshd(files.text(f"/etc/ssh/sshd_config.d/{name}") or "")
                for key, values in part.items():
                    merged.setdefault(key, []).extend(values)
    for key, values in main.items():
        merged.setdefault(key, []).extend(values)
    return merged
