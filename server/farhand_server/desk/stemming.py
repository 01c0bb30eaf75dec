"""Words as a search compares them: plain, and stemmed by the language of the text.

What it is: two pure functions that take a text apart, the same way for what is indexed and for what
is asked, so that SQLite and PostgreSQL give the same answers.  What it is not: an index; those are
`desk.search` for tickets and `knowledge.words` for articles.

Both fold: case, compatibility forms, and marks on letters (`não` and `nao`, `ş` and `ș` are one
word), because people leave marks out when they search.  A stem is taken before the marks go.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

import snowballstemmer

__all__ = ["LANGUAGES", "MAX_WORD_CHARS", "fold", "plain_words", "stem_words"]

# Language tags, and what the stemmers call them.
LANGUAGES: Final[dict[str, str]] = {
    "en": "english",
    "pt": "portuguese",
    "de": "german",
    "ro": "romanian",
    "ru": "russian",
}
# What is longer is no word: a key, a path, an attack on the index.
MAX_WORD_CHARS: Final = 40

_WORD = re.compile(r"[^\W_]+(?:[-_.][^\W_]+)*")
_PARTS = re.compile(r"[-_.]")
# The Romanian letters with a cedilla are an old encoding's; the stemmer knows those with a comma.
_CEDILLAS: Final = str.maketrans("şţŞŢ", "șțȘȚ")


def fold(word: str) -> str:
    """Return a word without case and without marks on its letters."""
    parted = unicodedata.normalize("NFKD", word.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in parted if not unicodedata.combining(c)))


def _raw_words(text: str) -> list[str]:
    """Return the words of a text; of `SN-12.4` also its parts."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).translate(_CEDILLAS)):
        whole = match[0]
        found += [whole, *parts] if len(parts := _PARTS.split(whole)) > 1 else [whole]
    return [word for word in found if len(word) <= MAX_WORD_CHARS]


def plain_words(text: str) -> list[str]:
    """Return the words of a text, folded, in their order.

    Args:
        text: any text; the caller bounds its length.

    Returns: words of at most `MAX_WORD_CHARS` characters; longer ones are left out.
    """
    return [folded for word in _raw_words(text) if (folded := fold(word))]


def stem_words(text: str, language: str) -> list[str]:
    """Return the stems of a text's words, folded, in their order.

    Args:
        text: any text; the caller bounds its length.
        language: a tag such as `de` or `pt-BR`; an unknown one leaves the words as they are.

    Returns: as many stems as `plain_words` returns words.
    """
    name = LANGUAGES.get(language.partition("-")[0].lower())
    if name is None:
        return plain_words(text)
    # One for each call: it keeps the word that it works on.
    stem = cache(snowballstemmer.stemmer(name).stemWord)
    return [fold(stem(word.casefold())) for word in _raw_words(text) if fold(word)]
