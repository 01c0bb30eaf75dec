"""The query language: read to a tree, errors with their place, bound parameters only."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from farhand_protocol.errors import FarhandError
from farhand_server.fleet.query import (
    MAX_NESTING,
    MAX_TERMS,
    AllOf,
    AnyOf,
    Node,
    Not,
    Term,
    parse_query,
    terms_of,
)
from farhand_server.fleet.query_sql import Facts, compile_query, needs_presence

A, B, C = Term("", "a"), Term("", "b"), Term("", "c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("  * ", AllOf(())),
        ("", AllOf(())),
        ("a", A),
        ("a b", AllOf((A, B))),
        ("a AND b", AllOf((A, B))),
        ("a OR b c", AnyOf((A, AllOf((B, C))))),
        ("(a OR b) c", AllOf((AnyOf((A, B)), C))),
        ("NOT a b", AllOf((Not(A), B))),
        ("-a", Not(A)),
        ("-(a b)", Not(AllOf((A, B)))),
        ("NOT NOT a", Not(Not(A))),
        ("((a))", A),
        ("and", Term("", "and")),
        ('"OR"', Term("", "OR")),
        ('"a (b) -c"', Term("", "a (b) -c")),
        ('"os:debian"', Term("", "os:debian")),
        ("-", Term("", "-")),
        ("a-b", Term("", "a-b")),
        (
            'kiosk OS:debian -tag:lab name:"front desk"',
            AllOf(
                (
                    Term("", "kiosk"),
                    Term("os", "debian"),
                    Not(Term("tag", "lab")),
                    Term("name", "front desk"),
                )
            ),
        ),
        ("software:openssl<3.0.17", Term("software", "openssl", "<", "3.0.17")),
        ('software:"openssl >= 1:3.0"', Term("software", "openssl", ">=", "1:3.0")),
        ("software:lib*", Term("software", "lib*")),
        ('software:"Foo Bar != 2"', Term("software", "Foo Bar", "!=", "2")),
        ("check:disk.space=critical", Term("check", "disk.space", "=", "critical")),
        ("check:check.disk.space", Term("check", "disk.space")),
    ],
)
def test_a_query_is_a_tree(text: str, tree: Node) -> None:
    assert parse_query(text) == tree


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour:red", "at character 1: there is no key 'colour'"),
        ("a b colour:red", "at character 5:"),
        ("os:", "at character 1: os: needs a value"),
        (":x", "there is no key ''"),
        ('a "open', "at character 3: this quote is not closed"),
        ('""', "an empty word"),
        ('software:"openssl<3.0.17"extra', "at character 25: something follows this quote"),
        ('"a""b"', "at character 3: something follows this quote"),
        ("-*", "no device at all"),
        ("NOT (*)", "no device at all"),
        ("online:maybe", "true or false"),
        ("x" * 1_001, "1000 characters"),
        ("a\0b", "1000 characters"),
        (" ".join(["a"] * (MAX_TERMS + 1)), "at most 32 terms"),
        ("(a b", "at character 1: this `(` is not closed"),
        ("a)", "at character 2: there is no `(`"),
        ("a OR", "at character 5: the query ends"),
        ("OR a", "at character 1: something should stand before `OR`"),
        ("a AND", "the query ends"),
        ("()", "something should stand before `)`"),
        ("NOT", "the query ends"),
        ("(" * 400, "levels"),
        ("-" * 400 + "a", "levels"),
        ("software:<3", "software:NAME<VERSION"),
        ("software:x<", "software:NAME<VERSION"),
        ("check:x=fine", "a check's state is one of"),
    ],
)
def test_what_is_no_query_says_where(text: str, words: str) -> None:
    with pytest.raises(FarhandError) as caught:
        parse_query(text)
    assert caught.value.code == "query-invalid"
    assert words in caught.value.message


def test_work_names_all_devices_by_a_star() -> None:
    assert parse_query("*", must_pick=True) == AllOf(())
    with pytest.raises(FarhandError, match="query-invalid"):
        parse_query("  ", must_pick=True)


_WORDS = st.sampled_from(
    ["a", "(", ")", "AND", "OR", "NOT", "-", "*", "os:b", "software:x<1", "check:y=ok", '"', "tag:"]
)


@given(st.one_of(st.text(max_size=300), st.lists(_WORDS, max_size=60).map(" ".join)))
def test_any_text_is_a_query_or_refused_and_never_reaches_the_sql(text: str) -> None:
    query: Node = AllOf(())
    with contextlib.suppress(FarhandError):
        query = parse_query(text)
    plain = _replaced(query)
    dialects: list[Dialect] = [sqlite.dialect(), postgresql.dialect()]  # type: ignore[no-untyped-call]
    for dialect in dialects:
        shapes = {
            str(compile_query(one, _facts(one, dialect.name)).compile(dialect=dialect))
            for one in (query, plain)
        }
        kinds = {term.key for term in terms_of(query)}
        if not kinds & {"name", "check", "serial", "online", "confirmed", "conflict"}:
            assert len(shapes) == 1, "the words are only ever bound"
    assert sum(1 for _ in terms_of(query)) <= MAX_TERMS
    assert _depth(query) <= 2 * MAX_NESTING + 4


def _facts(query: Node, dialect: str) -> Facts:
    return Facts(
        tenant="n-x",
        dialect=dialect,
        online=["d-1"] if needs_presence(query) else [],
        installed=dict.fromkeys(terms_of(query), 6),
    )


def _replaced(node: Node) -> Node:
    if isinstance(node, Term):
        return Term(node.key, "word", node.operator, node.wanted)
    if isinstance(node, Not):
        return Not(_replaced(node.one))
    return type(node)(tuple(_replaced(one) for one in node.nodes))


def _depth(node: Node) -> int:
    if isinstance(node, Term):
        return 1
    inner = [node.one] if isinstance(node, Not) else list(node.nodes)
    return 1 + max(map(_depth, inner), default=0)
