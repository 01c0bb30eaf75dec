"""How an organisation's pages look: its name, one colour, a logo; and what can be read in them.

White words stand on the colour, and the colour is that of links on nearly white; so a colour is
taken only where both can be read (WCAG 2.2, 1.4.3: a contrast of 4.5 or more).  On a dark ground
links are in a lighter shade of it, made here.  Pure but for the setting.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay

__all__ = [
    "BRANDING",
    "DARK_GROUND",
    "LIGHT_GROUND",
    "MAX_LOGO_BYTES",
    "Branding",
    "branding_of",
    "check_branding",
    "contrast",
    "lightened",
    "picture_type",
]

BRANDING: Final = "pages.branding"
MAX_LOGO_BYTES: Final = 200 * 1024
# The grounds of panels in templates/style.css: what reads on them reads on the page's own, too.
DARK_GROUND: Final = "#1d232a"
LIGHT_GROUND: Final = "#f6f8fa"
_LEAST: Final = 4.5
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# No SVG: it is a document that browsers run.
_MAGIC: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Branding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the pages look: a name (the organisation's without), one colour, a logo.

    `logo` is the SHA-256 of a file that is kept, empty without; `guests` whether whoever did not
    sign in may begin a chat.
    """

    name: str = ""
    colour: str = "#1f5f8b"
    logo: str = ""
    guests: bool = True


async def branding_of(c: AsyncConnection, relay: Relay) -> Branding:
    """Return how the pages look, with the organisation's name where none was set."""
    kept = await get_setting(c, relay.tenant, BRANDING, Branding, default=Branding())
    return kept if kept.name else msgspec.structs.replace(kept, name=relay.settings.org)


def check_branding(branding: Branding) -> None:
    """Refuse looks that cannot be shown, or not be read.

    Raises:
        UsageError: `invalid`.
    """
    if branding.logo and _SHA256.match(branding.logo) is None:
        raise UsageError("invalid", "a logo is named by its SHA-256")
    if not branding.name.isprintable():
        raise UsageError("invalid", "a name is one line")
    if _COLOUR.match(branding.colour) is None:
        raise UsageError("invalid", "a colour is written as #1f5f8b")
    found = contrast(branding.colour, LIGHT_GROUND)
    if found < _LEAST:
        raise UsageError(
            "invalid",
            f"words in {branding.colour} have a contrast of {found:.1f}, below {_LEAST}",
            hint="take a darker colour",
        )


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21.  Source: WCAG 2.2, "contrast ratio"."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lightened(colour: str, ground: str = DARK_GROUND) -> str:
    """Return the colour, or its nearest lighter shade that can be read on a dark ground."""
    parts = _parts(colour)
    for step in range(101):
        share = step / 100
        made = "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)
        if contrast(made, ground) >= _LEAST:
            return made
    return "#ffffff"


def picture_type(content: bytes) -> str:
    """Return what a picture is by its first bytes; empty for what no logo may be."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), "")


def _parts(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = []
    for part in _parts(colour):
        share = part / 255
        linear.append(share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
