"""What two devices have in common where they may be one machine: serial numbers, MACs, names.

Taken from the sections `system` and `network` as they come; and what half a fleet has in common and
is no such hint: from `os` what it is called, which searches use (`os:debian`), and the networks it
is in, by which `fleet.waking` finds neighbours.  They are hints for a person
who merges duplicates (`fleet.duplicates`), never identity: firmware is full of fillers, and whoever
owns a device can say anything.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.inventory import WITHHELD, SectionReport
from farhand_server.desk.search_index import index_device
from farhand_server.fleet.networks import networks_of
from farhand_server.store.schema import device_hints

__all__ = ["hints_of", "note_hints"]

MAX_HINTS: Final = 32
_MAX_VALUE_CHARS: Final = 128
_SERIALS: Final = ("serial", "board_serial", "chassis_serial")
_OF_SECTION: Final = {
    "system": ("serial", "uuid", "host_name"),
    "network": ("mac", "network"),
    "os": ("os",),
}
# What firmware says when nobody filled it in, in the spellings of many vendors.
_JUNK: Final = re.compile(
    r"(?:to be filled.*|default.*|system.*|chassis.*|base ?board.*|not .*|none|n/?a|null|"
    r"o\.?e\.?m\.?|unknown|invalid|empty|serial.*|sku|asset.*|no .*|xxx*|tbd|void|"
    r"0?123456789(?:0|abcdef)?|(.)\1*|[0 .:-]+|[fx .:-]+|03000200-0400-0500-0006-000700080009)",
    re.IGNORECASE,
)
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)
# Names that a fresh installation has.
_COMMON_NAMES: Final = frozenset(
    {"localhost", "debian", "ubuntu", "fedora", "raspberrypi", "macbook", "windows", "desktop"}
)


def hints_of(section: str, items: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return (kind, value) pairs of a section's items, at most `MAX_HINTS`, and its networks."""
    found: list[tuple[str, str]] = []
    for item in items:
        if section == "system":
            found += [("serial", value) for field in _SERIALS if (value := _real(item.get(field)))]
            if value := _real(item.get("uuid")):
                found.append(("uuid", value))
            if name := _name(item.get("hostname")):
                found.append(("host_name", name))
        elif section == "network" and (mac := _mac(item.get("mac"))):
            found += [("mac", mac)] if item.get("virtual") is not True else []
        elif section == "os":
            found += [("os", value) for value in _os_names(item)]
    networks = networks_of(items) if section == "network" else set()
    return set(found[:MAX_HINTS]) | {("network", one) for one in networks}


def _real(value: object) -> str | None:
    """Return a serial number or UUID as it is compared, None for a filler."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > _MAX_VALUE_CHARS:
        return None
    if value == WITHHELD:
        return None  # the same on every device of an organisation that wants it so
    text = " ".join(value.casefold().split())
    return None if len(text) < 4 or _JUNK.fullmatch(text) else text


def _name(value: object) -> str | None:
    text = _real(value)
    first = text.partition(".")[0] if text else ""
    return first if first and first not in _COMMON_NAMES else None


def _mac(value: object) -> str | None:
    """Return a MAC that its maker gave; made-up ones (bit 1 of the first byte) say nothing."""
    text = value.lower().replace("-", ":") if isinstance(value, str) else ""
    if not _MAC.fullmatch(text) or int(text[:2], 16) & 0x03 or len(set(text)) <= 2:
        return None
    return text


def _os_names(item: dict[str, Any]) -> list[str]:
    """Return what an operating system is called: its id, what it is like, its names."""
    like = item.get("id_like")
    told = [item.get(field) for field in ("id", "name", "pretty_name")]
    told += like if isinstance(like, list) else []
    return [
        value.casefold()
        for value in told
        if isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_VALUE_CHARS
    ]


async def note_hints(
    c: AsyncConnection, *, tenant: str, device: str, report: SectionReport
) -> None:
    """Make the device's hints of these kinds what the section says."""
    kinds = _OF_SECTION.get(report.name)
    if kinds is None:
        return
    await c.execute(
        delete(device_hints).where(
            device_hints.c.tenant == tenant,
            device_hints.c.device == device,
            device_hints.c.kind.in_(kinds),
        )
    )
    rows = [
        {"tenant": tenant, "device": device, "kind": kind, "value": value}
        for kind, value in sorted(hints_of(report.name, report.items))
    ]
    if rows:
        await c.execute(insert(device_hints), rows)
    if report.name == "system":
        await index_device(c, tenant, device)
