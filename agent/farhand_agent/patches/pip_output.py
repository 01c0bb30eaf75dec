"""What pip and pip-audit print, read.  No process is started here.

Source: pip's documentation of `pip list --format json`, PEP 668, pip-audit's `--format json`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from farhand_agent.patches.provider import ProviderError
from farhand_agent.patches.refusals import Row, refusal, unreadable

__all__ = ["Outdated", "classify", "parse_audit", "parse_outdated"]

# Source: PEP 508, names.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_MAX_PACKAGES: Final = 5000


@dataclass(frozen=True, slots=True)
class Outdated:
    """One package of which the index has a newer version."""

    name: str
    installed: str
    available: str


def parse_outdated(text: str) -> list[Outdated]:
    """Read `pip list --outdated --format json`.

    Raises:
        ProviderError: `patch-unreadable`.
    """
    found = _decoded("pip", text, "[")
    if not isinstance(found, list):
        raise unreadable("pip", text)
    return [
        Outdated(one["name"], str(one.get("version", ""))[:100], str(one["latest_version"])[:100])
        for one in found[:_MAX_PACKAGES]
        if isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and _NAME.fullmatch(one["name"])
        and one.get("latest_version")
    ]


def parse_audit(text: str) -> dict[str, list[str]]:
    """Read `pip-audit --format json`: lower-case package name to advisory ids.

    Its exit code is 1 for vulnerabilities and for failures; only the document tells them apart.

    Raises:
        ProviderError: `patch-unreadable` for anything that is not a report.
    """
    found = _decoded("pip-audit", text, "{")
    packages = found.get("dependencies") if isinstance(found, dict) else None
    if not isinstance(packages, list):
        raise unreadable("pip-audit", text)
    advisories: dict[str, list[str]] = {}
    for one in packages[:_MAX_PACKAGES]:
        listed = one.get("vulns") if isinstance(one, dict) else None
        ids = [str(v.get("id", ""))[:60] for v in listed or () if isinstance(v, dict)]
        if ids:
            advisories[str(one.get("name", "")).lower()] = ids[:50]
    return advisories


def _decoded(tool: str, text: str, opening: str) -> Any:
    # A notice may stand before the document, or behind it.
    start = text.find(opening)
    try:
        return json.JSONDecoder().raw_decode(text, start)[0] if start >= 0 else None
    except (ValueError, RecursionError) as error:
        raise unreadable(tool, text) from error


_ROWS: Final[tuple[Row, ...]] = (
    (
        r"Could not fetch URL|NewConnectionError|Failed to establish|No matching distribution|"
        r"Temporary failure in name resolution|ReadTimeoutError|ProxyError|SSLError|"
        r"Connection (?:refused|reset|aborted|error)|HTTP error",
        "patch-network",
    ),
    (r"Permission denied", "patch-denied"),
)


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that pip's words stand for."""
    return refusal("pip", exit_code, text, _ROWS)
