"""Who reads which articles, and in which language: pure decisions that every query asks.

reader       visibility                   state
ANYBODY      public                       published
CUSTOMER     public, customers            published
DESK         public, customers, internal  any
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, and_, true

from farhand_protocol.errors import UsageError
from farhand_server.knowledge.states import Visibility
from farhand_server.store.schema import articles

__all__ = ["ANYBODY", "CUSTOMER", "DESK", "Reader", "check_language", "choose_language"]

_LANGUAGE = re.compile(r"([a-z]{2,3})(?:-([a-z0-9]{2,8}))?\Z", re.IGNORECASE)
_LAST_RESORT: Final = "en"


class Reader(NamedTuple):
    """What somebody may read; `drafts` are the newest words of any state."""

    visibilities: tuple[Visibility, ...]
    drafts: bool

    def condition(self) -> ColumnElement[bool]:
        """Return what a row of `articles` must be."""
        if self.drafts:
            return true()
        return and_(articles.c.state == "published", articles.c.visibility.in_(self.visibilities))


ANYBODY: Final = Reader(("public",), drafts=False)
CUSTOMER: Final = Reader(("public", "customers"), drafts=False)
DESK: Final = Reader(("public", "customers", "internal"), drafts=True)


def check_language(tag: str) -> str:
    """Return a language tag in its usual form: `pt`, `pt-BR`.

    Raises:
        UsageError: `invalid`.
    """
    match = _LANGUAGE.match(tag.strip())
    if match is None:
        raise UsageError("invalid", "a language is written as de or pt-BR")
    region = match[2] or ""
    return match[1].lower() + (f"-{region.upper() if len(region) == 2 else region}" * bool(region))


def choose_language(
    there: Collection[str], wanted: Sequence[str], original: str, *, house: Sequence[str] = ()
) -> str | None:
    """Return the language of `there` that this person reads best; None where there is none.

    Args:
        there: languages that the article has for this reader.
        wanted: what the person reads, best first.
        original: the language that the article was written in.
        house: the organisation's languages, best first.

    Returns: the first of: what is wanted, the same without its region, the same with another
        region, the organisation's, English, the original, any.
    """
    for tag in wanted:
        base = tag.partition("-")[0]
        kin = sorted(one for one in there if one.partition("-")[0] == base)
        for one in (tag, base, *kin):
            if one in there:
                return one
    for one in (*house, _LAST_RESORT, original, *sorted(there)):
        if one in there:
            return one
    return None
