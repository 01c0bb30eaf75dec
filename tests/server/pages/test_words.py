"""Every text of the pages stands in every language, and in its catalogue."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import farhand_server.pages
from farhand_server.pages import account_pages, opening, rendering, routing
from farhand_server.pages.wording import LANGUAGE_NAMES, choose_language, wording_in
from farhand_server.people.organisations import LOCALES

FOLDER = Path(farhand_server.pages.__file__).parent
ROOT = FOLDER.parents[2]
OTHERS = [one for one in LOCALES if one != "en"]


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_words", ROOT / "agent/words/build.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def texts() -> set[str]:
    """What the templates say, and the tables whose entries they say."""
    found = {
        text
        for path in (FOLDER / "templates").glob("*.html")
        for text in re.findall(r"_\(\"([^\"]+)\"", path.read_text("utf-8"))
    }
    for path in (FOLDER / "templates").glob("*.html"):
        for one, several in re.findall(
            r"many\(\"([^\"]+)\", \"([^\"]+)\"", path.read_text("utf-8")
        ):
            found.add(f"{one}\0{several}")
    found |= {*account_pages.CONTRACT_WORDS.values(), *account_pages.OVERAGE_WORDS.values()}
    found |= {*opening.DAY_WORDS, *opening.PRIORITY_WORDS.values()}
    found |= {*rendering.STATE_WORDS.values(), *rendering.KIND_WORDS.values()}
    return found | {*routing._WORDS.values(), routing._SOMETHING}


def catalogue(language: str) -> dict[str, str]:
    text = (ROOT / "server/words" / f"{language}.po").read_text("utf-8")
    made: dict[str, str] = builder().read_po(text)
    return made


@pytest.mark.parametrize("language", OTHERS)
def test_all_texts_are_there_with_their_places(language: str) -> None:
    said = {key: text for key, text in catalogue(language).items() if key}
    assert set(said) == texts()
    forms = 3 if language in ("ro", "ru") else 2
    for key, text in said.items():
        one = key.partition("\0")[0]
        assert text.count("\0") == (forms - 1 if "\0" in key else 0), key
        for form in text.split("\0"):
            assert sorted(re.findall(r"\{\w+\}", one)) == sorted(re.findall(r"\{\w+\}", form)), key
            assert form.strip() == form != ""


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_read_is_what_is_written(language: str) -> None:
    made = (FOLDER / "words" / f"{language}.mo").read_bytes()
    assert made == builder().make_mo(catalogue(language))
    assert wording_in(language)("My requests") != "My requests"
    assert set(LANGUAGE_NAMES) == set(LOCALES)


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        ([None, None], "", "en"),
        (["ru", "de"], "pt", "ru"),
        (["xx", "de"], "pt", "de"),
        ([None], "fr, de-CH;q=0.8, pt;q=0.9", "pt"),
        ([None], "de;q=0, ro;q=0.1", "ro"),
        ([None], "de;q=high, ;;;, ru-RU", "ru"),
        ([None], "x" * 5000, "en"),
    ],
)
def test_the_reader_gets_the_language_she_reads_best(
    chosen: list[str | None], accepted: str, expected: str
) -> None:
    assert choose_language(chosen, accepted) == expected
