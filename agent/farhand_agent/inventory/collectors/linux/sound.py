"""Section `sound`: sound cards as ALSA sees them."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_cards"]

_CARD: Final = re.compile(r"\s*[0-9]{1,3} \[(.{1,40}?)\s*\]: (\S+) - (.+)")


def parse_cards(text: str) -> list[dict[str, Any]]:
    """Return one item per card in the text of /proc/asound/cards."""
    return [
        {"name": found[3].strip(), "id": found[1].strip(), "driver": found[2]}
        for line in text.split("\n")
        if (found := _CARD.fullmatch(line))
    ]


@section("sound", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per card.

    Raises:
        Unsupported: the kernel has no ALSA.
    """
    text = context.files.text("/proc/asound/cards")
    if text is None:
        raise Unsupported("the kernel has no sound system")
    return parse_cards(text)
