"""The assistant that is built in: it finds the passages that answer, and shows them as they stand.

It makes up nothing, because it says nothing of its own: its words are the articles', each with the
article that it is from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from farhand_server.assistant.answers import NOTHING, Answer, Source
from farhand_server.knowledge.words import asked_words, index_words

__all__ = ["PassageAssistant"]

# So many passages are shown, of so many characters each.
_PASSAGES: Final = 3
_PASSAGE_CHARS: Final = 700
# A passage must hold at least this part of what is asked ...
_SHARE: Final = 0.5
# ... and those behind the best one nearly as much as it.
_NEARLY: Final = 0.7


class _Scored(NamedTuple):
    score: float
    share: float
    slug: str
    text: str


class PassageAssistant:
    """Ranks passages by the words of the question, rare ones first."""

    async def answer(self, question: str, language: str, articles: Sequence[Source]) -> Answer:
        """Return the passages that hold most of what is asked, with their articles."""
        scored = sorted(
            _scored(question, language, articles), key=lambda one: (-one.score, one.slug, one.text)
        )
        enough = [one for one in scored if one.share >= _SHARE]
        if not enough:
            return NOTHING
        shown = [one for one in enough if one.score >= enough[0].score * _NEARLY][:_PASSAGES]
        return Answer(
            text="\n\n".join(one.text for one in shown), citations=[one.slug for one in shown]
        )


def _scored(question: str, language: str, articles: Sequence[Source]) -> Iterator[_Scored]:
    parts = [
        (source, passage.text, _words(source, f"{source.title} {passage.heading}", passage.text))
        for source in articles
        for passage in source.passages
    ]
    for source, text, words in parts:
        asked = asked_words(question, source.language or language)
        score, hits = 0.0, 0
        for one in asked:
            worth = max((w * math.log1p(words.get(f, 0)) for f, w in one.forms.items()), default=0)
            if worth > 0:
                hits += 1
                common = sum(not one.forms.keys().isdisjoint(other) for _, _, other in parts)
                score += worth * math.log1p(len(parts) / common)
        if hits:
            yield _Scored(score, hits / len(asked), source.slug, _cut(text))


def _words(source: Source, heading: str, text: str) -> dict[str, int]:
    return index_words(title=heading, body=text, tags=(), category="", language=source.language)


def _cut(text: str) -> str:
    if len(text) <= _PASSAGE_CHARS:
        return text
    return text[: _PASSAGE_CHARS - 3].rpartition(" ")[0].rstrip() + "..."
