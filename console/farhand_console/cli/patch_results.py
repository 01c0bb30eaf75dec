"""What devices answered about updates: per device, and per advisory.

The words are the devices' own, inside results that they signed; each is read as data and bounded,
and what cannot be read says so instead of counting as nothing missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

__all__ = ["advisories", "device_row"]

_MAX_NAMES: Final = 200
_MAX_CHARS: Final = 100


def device_row(result: dict[str, Any]) -> dict[str, Any]:
    """Return one device's line: how many updates it lacks or took, and whether it must restart.

    Args:
        result: of `report_of`.
    """
    row: dict[str, Any] = {
        "device": result["device"],
        "name": result["name"],
        "state": result["state"],
        "updates": None,
        "security": None,
        "failed": None,
        "reboot": None,
        "advisories": [],
    }
    try:
        found = msgspec.json.decode(result.get("stdout", ""), type=dict[str, Any])
        if "items" in found:
            _listed(row, found["items"])
        elif "changes" in found:
            _applied(row, found)
    except (msgspec.MsgspecError, AttributeError, TypeError, KeyError, RecursionError):
        row["state"] = row["state"] if row["state"] != "succeeded" else "unreadable"
    return row


def _listed(row: dict[str, Any], providers: list[dict[str, Any]]) -> None:
    updates = [update for provider in providers for update in provider.get("updates", [])]
    row["updates"] = len(updates)
    row["security"] = sum(update.get("kind") == "security" for update in updates)
    row["reboot"] = any(p.get("reboot", {}).get("required") for p in providers)
    row["advisories"] = _names(
        name for update in updates for key in ("advisories", "cves") for name in update.get(key, ())
    )


def _applied(row: dict[str, Any], found: dict[str, Any]) -> None:
    row["updates"] = len(found["changes"])
    row["failed"] = len(found.get("failed", ()))
    row["reboot"] = bool(found.get("reboot", {}).get("required"))


def _names(names: Iterable[object]) -> list[str]:
    found = {str(name)[:_MAX_CHARS] for name in names}
    return sorted(found)[:_MAX_NAMES]


def advisories(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each advisory that a device still lacks, with how many do, the most frequent first."""
    lacking: dict[str, list[str]] = {}
    for row in rows:
        for name in row["advisories"]:
            lacking.setdefault(name, []).append(row["name"] or row["device"])
    ordered = sorted(lacking.items(), key=lambda one: (-len(one[1]), one[0]))
    return [{"id": name, "count": len(who), "devices": sorted(who)} for name, who in ordered]
