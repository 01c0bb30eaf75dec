"""Scripts that still run and should not be used any more: the TUF target `deprecations.json`.

A deprecation stops nothing.  Consoles warn whoever is about to sign an order for such a script, and
name its successor; devices do not look here.  What must not run any more is revoked (for good), or
left below a floor.  An entry can be taken back, unlike a revocation.
"""

from __future__ import annotations

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.trust import Document

__all__ = ["DEPRECATIONS_PATH", "Deprecation", "Deprecations", "check_deprecations"]

DEPRECATIONS_PATH = "deprecations.json"
_MAX_REASON_CHARS = 500


class Deprecation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One script, or one version of it (`version` is None for all), set by an admin's console.

    `successor` is the id of the script to use instead, where there is one; `at` is RFC 3339.
    """

    script: str
    version: int | None
    reason: str
    successor: str | None
    at: str


class Deprecations(Document, frozen=True, kw_only=True):
    """Everything that is deprecated now."""

    deprecated: list[Deprecation]

    def find(self, script: str, version: int) -> Deprecation | None:
        """Return what is said of this version, one for all versions last; None for nothing."""
        named = [one for one in self.deprecated if one.script == script]
        exact = [one for one in named if one.version == version]
        return next(iter([*exact, *(one for one in named if one.version is None)]), None)


def check_deprecations(document: Deprecations) -> Deprecations:
    """Return a decoded document after checking what its types do not say.

    Raises:
        FarhandError: `trust-malformed` for a reason that is empty, too long or not printable.
    """
    for one in document.deprecated:
        if not 1 <= len(one.reason) <= _MAX_REASON_CHARS or not one.reason.isprintable():
            raise FarhandError("trust-malformed", "a deprecation gives no reason")
    return document
