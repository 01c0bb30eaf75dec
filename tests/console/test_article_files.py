"""Articles as Markdown files: what was written reads the same, and no name leaves its folder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_console.article_files import (
    ArticleFile,
    CollectionFile,
    check_name,
    parse_article,
    parse_collection,
    write_article,
    write_collection,
)
from farhand_protocol.errors import UsageError

ORIGINAL = ArticleFile(
    title="How to stop: at once",
    body="Press **Stop**.\n\n---\n\n1. one",
    original=True,
    state="published",
    visibility="public",
    category="basics",
    owner="ann",
    review_due="2026-12-01",
    tags=["session", "stop"],
    checks=["check.disk.space"],
)


def test_there_and_back() -> None:
    translation = ArticleFile(title="Aufhören", body="Stopp.", original_sha256="ab" * 32)
    for one in (ORIGINAL, translation, ArticleFile(title="t", body="b", original=True)):
        assert parse_article(write_article(one)) == one
    assert write_article(translation).startswith("---\ntitle: Aufhören\noriginal_sha256: abab")
    kept = CollectionFile(title="First days", description="Read on.", articles=["a", "b-2"])
    assert parse_collection(write_collection(kept)) == kept
    assert parse_article(write_article(ORIGINAL).replace("\n", "\r\n")) == ORIGINAL


@given(st.text(max_size=60), st.text(max_size=200))
def test_any_title_and_text_go_there_and_back(title: str, body: str) -> None:
    title, body = " ".join(title.split()), body.replace("\r\n", "\n").strip()
    if title and body:
        one = ArticleFile(title=title, body=body, original=True)
        assert parse_article(write_article(one)) == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# just words",
        "---\ntitle: x\nbody",
        "---\ntitle: x\n---\n",
        "---\n---\nbody",
        "---\ntitle: x\ntitle: y\n---\nbody",
        "---\ntitle x\n---\nbody",
        "---\ntitle: x\ncolour: blue\n---\nbody",
        "---\ntitle: x\nvisibility: public\n---\nbody",
    ],
)
def test_what_is_no_article(text: str) -> None:
    with pytest.raises(UsageError, match="article-file-malformed"):
        parse_article(text)


def test_no_name_leaves_its_folder() -> None:
    for kind, name in (
        ("slug", "../x"),
        ("slug", "a/b"),
        ("slug", ""),
        ("slug", "A"),
        ("slug", "a\n"),
        ("slug", "a" * 81),
        ("language", "../../etc"),
        ("language", "en/../.."),
        ("picture", "../w.png"),
        ("picture", "w.svg"),
        ("picture", ".png"),
    ):
        with pytest.raises(UsageError, match="article-file-malformed"):
            check_name(kind, name)
    with pytest.raises(UsageError, match="article-file-malformed"):
        parse_collection("---\ntitle: x\n---\n- ../../x\n")
