"""Every sentence of every check in every language, as somebody at a made-up device reads it."""

from __future__ import annotations

from functools import cache

import pytest

from farhand_agent.wording import LANGUAGES
from tests.agent.checks.systems import Case, result_of
from tests.agent.checks.test_cases import CASES, OWN


@pytest.mark.parametrize("check_id", OWN)
def test_every_sentence_is_said_in_every_language(check_id: str) -> None:
    for case in (one for one in CASES if one.check == check_id):
        said = {language: _plain(case, language) for language in LANGUAGES}
        assert len(set(said.values())) == len(LANGUAGES), said


@cache
def _plain(case: Case, language: str) -> str:
    plain: str = result_of(case, language).plain
    assert plain[-1] in ".!?", plain
    return plain
