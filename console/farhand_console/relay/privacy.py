"""What the relay answers about what is kept of somebody, as far as the console looks at it."""

from __future__ import annotations

from typing import Any

import msgspec

from farhand_console.relay.bounds import Count

__all__ = ["Dossier", "DossierPage", "Erased"]


class _File(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str


class _Ticket(msgspec.Struct, frozen=True, kw_only=True):
    files: list[_File]


class _Mail(msgspec.Struct, frozen=True, kw_only=True):
    raw: str | None = None


class _Person(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class DossierPage(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets of a dossier; `next` is after which to go on."""

    tickets: list[dict[str, Any]]
    next: Count | None


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """All pages of a dossier put together; whatever else is in it goes to the file as it is."""

    person: list[_Person]
    mails: list[_Mail]
    tickets: list[_Ticket]


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased of somebody."""

    person: str
    reason: str
    erased_by: str
    erased_at: str
    counts: dict[str, Count]
