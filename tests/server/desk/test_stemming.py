"""Words as a search compares them, in five languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.desk.stemming import LANGUAGES, MAX_WORD_CHARS, plain_words, stem_words


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "printing", "prints"),
        ("pt", "impressoras", "impressora"),
        ("pt-BR", "conexões", "conexoes"),
        ("de", "Druckerpatronen", "Druckerpatrone"),
        ("ro", "imprimantele", "imprimantă"),
        ("ro", "şedinţă", "ședință"),
        ("ru", "принтеры", "принтера"),
    ],
)
def test_forms_of_one_word_have_one_stem(language: str, one: str, other: str) -> None:
    assert stem_words(one, language) == stem_words(other, language)


def test_plain_words_leave_out_case_marks_and_what_is_no_word() -> None:
    assert plain_words("Não IMPRIME: Straße, ça!") == ["nao", "imprime", "strasse", "ca"]
    assert plain_words("S/N ab-12.4") == ["s", "n", "ab-12.4", "ab", "12", "4"]
    assert plain_words("x" * (MAX_WORD_CHARS + 1) + " y") == ["y"]
    assert stem_words("prints running", "xx") == ["prints", "running"]


@given(st.text(max_size=200), st.sampled_from([*LANGUAGES, "xx"]))
def test_any_text_has_as_many_stems_as_words(text: str, language: str) -> None:
    assert len(stem_words(text, language)) == len(plain_words(text))
