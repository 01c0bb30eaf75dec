"""Addresses out of configuration, without what may stand in them: users, passwords, keys."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["without_credentials"]

# scheme://user:password@host: everything between // and the last @ before the path goes, and the
# query (?key=...) goes as well.
_CREDENTIALS: Final = re.compile(r"(?<=//)[^/\s]*@")
_QUERY: Final = re.compile(r"[?#].*", re.DOTALL)
_MAX_CHARS: Final = 2_000


def without_credentials(address: str) -> str:
    """Return an address without user, password and query, at most 2,000 characters."""
    shown = _QUERY.sub("", _CREDENTIALS.sub("", address.strip()))
    if "//" not in shown:
        shown = shown.rpartition("@")[2]
    return shown[:_MAX_CHARS]
