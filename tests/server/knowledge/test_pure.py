"""What of the library is plain functions: states, languages, Markdown, words."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.knowledge.files import picture_type
from farhand_server.knowledge.markdown import file_names, passages, plain_text, render, steps
from farhand_server.knowledge.readers import check_language, choose_language
from farhand_server.knowledge.searching import snippet_of
from farhand_server.knowledge.states import STATES, ArticleStep, next_article_state
from farhand_server.knowledge.votes import browser_voter
from farhand_server.knowledge.words import (
    MAX_INDEXED_WORDS,
    Found,
    asked_words,
    index_words,
    rank,
)

POSSIBLE = {
    ("draft", "submit"): "review",
    ("draft", "publish"): "published",
    ("draft", "archive"): "archived",
    ("review", "publish"): "published",
    ("review", "withdraw"): "draft",
    ("review", "archive"): "archived",
    ("published", "publish"): "published",
    ("published", "withdraw"): "draft",
    ("published", "archive"): "archived",
    ("archived", "restore"): "draft",
}


def test_every_step_from_every_state() -> None:
    for state, step in itertools.product(STATES, get_args(ArticleStep)):
        if (state, step) in POSSIBLE:
            assert next_article_state(state, step) == POSSIBLE[state, step]
        else:
            with pytest.raises(FarhandError, match="article-state"):
                next_article_state(state, step)


@pytest.mark.parametrize(
    ("there", "wanted", "house", "chosen"),
    [
        ({"de", "en"}, ["de"], [], "de"),
        ({"pt", "en"}, ["pt-BR"], [], "pt"),
        ({"pt-BR", "en"}, ["pt"], [], "pt-BR"),
        ({"de", "en"}, ["ro", "de"], [], "de"),
        ({"de", "en", "ru"}, ["ro"], ["ru"], "ru"),
        ({"de", "en"}, ["ro"], [], "en"),
        ({"de", "ru"}, [], [], "de"),  # the original
        ({"ro", "ru"}, [], [], "ro"),
        (set(), ["de"], ["en"], None),
    ],
)
def test_the_language_that_is_read_best(
    there: set[str], wanted: list[str], house: list[str], chosen: str | None
) -> None:
    assert choose_language(there, wanted, "de", house=house) == chosen


def test_language_tags() -> None:
    assert [check_language(one) for one in ("DE", " pt-br ", "sr-latn")] == [
        "de",
        "pt-BR",
        "sr-latn",
    ]
    for wrong in ("", "d", "deutsch", "de_DE", "../x", "de-"):
        with pytest.raises(UsageError, match="invalid"):
            check_language(wrong)


# Markdown.

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](https://example.org/%22onmouseover=alert(1))",
    '[x](https://example.org "title\\" onclick=alert(1)")',
    "![x](https://example.org/pixel.png)",
    "![x](//example.org/pixel.png)",
    "![x](../../etc/passwd.png)",
    "![x](data:image/png;base64,AAAA)",
    '![x" onerror="alert(1)](own.png)',
    "[x](article:../../admin)",
    "[x]: javascript:alert(1)\n\n[x]",
    "<https://example.org/><b>",
    "```video javascript:alert(1) T\n```",
    '```video https://example.org/"><script> T\n</figcaption><script>\n```',
    '```"><script>\nx\n```',
    "&lt;script&gt; &#60;script&#62;",
    "<!-- --><?php ?><![CDATA[x]]>",
]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


TAGS = (
    "a p em strong s code pre ul ol li blockquote hr br img figure figcaption "
    "h1 h2 h3 h4 h5 h6 table thead tbody tr th td"
)
KNOWN = frozenset(TAGS.split())


def check_harmless(html: str) -> None:
    parser = _Tags()
    parser.feed(html)
    for tag, attributes in parser.found:
        assert tag in KNOWN, html
        for name, value in attributes.items():
            assert name in {"href", "src", "alt", "rel", "title", "class", "start", "style"}, html
            if name == "src":
                assert re.fullmatch(r"/f/[a-z0-9_-]+\.(png|jpg|jpeg|gif|webp)", value or ""), html
            if name == "href":
                allowed = ("https://", "http://", "mailto:", "tel:", "/kb/")
                own = re.fullmatch(r"[a-z0-9_-]+\.(png|jpg|jpeg|gif|webp)", value or "")
                assert (value or "").lower().startswith(allowed) or own, html
            if name == "style":
                assert re.fullmatch(r"text-align:(left|right|center)", value or ""), html


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_text_comes_out_harmless(body: str) -> None:
    check_harmless(render(body, files_at="/f/", articles_at="/kb/"))


@given(st.text(alphabet="<>\"'`![]()#*_|:-\\\n ax1/.&;~", max_size=200))
def test_any_text_comes_out_harmless(body: str) -> None:
    check_harmless(render(body, files_at="/f/", articles_at="/kb/"))
    plain_text(body)
    passages(body)
    steps(body)


def test_own_pictures_and_articles_are_shown() -> None:
    html = render("![the window](w.png) [more](article:a-code)", files_at="/f/", articles_at="/kb/")
    assert '<img src="/f/w.png" alt="the window">' in html
    assert '<a href="/kb/a-code">more</a>' in html
    assert file_names("![a](a.png) ![b](https://x/b.png) ![a](a.png)") == ["a.png"]


def test_a_tutorial_is_an_ordered_list() -> None:
    body = "Do this:\n\n1. Open it ![the blue one](blue.png)\n2. Press *Stop*\n\n   and wait.\n"
    found = steps(body)
    assert [one.text for one in found] == ["Open it", "Press Stop\nand wait."]
    assert [(one.file, one.caption) for one in found[0].pictures] == [("blue.png", "the blue one")]
    assert steps("- one\n- two") == []


def test_what_a_film_says_is_searched_and_its_timing_is_not() -> None:
    body = (
        "```video https://example.org/v How to stop\nWEBVTT\n\n1\n"
        "00:00:01.000 --> 00:00:02.000\nPress the red button\n```\n"
    )
    html = render(body, files_at="/f/", articles_at="/kb/")
    assert 'href="https://example.org/v"' in html
    assert "Press the red button" in html
    assert "-->" not in plain_text(body)
    words = index_words(title="t", body=plain_text(body), tags=[], category="", language="en")
    assert {"button", "stop"} <= words.keys()
    assert "webvtt" not in words


def test_passages_stand_below_their_headings() -> None:
    found = passages("First.\n\n# One\n\nText of one.\n\n## Two\n\n- a\n- b\n\n# Empty\n")
    assert [(one.heading, one.text) for one in found] == [
        ("", "First."),
        ("One", "Text of one."),
        ("Two", "a\nb"),
    ]


def test_nesting_has_an_end() -> None:
    for body in ("> " * 5000 + "x", "- " * 5000, "[" * 20_000, "*" * 20_000, "![" * 5000):
        check_harmless(render(body, files_at="/f/", articles_at="/kb/"))


# Words.


def test_a_compound_is_found_by_its_end() -> None:
    words = index_words(
        title="Druckerpatrone wechseln", body="", tags=[], category="", language="de"
    )
    (asked,) = asked_words("Patronen", "de")
    assert asked.forms.keys() & words.keys() == {"-patron"}


def test_words_that_ask_for_nothing_are_left_out_unless_nothing_else_is_asked() -> None:
    assert [one.word for one in asked_words("How do I stop the session?", "en")] == [
        "stop",
        "session",
    ]
    assert [one.word for one in asked_words("как мой код", "ru")] == ["код"]
    assert [one.word for one in asked_words("what is that", "en")] == ["what", "is", "that"]
    assert asked_words("?!", "en") == []


def test_a_text_of_many_words_is_indexed_to_a_bound() -> None:
    body = " ".join(f"w{n}x" for n in range(MAX_INDEXED_WORDS * 2))
    words = index_words(title="telling", body=body, tags=[], category="", language="en")
    assert len(words) == MAX_INDEXED_WORDS
    assert "telling" in words


def test_rare_words_and_whole_questions_rank_first() -> None:
    asked = asked_words("printer password", "en")
    rows = [
        Found("common", "en", "printer", 40),
        Found("both", "en", "printer", 4),
        Found("both", "en", "password", 4),
        *(Found(f"other-{n}", "en", "printer", 4) for n in range(5)),
    ]
    ranked = rank(asked, rows, known=10)
    assert [one for one, _ in ranked][:2] == ["both", "common"]


def test_a_snippet_is_the_line_that_answers() -> None:
    body = "# Codes\n\nA code is short.\n\nPress *Stop* to end the session at once.\n"
    assert snippet_of(body, "how to end sessions", "en") == "Press Stop to end the session at once."
    assert snippet_of("", "x", "en") == ""
    assert len(snippet_of("word " * 500, "word", "en")) <= 240


# Odds and ends.


def test_pictures_are_told_by_their_bytes() -> None:
    assert picture_type(b"\x89PNG\r\n\x1a\n...") == "image/png"
    assert picture_type(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert picture_type(b"GIF89a") == "image/gif"
    assert picture_type(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"
    for wrong in (b"", b"<svg onload=alert(1)>", b"%PDF-1.4", b"RIFF\0\0\0\0WAVE"):
        assert picture_type(wrong) is None


def test_a_browser_is_known_by_a_hash() -> None:
    token = "a" * 22
    assert token not in browser_voter(token)
    assert browser_voter(token) == browser_voter(token)
    for wrong in ("", "short", "x" * 65, "spaces are not in it", "a" * 21 + "\n"):
        with pytest.raises(UsageError, match="invalid"):
            browser_voter(wrong)
