"""Who holds an open session besides the operator who opened it.

    (none)   admit()     -> inside   her console's key opens connections
    inside   put_out()   -> (none)   it does not any more, and her connections end
    inside   hand_over() -> leading  the session is hers; the first operator's key opens nothing

Who may come in is decided in joining.py; the SSH host asks here at each connection and at each
request, and is told who has to go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncssh

from farhand_protocol.envelopes import Envelope
from farhand_protocol.identity import public_key_line

__all__ = ["Member", "Roll"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One operator who joined; `join` is the id of her grant, `console_key` raw."""

    join: str
    operator: str
    mode: Literal["observer", "peer"]
    console_key: bytes
    scopes: frozenset[str]
    expires: datetime
    envelope: Envelope

    def may(self, scope: str) -> bool:
        """Tell whether her grant reaches so far; the session's scopes count besides."""
        return self.mode == "peer" and scope in self.scopes


class Roll:
    """The live set."""

    def __init__(self) -> None:
        self._inside: dict[str, tuple[Member, bytes]] = {}
        self._widened: dict[str, set[str]] = {}
        self.lead = ""
        self.on_gone: Callable[[Member | None, str], None] = lambda *_: None

    def __len__(self) -> int:
        return len(self._inside)

    @property
    def members(self) -> list[Member]:
        """Return who is inside, the first who came first."""
        return [member for member, _ in self._inside.values()]

    @property
    def leader(self) -> Member | None:
        """Return who has the session now, where it was handed over and she is inside."""
        return self._inside.get(self.lead, (None, b""))[0]

    @property
    def others(self) -> int:
        """Return how many are inside besides the one who has the session."""
        return len(self._inside) - (self.leader is not None)

    def widened(self, operator: str, scopes: Iterable[str]) -> None:
        """Note what was opened at somebody's wish, beyond her grant."""
        self._widened.setdefault(operator, set()).update(scopes)

    def reaches(self, member: Member | None, scope: str) -> bool:
        """Tell whether a scope may be somebody's; None is the operator who opened the session."""
        if member is None:
            return not self.lead
        added = self._widened.get(member.operator, ())
        return member.may(scope) or (member.mode == "peer" and scope in added)

    def leads(self, member: Member | None) -> bool:
        """Tell whether somebody has the session; None is the operator who opened it."""
        return not self.lead if member is None else member.join == self.lead

    def hand_over(self, join: str) -> None:
        """Make the session somebody's, for good."""
        self.lead = join

    def admit(self, member: Member) -> None:
        """Let somebody in."""
        key = asyncssh.import_public_key(public_key_line(member.console_key))
        self._inside[member.join] = member, key.public_data

    def put_out(self, join: str, why: str) -> Member | None:
        """End somebody's connections and let her in no more; None where she is not inside.

        Args:
            join: the id of her grant.
            why: she is told.
        """
        member, _ = self._inside.pop(join, (None, b""))
        if member is not None:
            self.on_gone(member, why)
        return member

    def find(self, public_data: bytes) -> Member | None:
        """Return whose SSH key this is."""
        for member, key in self._inside.values():
            if key == public_data:
                return member
        return None
