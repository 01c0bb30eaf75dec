"""The language in which people pick devices: read to a tree.  Pure: no database.

    *                             every device
    kiosk                         a word: part of name, host name, or the start of the id
    os:debian                     part of the operating system's name, id, or what it is like
    group:sales                   exactly that group
    tag:lab                       exactly that tag
    name:front-desk               exactly that name, `*` for anything: name:front-*
    id:d-abc                      exactly that id
    online:true                   connected now (or false)
    confirmed:true                confirmed (or false)
    conflict:true                 its key was seen on two links (or false)
    version:0.1                   agents whose version begins so
    kind:printer                  agent, or what an agentless device is
    software:openssl              has that package, `*` for anything: software:python3-*
    software:"openssl<3.0.17"     has it in such a version: = != < <= > >=
    check:disk.space=critical     that check's newest known state; check:*=critical for any check
    check:disk.space              that check has been seen
    serial:ABC123                 as it is recorded, or as firmware says it (no fillers)

    os:debian tag:lab             both; AND may stand between
    tag:lab OR tag:gate           one or the other
    NOT group:sales, -group:sales not that
    (tag:lab OR tag:gate) -online:true
    "two words" os:"..."          quotes keep spaces, and take their meaning from `(`, `-`, `:`, OR

    query  :=  both ( OR both )*            OR binds less than AND
    both   :=  one ( [AND] one )*
    one    :=  ( NOT | - ) one  |  ( query )  |  term

AND, OR and NOT are words only in capitals.  Case does not matter elsewhere, except in tags, groups,
and versions, which are kept as written.  An error says at which character.  Retired devices never
match.  A key is an entry in `KEYS` and a function in `fleet.query_sql`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_server.fleet.check_states import CHECK_STATES
from farhand_server.fleet.versions import OPERATORS

__all__ = ["MAX_QUERY_CHARS", "AllOf", "AnyOf", "Node", "Not", "Term", "parse_query", "terms_of"]

MAX_QUERY_CHARS: Final = 1_000
MAX_TERMS: Final = 32
MAX_NESTING: Final = 16

_BOOLEAN: Final = frozenset({"online", "confirmed", "conflict"})
KEYS: Final = (
    "os", "group", "tag", "name", "id", "online", "confirmed", "conflict", "version", "kind",
    "software", "check", "serial",
)  # fmt: skip
_COMPARED: Final = re.compile(r"(.*?)\s*(<=|>=|!=|<|>|=)\s*(.*)", re.DOTALL)


class Term(msgspec.Struct, frozen=True):
    """One condition; `key` is empty for a plain word.

    `operator` and `wanted` are set for `software` (a version) and `check` (a state) where the query
    names one.
    """

    key: str
    value: str
    operator: str = ""
    wanted: str = ""


class Not(msgspec.Struct, frozen=True):
    """What does not match the inner one."""

    one: Node


class AllOf(msgspec.Struct, frozen=True):
    """What matches each; every device where there is none."""

    nodes: tuple[Node, ...]


class AnyOf(msgspec.Struct, frozen=True):
    """What matches at least one."""

    nodes: tuple[Node, ...]


Node = Term | Not | AllOf | AnyOf


class _Token(msgspec.Struct, frozen=True):
    """A sign `(`, `)`, `-`, an AND, OR, NOT, or a word: its text, and where its key ends."""

    kind: str
    at: int
    text: str = ""
    colon: int | None = None


def parse_query(text: str, *, must_pick: bool = False) -> Node:
    """Read a query.

    Args:
        text: the query.
        must_pick: refuse an empty query, as work for devices needs: all of them are named by `*`,
            never by saying nothing.

    Returns:
        A tree of at most `MAX_TERMS` terms; `AllOf(())` for the empty query and for `*`.

    Raises:
        FarhandError: `query-invalid`, naming what is wrong and where.
    """
    if len(text) > MAX_QUERY_CHARS or "\0" in text:
        raise _invalid(f"a query has at most {MAX_QUERY_CHARS} characters")
    tokens = list(_tokens(text))
    if not tokens:
        if must_pick:
            raise _invalid("the query is empty; `*` means every device")
        return AllOf(())
    reader = _Reader(tokens, end=len(text))
    found = reader.query(0)
    if (left := reader.next) is not None:
        raise _invalid(f"there is no `(` for this `{left.kind}`", left.at)
    return found


def terms_of(node: Node) -> Iterator[Term]:
    """Yield every term of a query."""
    if isinstance(node, Term):
        yield node
    elif isinstance(node, Not):
        yield from terms_of(node.one)
    else:
        for one in node.nodes:
            yield from terms_of(one)


def _invalid(words: str, at: int | None = None) -> FarhandError:
    place = "" if at is None else f"at character {at + 1}: "
    return FarhandError(
        "query-invalid",
        place + words,
        hint="words, `*`, "
        + ", ".join(f"{key}:" for key in KEYS)
        + ", - or NOT, AND, OR and parentheses",
    )


# Tokens.


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        character = text[at]
        if character.isspace():
            at += 1
        elif character in "()":
            yield _Token(character, at)
            at += 1
        elif character == "-" and text[at + 1 : at + 2].strip():
            yield _Token("-", at)
            at += 1
        else:
            token, at = _word(text, at)
            yield token


def _word(text: str, start: int) -> tuple[_Token, int]:
    """Read a word up to a space or parenthesis outside quotes; the quotes go."""
    letters: list[str] = []
    quoted_since: int | None = None
    was_quoted = False
    colon: int | None = None
    at = start
    while at < len(text):
        character = text[at]
        if character == '"':
            if quoted_since is not None and not _ends_word(text, at + 1):
                raise _invalid("something follows this quote; put a space between", at)
            quoted_since = at if quoted_since is None else None
            was_quoted = True
        elif quoted_since is None and (character.isspace() or character in "()"):
            break
        else:
            if character == ":" and quoted_since is None and colon is None:
                colon = len(letters)
            letters.append(character)
        at += 1
    if quoted_since is not None:
        raise _invalid("this quote is not closed", quoted_since)
    word = "".join(letters)
    kind = word if word in ("AND", "OR", "NOT") and not was_quoted else "word"
    return _Token(kind, start, word, colon), at


def _ends_word(text: str, at: int) -> bool:
    return at == len(text) or text[at].isspace() or text[at] in "()"


# The tree.


class _Reader:
    """Reads tokens from left to right, one function for each rule."""

    def __init__(self, tokens: list[_Token], *, end: int) -> None:
        self._tokens = tokens
        self._end = end
        self._at = 0
        self._terms = 0

    @property
    def next(self) -> _Token | None:
        """The token to come."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _is(self, *kinds: str) -> bool:
        return self.next is not None and self.next.kind in kinds

    def query(self, depth: int) -> Node:
        """Read alternatives."""
        found = [self._both(depth)]
        while self._is("OR"):
            self._at += 1
            found.append(self._both(depth))
        return found[0] if len(found) == 1 else AnyOf(tuple(found))

    def _both(self, depth: int) -> Node:
        found = [self._one(depth)]
        while self.next is not None and not self._is("OR", ")"):
            if self._is("AND"):
                self._at += 1
            found.append(self._one(depth))
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def _one(self, depth: int) -> Node:
        token = self.next
        if token is None:
            raise _invalid("the query ends where something should follow", self._end)
        if token.kind in ("AND", "OR", ")"):
            raise _invalid(f"something should stand before `{token.kind}`", token.at)
        if depth > MAX_NESTING:
            raise _invalid(f"more than {MAX_NESTING} levels", token.at)
        self._at += 1
        if token.kind in ("NOT", "-"):
            inner = self._one(depth + 1)
            if inner == AllOf(()):
                raise _invalid("not `*` would be no device at all", token.at)
            return Not(inner)
        if token.kind == "(":
            found = self.query(depth + 1)
            if not self._is(")"):
                raise _invalid("this `(` is not closed", token.at)
            self._at += 1
            return found
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise _invalid(f"a query has at most {MAX_TERMS} terms", token.at)
        return _term(token)


