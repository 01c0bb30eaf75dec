"""Words as terms, and questions made of them: without a database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farhand_server.desk.search_terms import (
    MAX_ASKED_WORDS,
    Term,
    as_fts5,
    as_tsquery,
    question_of,
    terms_of,
)


def test_terms_are_words_stems_and_endings() -> None:
    assert terms_of(["Drucker druckt"], "de").split() == [
        "drucker", "s_druck", "druckt", "s_druckt",
    ]  # fmt: skip
    compound = terms_of(["Netzwerkdrucker"], "de").split()
    assert {"netzwerkdrucker", "s_netzwerkdruck", "p_drucker", "p_cker"} <= set(compound)
    assert {"sn4711", "sn", "4711", "p_n4711"} <= set(terms_of(["SN-4711"], "en").split())
    # Nobody knows the language: every stem there may be; Cyrillic has one.
    assert {"s_print", "s_printing"} <= set(terms_of(["printing"], "").split())
    assert terms_of(["принтеры"], "").split()[:2] == ["принтеры", "s_принтер"]
    assert terms_of(["b"], "en", ["a"]) == "a b s_b"


def test_questions_hold_one_clause_for_each_word() -> None:
    assert question_of("") == question_of("!? -") == ()
    ((first, *_), (second,)) = question_of("Ça abc*")
    assert (first, second) == (Term("ca"), Term("abc", prefix=True))
    assert len(question_of("word " * 40)) == MAX_ASKED_WORDS
    assert question_of("SN-4711")[0][0] == Term("sn4711")


@given(st.text(max_size=200))
def test_whatever_is_asked_is_letters_digits_and_our_own_marks(text: str) -> None:
    """Nothing of what a person types reaches a database as anything but a term."""
    question = question_of(text)
    for clause in question:
        for term in clause:
            assert term.text
            assert all(one.isalnum() or one == "_" for one in term.text), ascii(term.text)
    if question:
        assert as_fts5(question, "head").count('"') % 2 == 0
        assert as_tsquery(question).count("'") % 2 == 0


@given(st.text(max_size=200))
def test_a_text_is_found_by_each_of_its_words(text: str) -> None:
    terms = set(terms_of([text], "").split())
    for clause in question_of(" ".join(text.split())):
        assert any(
            term.text in terms or (term.prefix and any(one.startswith(term.text) for one in terms))
            for term in clause
        )
