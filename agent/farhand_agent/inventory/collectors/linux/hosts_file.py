"""Section `hosts_file`: names that are answered without asking anybody."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_hosts"]

_MAX_LINES: Final = 5_000
_MAX_NAMES: Final = 64


def parse_hosts(text: str) -> list[dict[str, Any]]:
    """Return one item per line of hosts(5), at most 5,000."""
    lines = (line.partition("#")[0].split() for line in text.split("\n"))
    return [
        {"address": words[0], "names": words[1 : _MAX_NAMES + 1]}
        for words in lines
        if len(words) > 1
    ][:_MAX_LINES]


@section("hosts_file", platform="linux", personal=("address", "names"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per line.

    Raises:
        Unsupported: there is no such file.
    """
    text = context.files.text("/etc/hosts")
    if text is None:
        raise Unsupported("there is no /etc/hosts")
    items = parse_hosts(text)
    if len(items) == _MAX_LINES:
        context.note(f"the first {_MAX_LINES} lines of it")
    return items
