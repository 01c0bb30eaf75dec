"""What a search of tickets compares: terms made of words, for what is kept as for what is asked.

Pure.  A database is given terms and asked for terms, never text, so that FTS5 of SQLite and the
tsvector of PostgreSQL have nothing to decide and give the same answers.  Terms are of three kinds:

    drucker         the word itself, folded; of `SN-4711` also `sn4711`, beside `sn` and `4711`
    s_druck         its stem, in the text's language, or in all that use its letters; none where
                    it holds a digit
    p_drucker       an ending of a longer one: of a German compound (`Netzwerkdrucker`), or of what
                    holds digits, as serial numbers do

A question is a list of clauses, one for each word; all must hold.  A clause is terms, of which one
must be there.  Endings are asked for by their beginning, so a part in the middle of a compound or
of a serial number is found as well.  A word with a star behind it asks for what begins so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from farhand_server.desk.stemming import LANGUAGES, fold, raw_words, stem_word

__all__ = [
    "MAX_ASKED_WORDS",
    "MAX_TERMS",
    "Clause",
    "Term",
    "as_fts5",
    "as_tsquery",
    "question_of",
    "terms_of",
]

MAX_TERMS: Final = 20_000
MAX_ASKED_WORDS: Final = 12
_MIN_PART: Final = 4  # shortest part of a word that is looked for within others
_LONG_WORD: Final = 9  # shorter words are no compounds
_LONG_CODE: Final = 5  # and what holds a digit is a code from here on
_REMEMBERED: Final = 100_000
_CYRILLIC: Final = re.compile("[\u0400-\u04ff]")
_CYRILLIC_TAGS: Final = ("ru",)
_LATIN_TAGS: Final = tuple(tag for tag in LANGUAGES if tag not in _CYRILLIC_TAGS)
_ASKED = re.compile(r"[^\W_]+(?:[-_.][^\W_]+)*\*?")


class Term(NamedTuple):
    """One term; as a `prefix` it stands for all that begin with it."""

    text: str
    prefix: bool = False


Clause = tuple[Term, ...]


def terms_of(texts: Iterable[str], language: str, known: Iterable[str] = ()) -> str:
    """Return the terms of texts, each once, in their order, with a space between them.

    Args:
        texts: what is to be found again; the caller bounds their length.
        language: a tag such as `de` or `pt-BR`; empty where nobody knows.
        known: terms that are there already and stay in front.

    Returns: at most `MAX_TERMS` terms; what comes after those cannot be found.
    """
    tag = language.partition("-")[0].lower()
    found = dict.fromkeys(known)
    for text in texts:
        for word in raw_words(text):
            found.update(dict.fromkeys(_terms_of_word(word, tag)))
            if len(found) >= MAX_TERMS:
                return " ".join(list(found)[:MAX_TERMS])
    return " ".join(found)


@lru_cache(maxsize=_REMEMBERED)
def _terms_of_word(word: str, tag: str) -> tuple[str, ...]:
    plain = _plain(word)
    if not plain:
        return ()
    stems = dict.fromkeys(f"s_{stem}" for stem in _stems(word, tag))
    return (plain, *stems, *(f"p_{end}" for end in _endings(plain)))


def _plain(word: str) -> str:
    """Return a word as letters and digits alone, which no database takes apart."""
    return "".join(one for one in fold(word) if one.isalnum())


def _stems(word: str, tag: str) -> list[str]:
    if any(one.isdigit() for one in word):
        return []  # numbers and codes have no forms
    tags = (tag,) if tag in LANGUAGES else _tags_of(word)
    stems = [_plain(stem_word(word, one)) for one in tags]
    return [stem for stem in stems if stem]


def _tags_of(word: str) -> tuple[str, ...]:
    return _CYRILLIC_TAGS if _CYRILLIC.search(word) else _LATIN_TAGS


def _endings(plain: str) -> list[str]:
    is_code = any(one.isdigit() for one in plain)
    if len(plain) < (_LONG_CODE if is_code else _LONG_WORD):
        return []
    return [plain[start:] for start in range(len(plain) - _MIN_PART + 1)]


def question_of(words: str) -> tuple[Clause, ...]:
    """Return what is asked for by words that a person typed.

    Args:
        words: any text; the first `MAX_ASKED_WORDS` words of it count.

    Returns: clauses; none where no word is in it.
    """
    clauses = []
    # Marks that stand apart from their letters are joined with them first, as in texts.
    for match in _ASKED.finditer(unicodedata.normalize("NFKC", words)):
        asked = match[0]
        whole = raw_words(asked.rstrip("*"))[:1]
        if whole and (plain := _plain(whole[0])):
            clauses.append(_clause(whole[0], plain, is_beginning=asked.endswith("*")))
    return tuple(clauses[:MAX_ASKED_WORDS])


def _clause(word: str, plain: str, *, is_beginning: bool) -> Clause:
    terms = [Term(plain, is_beginning)]
    if not is_beginning:
        # Asked in any language: who asks need not write in the one of the ticket.
        terms += [Term(f"s_{stem}") for stem in dict.fromkeys(_stems(word, ""))]
    if len(plain) >= _MIN_PART:
        terms.append(Term(f"p_{plain}", prefix=True))
    return tuple(terms)


def as_fts5(question: tuple[Clause, ...], columns: str) -> str:
    """Return a question as FTS5 takes it.

    Args:
        question: of at least one clause.
        columns: names with a space between them.
    """
    clauses = (
        "(" + " OR ".join(f'"{term.text}"{"*" if term.prefix else ""}' for term in clause) + ")"
        for clause in question
    )
    return f"{{{columns}}} : ({' AND '.join(clauses)})"


def as_tsquery(question: tuple[Clause, ...]) -> str:
    """Return a question of at least one clause as a PostgreSQL `tsquery`."""
    clauses = (
        "(" + " | ".join(f"'{term.text}'{':*' if term.prefix else ''}" for term in clause) + ")"
        for clause in question
    )
    return " & ".join(clauses)
