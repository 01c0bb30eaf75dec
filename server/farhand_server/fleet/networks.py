"""Which networks a device is in, by what its `network` section says of its interfaces.

IPv4 only: a magic packet is a broadcast, and IPv6 has none.  What a device says is hostile:
anything else is taken for no network, and only the first `MAX_NETWORKS` count.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface
from typing import Any, Final

__all__ = ["MAX_NETWORKS", "networks_of"]

MAX_NETWORKS: Final = 32


def networks_of(items: Iterable[dict[str, Any]]) -> set[str]:
    """Return the networks of these interfaces, such as `192.0.2.0/24`."""
    found: dict[str, None] = {}
    for item in items:
        addresses = item.get("addresses") if item.get("record") == "interface" else None
        for one in addresses if isinstance(addresses, list) else ():
            network = _network(one)
            if network is not None:
                found[network] = None
            if len(found) == MAX_NETWORKS:
                return set(found)
    return set(found)


def _network(address: object) -> str | None:
    if not isinstance(address, str) or "/" not in address:
        return None
    try:
        network = IPv4Interface(address).network
    except ValueError:
        return None  # IPv6, or no address
    is_local = network.is_loopback or network.is_link_local
    return None if is_local or not 8 <= network.prefixlen <= 30 else str(network)
