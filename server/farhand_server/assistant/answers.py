"""What an assistant is: a question and some articles go in, words and citations come out.

What it is not: somebody.  An assistant is given no actor, no relay, no database and no ticket, so
it can open, run, close and sign nothing; this package imports nothing with which it could, and a
test looks at what it loads.  Whoever calls it shows its words as those of articles, never as a
person's, and always offers a person beside them.

An answer counts only when each of its citations is an article that was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "MAX_ANSWER_CHARS",
    "NOTHING",
    "Answer",
    "Assistant",
    "Source",
    "SourcePassage",
    "checked",
]

MAX_ANSWER_CHARS: Final = 4000


class SourcePassage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an article, as plain text."""

    heading: str
    text: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An article that may be cited."""

    slug: str
    title: str
    language: str
    passages: list[SourcePassage]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an assistant says; `citations` are slugs, in the order of the words.

    Without words it knows nothing, and says so by saying nothing.
    """

    text: str
    citations: list[str]


NOTHING: Final = Answer(text="", citations=[])


class Assistant(Protocol):
    """Something that answers."""

    async def answer(self, question: str, language: str, articles: Sequence[Source]) -> Answer:
        """Answer a question from articles.

        Args:
            question: as a person wrote it; hostile like any.
            language: that she reads.
            articles: all that may be used and cited.

        Raises:
            FarhandError: the answer did not come, or is none.
        """


def checked(answer: Answer, given: Sequence[Source]) -> Answer:
    """Return an answer that may be shown.

    Raises:
        FarhandError: `assistant-answer-refused` when it cites what was not given, says something
            and cites nothing, or is too long.
    """
    text = "".join(one for one in answer.text if one.isprintable() or one == "\n").strip()
    citations = list(dict.fromkeys(answer.citations))
    known = {one.slug for one in given}
    if not text:
        return NOTHING
    if not citations or not known.issuperset(citations) or len(text) > MAX_ANSWER_CHARS:
        foreign = sorted(set(citations) - known)
        raise FarhandError(
            "assistant-answer-refused",
            "the assistant's answer does not rest on the articles that it was given",
            detail=f"{len(text)} characters, cites {foreign[:5]} besides {len(citations)} in all",
        )
    return Answer(text=text, citations=citations)
