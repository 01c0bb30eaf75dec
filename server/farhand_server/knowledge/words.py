"""What is searched of an article, and what a question asks for: pure functions, both the same way.

Each word of an article is kept with a weight, three times over:

    word      as it is written, folded                      drucker
    ~stem     its stem in the language of the text          ~druck
    -part     ends of long words, for compounds             -patrone

A question is taken apart alike, so that the answers do not depend on the database.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from farhand_server.desk.stemming import plain_words, stem_words

__all__ = ["MAX_INDEXED_WORDS", "Asked", "Found", "asked_words", "index_words", "rank"]

# Different words of one text; what a text has beyond is not found by it.
MAX_INDEXED_WORDS: Final = 6000
_MAX_ASKED: Final = 20

_TITLE, _TAG, _CATEGORY, _BODY = 8, 6, 4, 1
# A word that stands there often says hardly more than one that stands there five times.
_MOST: Final = 5
# From this length a word may be a compound; a part of it has at least so many letters.
_COMPOUND: Final = 9
_PART: Final = 5
# How much a hit is worth that is not the word itself.
_AS_STEM, _AS_PART, _AS_BEGINNING = 0.9, 0.4, 0.5

# Words that ask for nothing, folded; left out unless nothing else is asked.
_STOP: Final = frozenset(
    plain_words(
        "a an and are as at be can do does for from how i in is it me my not of on or that the "
        "this to what when where who why will with you your "
        "o os um uma de do da dos das e em no na nos nas ou que com por para se meu minha não "
        "como quando onde quem eu ao "
        "der die das den dem ein eine einen und oder ist sind ich mein meine nicht mit von zu zum "
        "zur im auf für wie was wann wo wer kann "
        "un si sau este sunt eu meu mea nu cu din la pe pentru cum ce când unde cine pot să "
        "и или в во на не с со я мой моя мне как что где когда кто это по к у о за от для"
    )
)


class Asked(NamedTuple):
    """One word of a question: the forms that count as it, and how much each is worth."""

    word: str
    forms: Mapping[str, float]


class Found(NamedTuple):
    """One row of the index that answers a question."""

    article: str
    language: str
    word: str
    weight: int


def _ends(stem: str) -> Iterable[str]:
    if len(stem) >= _COMPOUND:
        for start in range(2, len(stem) - _PART + 1):
            yield "-" + stem[start:]


def index_words(
    *, title: str, body: str, tags: Iterable[str], category: str, language: str
) -> dict[str, int]:
    """Return the words of an article's text with their weights.

    Args:
        title: of the text.
        body: its plain words.
        tags: of the article.
        category: of the article.
        language: of the text.

    Returns: at most `MAX_INDEXED_WORDS` words, the weightiest.
    """
    weights: Counter[str] = Counter()
    parts = ((title, _TITLE), (" ".join(tags), _TAG), (category, _CATEGORY), (body, _BODY))
    for text, weight in parts:
        stems = stem_words(text, language)
        plain, stemmed = Counter(plain_words(text)), Counter(f"~{stem}" for stem in stems)
        ends = Counter(end for stem in set(stems) for end in _ends(stem))
        for word, count in (plain + stemmed + ends).items():
            weights[word] += min(count, _MOST) * weight
    return dict(weights.most_common(MAX_INDEXED_WORDS))


def asked_words(question: str, language: str) -> list[Asked]:
    """Return the words of a question in their order, each once, at most twenty.

    Args:
        question: as a person typed it.
        language: of the texts that are searched.
    """
    pairs = dict(zip(plain_words(question), stem_words(question, language), strict=True))
    telling = {word: stem for word, stem in pairs.items() if word not in _STOP} or pairs
    found: list[Asked] = []
    for word, stem in list(telling.items())[:_MAX_ASKED]:
        forms = {word: 1.0, f"~{stem}": _AS_STEM}
        if len(stem) >= _PART:
            forms[f"-{stem}"] = _AS_PART
        for end in _ends(stem):
            forms.setdefault(f"~{end[1:]}", _AS_PART)
        found.append(Asked(word, forms))
    return found


def rank(asked: Iterable[Asked], found: Iterable[Found], *, known: int) -> list[tuple[str, float]]:
    """Return articles with their scores, best first, for the texts of one language.

    A rare word says more than a common one, and an article that holds every word of the question
    more than one that holds some of them often.

    Args:
        asked: the question.
        found: rows of the index in that language; a word beyond the forms asked begins as one does.
        known: how many articles there are.
    """
    groups = list(asked)
    best: list[dict[str, float]] = [{} for _ in groups]
    for row in found:
        for group, scores in zip(groups, best, strict=True):
            worth = group.forms.get(row.word)
            if worth is None:
                worth = _AS_BEGINNING if row.word.startswith(group.word) else 0.0
            score = worth * math.log1p(row.weight)
            if score > scores.get(row.article, 0.0):
                scores[row.article] = score
    total: defaultdict[str, float] = defaultdict(float)
    hits: Counter[str] = Counter()
    for scores in best:
        rarity = math.log1p(known / len(scores)) if scores else 0.0
        for article, score in scores.items():
            total[article] += score * rarity
            hits[article] += 1
    scored = [(one, score * (hits[one] / len(groups)) ** 2) for one, score in total.items()]
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))
