"""No library's words: everything that msgspec can say of a value becomes a plain sentence."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any, Literal

import msgspec
import pytest

from farhand_protocol.complaints import plain_reason, plain_words
from farhand_protocol.errors import UsageError


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 1


class Form(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
    tags: Annotated[list[str], msgspec.Meta(max_length=2)] = []
    kind: Literal["a", "b"] = "a"
    slug: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")] = "x"
    weight: float = 1.0
    open: bool = True
    body: bytes = b""
    note: str | None = None
    inner: Inner = Inner()
    several: dict[str, int] = {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"title": "abcdef"}, "title has at most 5 characters"),
        ({"title": ""}, "title has at least 1 characters"),
        ({"title": 3}, "title is text"),
        ({"title": None}, "title is text"),
        ({"tags": ["a", "b", "c"]}, "tags has at most 2 items"),
        ({"tags": [1]}, "tags[0] is text"),
        ({"tags": {}}, "tags is a list"),
        ({"kind": "z\x1b[2J"}, "kind cannot be 'z\\x1b[2J'"),
        ({"slug": "A"}, "slug is not of the form that is wanted"),
        ({"weight": "heavy"}, "weight is a number"),
        ({"open": 1}, "open is true or false"),
        ({"body": "?"}, "body cannot be read"),
        ({"note": 3}, "note is text or nothing"),
        ({"inner": {"port": 0}}, "inner.port is at least 1"),
        ({"inner": {"port": 70_000}}, "inner.port is at most 65535"),
        ({"inner": {"gate": 1}}, "there is no field 'inner.gate'"),
        ({"several": {"x": "y"}}, "several[...] is a whole number"),
        ({"colour": "blue"}, "there is no field 'colour'"),
    ],
)
def test_a_sentence_for_each_complaint(change: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"title": "abc"} | change, Form)
    assert plain_words(str(caught.value)) == words


def test_what_is_missing_or_no_object_at_all() -> None:
    for given, words in (({}, "title is missing"), ([], "the value is a set of named fields")):
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.convert(given, Form)
        assert plain_words(str(caught.value)) == words


def test_the_reason_in_any_error_that_a_reader_of_files_meets() -> None:
    refused = msgspec.ValidationError("Expected `int`, got `str` - at `$.port`")
    assert plain_reason(refused) == "port is a whole number"
    assert plain_reason(FileNotFoundError(2, "No such file or directory", "/x")) == (
        "no such file or directory"
    )
    assert plain_reason(UsageError("usage", "a sentence")) == "a sentence"
    assert plain_reason(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x")) == "it is not UTF-8 text"
    assert plain_reason(msgspec.DecodeError("JSON is malformed")) == "it cannot be read"
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads("a b")
    assert plain_reason(caught.value).startswith("expected '=' after a key")


def test_what_nobody_foresaw_says_nothing_of_a_library() -> None:
    for message in ("Expected `SomeStruct`, got `int`", "boom in farhand.x", "", "`" * 5_000):
        said = plain_words(message, "title")
        assert re.fullmatch(r"title (?:cannot be read|is of another kind)", said)
