"""Section `dns`: who is asked for names, as the resolver itself has it."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.linux.network import parse_resolv_conf
from farhand_agent.inventory.context import Context, Malformed, Unsupported
from farhand_agent.inventory.json_values import rows, text
from farhand_agent.inventory.registry import section
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_options", "parse_resolvectl"]

_STUB: Final = ("127.0.0.53", "127.0.0.54")


def parse_options(conf: str) -> list[str]:
    """Return the words of the `options` lines of a resolv.conf."""
    lines = (line.split() for line in conf.split("\n"))
    return [word for words in lines if words[:1] == ["options"] for word in words[1:]][:32]


def parse_resolvectl(document: Any) -> list[dict[str, Any]]:
    """Return one item per link that has servers, in what `resolvectl --json=short status` printed.

    Raises:
        Malformed: it is not what resolvectl prints.
    """
    if not isinstance(document, list):
        raise Malformed("resolvectl")
    items = []
    for link in rows(document):
        servers = [
            one.get("addressString") or one.get("address") for one in rows(link.get("servers"))
        ]
        search = [text(one.get("name")) for one in rows(link.get("searchDomains"))]
        found = [one for one in servers if isinstance(one, str)][:32]
        if found or search:
            items.append(
                {
                    "source": "systemd-resolved",
                    "interface": text(link.get("ifname")),
                    "servers": found,
                    "search": [one for one in search if one][:32],
                    "options": [],
                }
            )
    return items


@section("dns", platform="linux", personal=("servers", "search"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item for resolv.conf, and one per link where systemd-resolved answers.

    Raises:
        Unsupported: there is no resolv.conf.
    """
    conf = context.files.text("/etc/resolv.conf")
    if conf is None:
        raise Unsupported("there is no /etc/resolv.conf")
    found = parse_resolv_conf(conf)
    items = [
        {
            "source": "resolv.conf",
            "interface": None,
            "servers": found["servers"],
            "search": found["search"],
            "options": parse_options(conf),
        }
    ]
    if set(found["servers"]) & set(_STUB):
        try:
            # A stub says nothing: the servers behind it do.  systemd writes JSON since 254.
            items += parse_resolvectl(context.run_json(["resolvectl", "--json=short", "status"]))
        except FarhandError as error:
            context.note(f"behind the local stub: {error.message}")
    return items
