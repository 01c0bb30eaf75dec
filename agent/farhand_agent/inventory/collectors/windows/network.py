"""Section `network`: adapters with their addresses, default routes and name servers."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import many, said, unsigned, word
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["ANYWHERE", "FAMILIES", "is_current", "mac", "parse"]

FAMILIES: Final = {2: "inet", 23: "inet6"}
ANYWHERE: Final = ("0.0.0.0/0", "::/0")
# Source: ipifcons.h (IANA's ifType), ifdef.h (IF_OPER_STATUS).
_KINDS: Final = {6: "ether", 24: "loopback", 71: "ether", 23: "ppp", 131: "tunnel", 53: "virtual"}
_STATES: Final = {1: "UP", 2: "DOWN", 3: "UNKNOWN", 5: "DOWN", 6: "DOWN", 7: "DOWN"}
_WIFI: Final = 71
_NATIVE_802_11: Final = 9
_RANDOM: Final = 5
# The other store is what will be after the next start.
_ACTIVE: Final = 1
# A line that is not connected says 2^64-1.
_MOST_BITS: Final = 10**13


def is_current(one: dict[str, Any]) -> bool:
    """Return whether a row is of what is in force now, not of what is remembered."""
    return whole(one.get("Store")) in (None, _ACTIVE)


def mac(value: object) -> str | None:
    """Return a hardware address as aa:bb:cc:dd:ee:ff; Windows writes it with dashes or bare."""
    digits = (said(value) or "").replace("-", "").replace(":", "").lower()
    if len(digits) != 12 or set(digits) - set("0123456789abcdef") or not digits.strip("0"):
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


@windows_section(
    "network",
    parts=("adapters", "addresses", "routes", "dns_servers", "dns_suffixes"),
    personal=("mac", "addresses", "gateway", "servers", "search"),
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per adapter that is not hidden, per default route, and for the resolver."""
    addresses: dict[int | None, list[dict[str, Any]]] = {}
    for one in told.also("addresses"):
        if is_current(one):
            addresses.setdefault(whole(one.get("InterfaceIndex")), []).append(one)
    items = []
    for one in told.rows("adapters"):
        if one.get("Hidden") is not True:
            items.append(_adapter(one, addresses.get(whole(one.get("InterfaceIndex")), [])))
    for one in told.also("routes"):
        if said(one.get("DestinationPrefix")) in ANYWHERE and is_current(one):
            items.append(
                {
                    "record": "default_route",
                    "family": word(one.get("AddressFamily"), FAMILIES),
                    "gateway": said(one.get("NextHop")),
                    "interface": said(one.get("InterfaceAlias")),
                    "metric": _metric(one),
                }
            )
    servers = [
        name for one in told.also("dns_servers") for name in many(one.get("ServerAddresses"))
    ]
    search = [
        name for one in told.also("dns_suffixes") for name in many(one.get("SuffixSearchList"))
    ]
    if servers or search:
        unique = list(dict.fromkeys(servers))
        items.append({"record": "resolver", "servers": unique, "search": search})
    return items


def _metric(route: dict[str, Any]) -> int | None:
    own, interface = whole(route.get("RouteMetric")), whole(route.get("InterfaceMetric"))
    return None if own is None else own + (interface or 0)


def _adapter(one: dict[str, Any], addresses: list[dict[str, Any]]) -> dict[str, Any]:
    kind = whole(one.get("InterfaceType"))
    speed = unsigned(one.get("ReceiveLinkSpeed"), 64) or unsigned(one.get("Speed"), 64)
    # Addresses for privacy change by the day: they are counted, not told.
    lasting = [a for a in addresses if not _is_temporary(a)]
    told = many(one.get("NetworkAddresses"))
    full = truth(one.get("FullDuplex"))
    return {
        "record": "interface",
        "name": said(one.get("Name")),
        "kind": _KINDS.get(kind) if kind is not None else None,
        "mac": mac(told[0] if told else None) or mac(one.get("PermanentAddress")),
        "mtu_bytes": unsigned(one.get("MtuSize")),
        "state": word(one.get("InterfaceOperationalStatus"), _STATES) or "UNKNOWN",
        "addresses": sorted(_address(one) for one in lasting),
        "temporary_addresses": len(addresses) - len(lasting),
        "virtual": one.get("HardwareInterface") is not True or one.get("Virtual") is True,
        "speed_mbit_s": speed // 10**6 if speed and speed < _MOST_BITS else None,
        "duplex": None if full is None else "full" if full else "half",
        "driver": said(one.get("DriverName")),
        "wireless": kind == _WIFI or whole(one.get("NdisPhysicalMedium")) == _NATIVE_802_11,
    }


def _address(one: dict[str, Any]) -> str:
    # fe80::1%12: the number of the adapter is no part of it.
    plain = (said(one.get("IPAddress")) or "").partition("%")[0]
    return f"{plain}/{whole(one.get('PrefixLength'))}"


def _is_temporary(address: dict[str, Any]) -> bool:
    return (
        word(address.get("AddressFamily"), FAMILIES) == "inet6"
        and whole(address.get("SuffixOrigin")) == _RANDOM
        and not (said(address.get("IPAddress")) or "").lower().startswith("fe80")
    )
