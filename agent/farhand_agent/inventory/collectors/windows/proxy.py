"""Section `proxy`: of people's own settings, and of the system's services (WinHTTP)."""

from __future__ import annotations

import struct
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.windows.people import person, profiles
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.json_values import truth

__all__ = ["parse", "parse_winhttp"]

_PROXY_FLAG: Final = 0x02
_HEAD: Final = struct.Struct("<IIII")
_MAX_CHARS: Final = 4_096


def parse_winhttp(data: bytes) -> tuple[str, str] | None:
    """Return proxy and exceptions of WinHttpSettings; None where services go directly.

    Its layout: version, counter, flags, then length and text of each of the two.
    """
    if len(data) < _HEAD.size:
        return None
    _, _, flags, length = _HEAD.unpack_from(data)
    if not flags & _PROXY_FLAG or not 0 < length <= _MAX_CHARS:
        return None
    end = _HEAD.size + length
    proxy = data[_HEAD.size : end].decode("ascii", "replace")
    more = int.from_bytes(data[end : end + 4], "little")
    around = data[end + 4 : end + 4 + min(more, _MAX_CHARS)].decode("ascii", "replace")
    # Windows counts the zero at the end of a text at times.
    return proxy.rstrip("\0"), around.rstrip("\0")


@windows_section(
    "proxy",
    parts=("proxy_users", "proxy_winhttp", "profiles"),
    personal=("address", "exceptions"),
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per proxy that is in use."""
    items = []
    homes = profiles(told)
    for one in told.rows("proxy_users"):
        source = f"settings of {person(homes, one.get('sid'))}"
        around = _exceptions(said(one.get("ProxyOverride")))
        server = said(one.get("ProxyServer"))
        if truth(one.get("ProxyEnable")) and server:
            items += _servers(source, server, around)
        if script := said(one.get("AutoConfigURL")):
            items.append(_item(source, "pac", script, []))
    winhttp = parse_winhttp(binary(told.also_row("proxy_winhttp").get("WinHttpSettings")))
    if winhttp:
        items += _servers("winhttp", winhttp[0], _exceptions(winhttp[1]))
    return items


def _servers(source: str, text: str, around: list[str]) -> list[dict[str, Any]]:
    """Read `host:port` for everything, or `http=host:port;https=host:port`."""
    items = []
    for part in text.split(";")[:20]:
        scheme, equals, address = part.strip().rpartition("=")
        if address:
            items.append(_item(source, scheme.lower() if equals else "all", address, around))
    return items


def _item(source: str, scheme: str, address: str, around: list[str]) -> dict[str, Any]:
    return {
        "source": source, "scheme": scheme, "address": without_credentials(address),
        "exceptions": around,
    }  # fmt: skip


def _exceptions(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(";") if one.strip()][:200]
