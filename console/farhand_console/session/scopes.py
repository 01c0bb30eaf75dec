"""Scopes in the technician's words, and why one that was asked for is not open.

The device decides and says only what is open.  Why another scope is not is worked out here, from
the trust metadata that this console verified and from what the device offered with its code; what
neither explains is the device's own policy, which only narrows the organisation's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from farhand_console.output import printable
from farhand_protocol.errors import FarhandError
from farhand_protocol.trust import Operator, may_open

__all__ = ["Limits", "against", "not_open", "scope_names", "scope_words", "unopened"]

_WORDS: Final = {
    "view": "see what runs there",
    "terminal": "type commands there",
    "files": "read and write files there",
    "forward": "reach other machines through it",
    "screen": "see the screen",
    "control": "use mouse and keyboard",
    "clipboard": "share the clipboard",
    "desktop": "reach its own remote desktop",
}
# What the answer leaves open, in the order in which it is looked for.
_NOT_OFFERED: Final = "the device did not offer it with this code"
_OWN_POLICY: Final = (
    "the device does not allow it, by its own policy or because it has no such thing"
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is known here of what a device allows; None where nothing is.

    `scopes` and `forward_to` are those of the policy of `group`, `offered` what came with a code.
    """

    group: str = ""
    scopes: list[str] | None = None
    forward_to: list[str] = []
    offered: list[str] | None = None
    operator: Operator | None = None


def scope_words(scope: str) -> str:
    """Return a scope's name with what it lets one do."""
    words = _WORDS.get(scope)
    return f"{scope} ({words})" if words else printable(scope, 40)


def scope_names(scopes: Iterable[str]) -> str:
    """Return several in a row."""
    return ", ".join(map(scope_words, scopes)) or "nothing"


def not_open(scope: str, error: Exception) -> FarhandError:
    """Return the error for what the device did not open within a session; it does not say why."""
    return FarhandError(
        "scope-missing",
        f"{scope} is not open in this session just now",
        hint=f"farhand session widen S --scope {scope} asks for it, also where it was taken back; "
        "where policy wants a second operator, she has to join first",
        detail=str(error),
    )


def unopened(
    asked: Iterable[str], opened: Iterable[str], forward: Iterable[str], limits: Limits
) -> list[str]:
    """Say of each scope that was asked for and is not open, why not.

    Args:
        asked, opened: scopes.
        forward: the destinations that were asked for.
        limits: what is known.

    Returns:
        One line each.
    """
    there = set(opened)
    return [
        f"not open: {scope_words(scope)}: {_why(scope, list(forward), limits)}"
        for scope in asked
        if scope not in there
    ]


def against(scope: str, limits: Limits) -> str:
    """Say why it is no use to ask for a scope; empty where nothing known here speaks against it."""
    group = printable(limits.group, 60)
    if limits.operator is not None and not may_open(limits.operator, scope, limits.group):
        return f"the roster does not let you open it in group {group}"
    if limits.scopes is not None and scope not in limits.scopes:
        return f"the policy of group {group} does not allow it"
    if scope == "forward" and limits.scopes is not None and not limits.forward_to:
        return f"the policy of group {group} lists no destination"
    return ""


def _why(scope: str, forward: list[str], limits: Limits) -> str:
    if why := against(scope, limits):
        return why
    group = printable(limits.group, 60)
    if scope == "forward":
        if not forward:
            return "it needs --forward-to HOST:PORT"
        listed = {one.lower() for one in limits.forward_to}
        if limits.scopes is not None and listed.isdisjoint(one.lower() for one in forward):
            return f"the policy of group {group} lists none of the destinations"
    if limits.offered is not None and scope not in limits.offered:
        return _NOT_OFFERED
    return _OWN_POLICY
