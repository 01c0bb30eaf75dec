"""Databases of package managers that are plain files: pacman, apk, snapd's answer, flatpak's list.

Items have the keys of section `software`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.json_values import rows, text, whole
from farhand_agent.inventory.moments import instant, iso_instant

__all__ = [
    "parse_apk_installed",
    "parse_extended_states",
    "parse_flatpak",
    "parse_pacman_desc",
    "parse_snaps",
    "software_item",
]

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(bytes|kB|MB|GB|TB)")
_UNITS: Final = {"bytes": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}


def software_item(source: str, name: str, version: str, arch: str) -> dict[str, Any]:
    """Return an item of section `software` that says no more than what it must."""
    return {
        "source": source, "name": name, "version": version, "arch": arch, "size_bytes": None,
        "source_name": None, "source_version": None, "vendor": None, "held": None,
        "automatic": None, "installed_at": None,
    }  # fmt: skip


def parse_pacman_desc(content: str) -> dict[str, Any]:
    """Return the item of a `desc` file in /var/lib/pacman/local.

    Raises:
        Malformed: it names no package.
    """
    fields: dict[str, str] = {}
    for block in content.split("\n\n"):
        key, _, value = block.strip().partition("\n")
        fields[key.strip("%")] = value.strip()
    if not fields.get("NAME") or not fields.get("VERSION"):
        raise Malformed("pacman's database")
    item = software_item("pacman", fields["NAME"], fields["VERSION"], fields.get("ARCH", ""))
    seconds = whole(fields.get("INSTALLDATE"))
    return item | {
        "size_bytes": whole(fields.get("SIZE")),
        "source_name": fields.get("BASE"),
        "vendor": fields.get("PACKAGER"),
        "automatic": fields.get("REASON") == "1",
        "installed_at": instant(seconds),
    }


def parse_apk_installed(content: str) -> list[dict[str, Any]]:
    """Return one item per package in /lib/apk/db/installed.

    Source: Alpine's wiki, "Apk spec": one letter, a colon and the value; blocks parted by an empty
    line.

    Raises:
        Malformed: a block names no package, or the last one is cut off.
    """
    items = []
    if content.strip() and not content.endswith("\n"):
        raise Malformed("apk's database")
    for block in content.split("\n\n"):
        if not block.strip():
            continue
        fields = dict(line.split(":", 1) for line in block.split("\n") if line[1:2] == ":")
        if not fields.get("P") or not fields.get("V"):
            raise Malformed("apk's database")
        item = software_item("apk", fields["P"], fields["V"], fields.get("A", ""))
        items.append(item | {"size_bytes": whole(fields.get("I")), "source_name": fields.get("o")})
    return items


def parse_flatpak(output: str) -> list[dict[str, Any]]:
    """Return one item per line of `flatpak list --columns=application,version,branch,arch,...`.

    Raises:
        Malformed: a line has too few fields.
    """
    items = []
    for line in output.split("\n"):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) < 6 or not fields[0]:
            raise Malformed("flatpak")
        name, version, branch, arch, origin, size = (one.strip() for one in fields[:6])
        found = _SIZE.fullmatch(size.replace("\xa0", " "))
        item = software_item("flatpak", name, version or branch, arch)
        amount = int(float(found[1]) * _UNITS[found[2]]) if found else None
        items.append(item | {"size_bytes": amount, "vendor": origin or None})
    return items


def parse_snaps(data: bytes) -> list[dict[str, Any]]:
    """Return one item per snap in snapd's answer to GET /v2/snaps.

    Raises:
        Malformed: it is no such answer.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("snapd") from error
    if not isinstance(document, dict) or not isinstance(document.get("result"), list):
        raise Malformed("snapd")
    items = []
    for one in rows(document["result"]):
        name = text(one.get("name"))
        if not name:
            raise Malformed("snapd")
        publisher = one.get("publisher")
        item = software_item("snap", name, text(one.get("version")) or "", "")
        items.append(
            item
            | {
                "size_bytes": whole(one.get("installed-size")),
                "vendor": text(publisher.get("username")) if isinstance(publisher, dict) else None,
                "held": bool(one.get("hold")),
                "installed_at": iso_instant(text(one.get("install-date"))),
            }
        )
    return items


def parse_extended_states(content: str) -> set[tuple[str, str]]:
    """Return name and architecture of what apt installed by itself.

    Source: apt's extended_states: stanzas with `Auto-Installed: 1`.
    """
    found = set()
    for stanza in content.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.split("\n") if ": " in line)
        if fields.get("Auto-Installed") == "1":
            found.add((fields.get("Package", ""), fields.get("Architecture", "")))
    return found
