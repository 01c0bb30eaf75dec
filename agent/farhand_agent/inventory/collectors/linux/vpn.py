"""Section `vpn`: tunnels that are up, and those that are configured."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_links", "parse_nmcli", "parse_tailscale"]

_KINDS: Final = {
    "wireguard": "wireguard", "tun": "tun", "ppp": "ppp", "xfrm": "ipsec", "vti": "ipsec",
    "vti6": "ipsec", "gre": "gre", "ipip": "ipip", "sit": "sit",
}  # fmt: skip
# The kernel makes one of each by itself, in every network namespace.
_FALLBACKS: Final = (
    "tunl0",
    "gre0",
    "gretap0",
    "erspan0",
    "sit0",
    "ip_vti0",
    "ip6_vti0",
    "ip6tnl0",
)


def parse_links(document: Any) -> list[dict[str, Any]]:
    """Return one item per tunnel in what `ip -j -d link` printed.

    Raises:
        Malformed: it is not what ip prints.
    """
    if not isinstance(document, list):
        raise Malformed("ip link")
    items = []
    for link in document:
        details = link.get("linkinfo") if isinstance(link, dict) else None
        kind = _KINDS.get(str(details.get("info_kind"))) if isinstance(details, dict) else None
        name = text(link.get("ifname")) if isinstance(link, dict) else None
        data = details.get("info_data") if isinstance(details, dict) else None
        if not kind or not name or name in _FALLBACKS:
            continue
        if kind == "tun" and isinstance(data, dict) and data.get("type") == "tap":
            continue  # a virtual machine's network card
        flags = link.get("flags")
        up = isinstance(flags, list) and "UP" in flags
        items.append(_item(name, kind, name, "up" if up else "down", "kernel"))
    return items


def parse_nmcli(output: str) -> list[dict[str, Any]]:
    """Return one item per VPN of `nmcli -t -f NAME,TYPE,DEVICE,STATE connection show`."""
    items = []
    for line in output.split("\n"):
        # A colon in a name is written \: and would shift the fields; the last three hold none.
        fields = line.rsplit(":", 3)
        if len(fields) != 4 or fields[1] not in ("vpn", "wireguard"):
            continue
        name = fields[0].replace("\\:", ":").replace("\\\\", "\\")
        state = "up" if fields[3] == "activated" else "down"
        items.append(_item(name, fields[1], fields[2] or None, state, "NetworkManager"))
    return items


def parse_tailscale(document: Any) -> list[dict[str, Any]]:
    """Return the item of what `tailscale status --json --peers=false` printed.

    Raises:
        Malformed: it is something else.
    """
    if not isinstance(document, dict):
        raise Malformed("tailscale")
    state = "up" if document.get("BackendState") == "Running" else "down"
    return [
        _item("tailscale", "tailscale", "tailscale0" if state == "up" else None, state, "tailscale")
    ]


def _item(name: str, kind: str, interface: str | None, state: str, source: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "interface": interface, "state": state, "source": source}


@section("vpn", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per tunnel of the kernel and per configured connection."""
    items = parse_links(context.run_json(["ip", "-j", "-d", "link"]))
    try:
        argv = ["nmcli", "-t", "-f", "NAME,TYPE,DEVICE,STATE", "connection", "show"]
        items += parse_nmcli(context.run(argv, ok=(0, 8)).text)  # 8: it does not run
    except CommandMissing:
        pass  # another network manager, which leaves files or links
    try:
        argv = ["tailscale", "status", "--json", "--peers=false"]
        answer = context.run(argv, ok=(0, 1))  # 1: its daemon does not run
        if answer.stdout.strip():
            items += parse_tailscale(context.parse_json(answer.stdout, "tailscale"))
    except CommandMissing:
        pass  # not installed: no connection of its
    return items + _configured(context, {str(item["interface"]) for item in items})


def _configured(context: Context, seen: set[str]) -> list[dict[str, Any]]:
    items = []
    for folder, kind in (
        ("/etc/wireguard", "wireguard"), ("/etc/openvpn", "openvpn"),
        ("/etc/openvpn/client", "openvpn"),
    ):  # fmt: skip
        try:
            names = context.files.names(folder)
        except PermissionError:
            context.note(f"{folder} needs root")
            continue
        for name in names:
            stem = name.removesuffix(".conf")
            if stem != name and stem not in seen:
                state = "down" if kind == "wireguard" else "unknown"
                items.append(_item(stem, kind, None, state, f"{folder}/{name}"))
    return items
