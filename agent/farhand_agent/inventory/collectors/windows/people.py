"""Whose security identifier is whose, by the folders of their profiles; no section of its own."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told
from farhand_agent.inventory.collectors.windows.values import said

__all__ = ["person", "profiles"]


def profiles(told: Told) -> dict[str, str]:
    """Return the folder of each profile by its security identifier; needs part `profiles`."""
    return {
        sid: path
        for one in told.also("profiles")
        if (sid := said(one.get("SID"))) and (path := said(one.get("LocalPath")))
    }


def person(homes: dict[str, str], sid: Any) -> str | None:
    """Return whom an identifier belongs to: the name of the profile's folder, else itself."""
    identity = said(sid)
    if identity is None:
        return None
    return homes.get(identity, identity).replace("/", "\\").rpartition("\\")[2]
