"""What package managers of languages leave beside what they install: names and versions.

The same on every platform; where it lies is the collectors' matter.
"""

from __future__ import annotations

import json
import re
from typing import Final

from farhand_agent.inventory.context import Malformed

__all__ = ["parse_crates", "parse_dist_info", "parse_package_json"]

_DIST: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]*)-([^-]+)\.(?:dist|egg)-info")
_CRATE: Final = re.compile(r"([A-Za-z0-9_-]+) ([0-9][^ ]*) \(")


def parse_dist_info(name: str) -> tuple[str, str] | None:
    """Return name and version by the folder that pip leaves.  Source: PEP 376, PEP 427."""
    found = _DIST.fullmatch(name)
    return (found[1].replace("_", "-"), found[2]) if found else None


def parse_package_json(text: str) -> tuple[str, str] | None:
    """Return name and version of a package.json; None for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    name, version = document.get("name"), document.get("version")
    return (name, version) if isinstance(name, str) and isinstance(version, str) else None


def parse_crates(text: str) -> list[tuple[str, str]]:
    """Return names and versions in cargo's `.crates2.json`.

    Raises:
        Malformed: it is none.
    """
    try:
        installs = json.loads(text)["installs"]
        keys = [str(key) for key in installs]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed(".crates2.json") from error
    return [(found[1], found[2]) for key in keys if (found := _CRATE.match(key))]
