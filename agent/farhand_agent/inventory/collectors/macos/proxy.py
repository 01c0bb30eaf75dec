"""Section `proxy`: what scutil says is in force."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_mark
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_scutil_proxy"]

_PAIR: Final = re.compile(r"  (\w+) : (.+)")
_EXCEPTION: Final = re.compile(r"    [0-9]+ : (.+)")
_SCHEMES: Final = {"HTTP": "http", "HTTPS": "https", "FTP": "ftp", "SOCKS": "socks"}


def parse_scutil_proxy(output: str) -> list[dict[str, Any]]:
    """Return one item per proxy that `scutil --proxy` shows as switched on."""
    values: dict[str, str] = {}
    around: list[str] = []
    for line in output.split("\n"):
        if found := _EXCEPTION.fullmatch(line):
            around.append(found[1].strip())
        elif found := _PAIR.fullmatch(line):
            values[found[1]] = found[2].strip()
    items = []
    for name, scheme in _SCHEMES.items():
        host = values.get(f"{name}Proxy")
        if values.get(f"{name}Enable") == "1" and host:
            port = values.get(f"{name}Port")
            items.append(_item(scheme, f"{host}:{port}" if port else host, around))
    script = values.get("ProxyAutoConfigURLString")
    if values.get("ProxyAutoConfigEnable") == "1" and script:
        items.append(_item("pac", script, around))
    return items


def _item(scheme: str, address: str, around: list[str]) -> dict[str, Any]:
    return {
        "source": "scutil", "scheme": scheme, "address": without_credentials(address),
        "exceptions": around[:200],
    }  # fmt: skip


@macos_section("proxy", personal=("address", "exceptions"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per proxy in use."""
    told = context.run(["scutil", "--proxy"]).text
    require_mark("scutil --proxy", told, r"^<dictionary> \{")
    return parse_scutil_proxy(told)