def _term(token: _Token) -> Node:
    if token.text == "*" and token.colon is None:
        return AllOf(())
    if token.colon is None:
        if not token.text:
            raise _invalid("an empty word matches nothing", token.at)
        return Term("", token.text)
    key, value = token.text[: token.colon].lower(), token.text[token.colon + 1 :]
    if key not in KEYS:
        raise _invalid(f"there is no key {key[:40]!r}", token.at)
    if not value:
        raise _invalid(f"{key}: needs a value", token.at)
    if key in _BOOLEAN and value.lower() not in ("true", "false"):
        raise _invalid(f"{key} is true or false", token.at)
    if key == "software":
        return _software(value, token.at)
    if key == "check":
        return _check(value, token.at)
    return Term(key, value)


def _software(value: str, at: int) -> Term:
    compared = _COMPARED.fullmatch(value)
    if compared is None:
        return Term("software", value.strip())
    name, operator, version = compared[1].strip(), compared[2], compared[3].strip()
    if not name or not version or operator not in OPERATORS:
        raise _invalid("write it as software:NAME<VERSION", at)
    return Term("software", name, operator, version)


def _check(value: str, at: int) -> Term:
    check, equals, state = (part.strip().lower() for part in value.partition("="))
    if not check or (equals and state not in CHECK_STATES):
        raise _invalid(f"a check's state is one of {', '.join(CHECK_STATES)}", at)
    # The approved script check.X is a wrapper of the check X.
    return Term("check", check.removeprefix("check."), equals, state)
