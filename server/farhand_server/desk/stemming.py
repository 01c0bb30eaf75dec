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
from functools import lru_cache
from threading import local
from typing import Any, Final

import snowballstemmer

__all__ = [
    "LANGUAGES",
    "MAX_WORD_CHARS",
    "fold",
    "plain_words",
    "raw_words",
    "stem_word",
    "stem_words",
]

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
_REMEMBERED: Final = 100_000
# A stemmer keeps the word that it works on, so each thread has its own.
_stemmers = local()
# The Romanian letters with a cedilla are an old encoding's; the stemmer knows those with a comma.
_CEDILLAS: Final = str.maketrans("şţŞŢ", "șțȘȚ")


def fold(word: str) -> str:
    """Return a word without case and without marks on its letters."""
    parted = unicodedata.normalize("NFKD", word.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in parted if not unicodedata.combining(c)))


def raw_words(text: str) -> list[str]:
    """Return the words of a text as they are written; of `SN-12.4` also its parts."""
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
    return [folded for word in raw_words(text) if (folded := fold(word))]


def stem_words(text: str, language: str) -> list[str]:
    """Return the stems of a text's words, folded, in their order.

    Args:
        text: any text; the caller bounds its length.
        language: a tag such as `de` or `pt-BR`; an unknown one leaves the words as they are.

    Returns: as many stems as `plain_words` returns words.
    """
    tag = language.partition("-")[0].lower()
    if tag not in LANGUAGES:
        return plain_words(text)
    return [stem_word(word, tag) for word in raw_words(text) if fold(word)]


@lru_cache(maxsize=_REMEMBERED)
def stem_word(word: str, tag: str) -> str:
    """Return the stem of one word, folded.

    Args:
        word: as `raw_words` returns it.
        tag: a key of `LANGUAGES`.
    """
    known: dict[str, Any] = _stemmers.__dict__.setdefault("by_tag", {})
    if tag not in known:
        known[tag] = snowballstemmer.stemmer(LANGUAGES[tag])
    return fold(known[tag].stemWord(word.casefold()))
