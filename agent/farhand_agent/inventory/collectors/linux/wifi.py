"""Section `wifi`: the network each Wi-Fi interface is in right now."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Unsupported
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_iw", "parse_nmcli_security"]

_NET: Final = "/sys/class/net"
_BSSID: Final = re.compile(r"Connected to ([0-9a-f:]{17})")
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


def parse_iw(output: str, interface: str) -> dict[str, Any]:
    """Return the item of an interface from `iw dev IFACE link`; nulls where it is in no network."""
    fields = {}
    for line in output.split("\n")[1:]:
        key, _, value = line.strip().partition(": ")
        fields[key] = value.strip()
    bssid = _BSSID.match(output)
    name = fields.get("SSID")
    if name:
        # iw writes bytes that are no printable ASCII as \xNN.
        raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
        name = raw.encode("latin-1", "replace").decode("utf-8", "replace")
    return {
        "interface": interface,
        "ssid": name or None,
        "bssid": bssid[1] if bssid else None,
        "frequency_mhz": _first_number(fields.get("freq")),
        "signal_dbm": _first_number(fields.get("signal")),
        "rate_mbit_s": _first_number(fields.get("tx bitrate")),
        "security": None,
    }


def parse_nmcli_security(output: str) -> str | None:
    """Return the security of the network in use, from `nmcli -t -f IN-USE,SECURITY dev wifi`."""
    for line in output.split("\n"):
        mark, _, security = line.partition(":")
        if mark == "*":
            return security.strip().lower().replace(" ", "+") or "open"
    return None


@section("wifi", platform="linux", personal=("ssid", "bssid"), volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per Wi-Fi interface; a machine without one has none.

    Raises:
        Unsupported: there is one, and iw is not installed.
    """
    context.need(_NET)
    files = context.files
    interfaces = [
        name
        for name in files.names(_NET)
        if files.path(f"{_NET}/{name}/wireless").exists()
        or files.path(f"{_NET}/{name}/phy80211").exists()
    ]
    items = []
    for name in interfaces:
        try:
            items.append(parse_iw(context.run(["iw", "dev", name, "link"]).text, name))
        except CommandMissing as error:
            raise Unsupported("there is Wi-Fi, and iw is not installed") from error
    if items:
        try:
            # Only what it knows already: a scan would disturb the connection.
            argv = ["nmcli", "-t", "-f", "IN-USE,SECURITY", "dev", "wifi", "list", "--rescan", "no"]
            items[0]["security"] = parse_nmcli_security(context.run(argv).text)
        except (CommandFailed, CommandMissing):
            pass  # the security stays unknown
    return items


def _first_number(text: str | None) -> int | float | None:
    found = re.match(r"-?[0-9]{1,6}(?:\.[0-9]{1,3})?", text or "")
    if not found:
        return None
    value = float(found[0])
    return int(value) if value.is_integer() else value
