"""Section `dns`: who answers names, by adapter and by rule."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import many, said

__all__ = ["parse"]


@windows_section(
    "dns", parts=("dns_servers", "dns_suffixes", "nrpt"), personal=("servers", "search")
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per adapter that has servers, for the search list, and per rule."""
    by_interface: dict[str | None, list[str]] = {}
    for one in told.rows("dns_servers"):
        servers = many(one.get("ServerAddresses"))
        if servers:
            by_interface.setdefault(said(one.get("InterfaceAlias")), []).extend(servers)
    items = [_item("adapter", name, servers, []) for name, servers in by_interface.items()]
    for one in told.also("dns_suffixes"):
        if names := many(one.get("SuffixSearchList")):
            items.append(_item("search list", None, [], names))
    for one in told.also("nrpt"):
        servers = (said(one.get("GenericDNSServers")) or "").replace(",", ";").split(";")
        items.append(
            _item("NRPT", None, [s.strip() for s in servers if s.strip()], many(one.get("Name")))
        )
    return items


def _item(
    source: str, interface: str | None, servers: list[str], search: list[str]
) -> dict[str, Any]:
    return {
        "source": source, "interface": interface, "servers": servers, "search": search,
        "options": [],
    }  # fmt: skip
