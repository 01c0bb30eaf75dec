"""Matches parameter patterns in time linear in the value, whatever pattern and value are.

Patterns come with script manifests and values with orders, and both are checked at both ends, so
neither may stall a device.  Python's `re` backtracks: `^(a+)+$` against forty letters runs for
ever.  This module reads a small part of its language and follows all alternatives at once
(K. Thompson, CACM 11(6), 1968):

    x \\. \\t \\n      a character; backslash and punctuation is that punctuation
    .               any character but a line feed
    \\d \\w \\s        as in ASCII mode; \\D \\W \\S their opposites
    [a-z_] [^0-9]   a class, with ranges and the escapes above
    (..) (?:..)  |  groups and, inside them, alternatives
    * + ? {m} {m,} {m,n}   repetition (a `?` after it changes nothing in a whole match)

Left out are anchors inside, look-around, back-references, flags and POSIX classes.  Whatever is
accepted here matches the same strings as `re.fullmatch(..., re.ASCII)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

__all__ = ["MAX_PATTERN_CHARS", "Pattern", "PatternError", "compile_pattern"]

MAX_PATTERN_CHARS = 200
MAX_STATES = 8192
_MAX_DEPTH = 16
_SPECIAL = frozenset("\\.[](){}|*+?^$")
_DIGIT = frozenset("0123456789")
_WORD = _DIGIT | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE = frozenset(" \t\n\r\f\v")
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}


class PatternError(ValueError):
    """The pattern is outside the part of the language that this module reads."""


@dataclass(frozen=True, slots=True)
class _Set:
    """Characters: single ones and ranges, or everything but those."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def __contains__(self, symbol: str) -> bool:
        return any(low <= symbol <= high for low, high in self.ranges) != self.negated


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Node
    least: int
    most: int | None


_Node: TypeAlias = "_Set | _Sequence | _Choice | _Repeat"


def _single(symbols: frozenset[str] | str) -> tuple[tuple[str, str], ...]:
    return tuple((one, one) for one in sorted(symbols))


class _Reader:
    """Recursive descent over the pattern's text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> _Node:
        node = self._choice(0)
        if self._at < len(self._text):
            raise PatternError("a bracket is closed that was not opened")
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        symbol = self._peek()
        if not symbol:
            raise PatternError("the pattern ends too early")
        self._at += 1
        return symbol

    def _skip(self, symbol: str) -> bool:
        if self._text.startswith(symbol, self._at):
            self._at += len(symbol)
            return True
        return False

    def _choice(self, depth: int) -> _Node:
        if depth > _MAX_DEPTH:
            raise PatternError("groups are nested too deeply")
        parts = [self._sequence(depth)]
        while self._peek() == "|":
            if depth == 0:
                raise PatternError("alternatives must stand in a group")
            self._at += 1
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
        return _Sequence(tuple(parts))

    def _atom(self, depth: int) -> _Node:
        symbol = self._take()
        if symbol == "(":
            if self._peek() == "?" and not self._skip("?:"):
                raise PatternError("only plain groups are allowed")
            node = self._choice(depth + 1)
            if not self._skip(")"):
                raise PatternError("a group is not closed")
            return node
        if symbol == "[":
            return self._class()
        if symbol == ".":
            return _Set(_single("\n"), negated=True)
        if symbol == "\\":
            return self._escape()
        if symbol in _SPECIAL:
            raise PatternError(f"{symbol!r} is not allowed there")
        return _Set(_single(symbol))

    def _escape(self) -> _Set:
        symbol = self._take()
        if symbol.lower() in _CLASSES:
            return _Set(_single(_CLASSES[symbol.lower()]), negated=symbol.isupper())
        if symbol in _CONTROLS:
            return _Set(_single(_CONTROLS[symbol]))
        if not symbol.isascii() or symbol.isalnum():
            raise PatternError("an escape is not allowed")
        return _Set(_single(symbol))

    def _class(self) -> _Set:
        negated = self._skip("^")
        ranges: list[tuple[str, str]] = []
        while not self._skip("]"):
            low = self._member()
            if low.negated:
                raise PatternError("an opposite class cannot stand inside a class")
            following = self._text[self._at : self._at + 2]
            if following[:1] == "-" and following != "-]":
                self._at += 1
                high = self._member()
                if (
                    not len(low.ranges) == len(high.ranges) == 1
                    or high.ranges[0][0] < low.ranges[0][0]
                ):
                    raise PatternError("a range in a class is none")
                ranges.append((low.ranges[0][0], high.ranges[0][0]))
            else:
                ranges += low.ranges
        if not ranges:
            raise PatternError("a class is empty")
        return _Set(tuple(ranges), negated)

    def _member(self) -> _Set:
        symbol = self._take()
        if symbol == "\\":
            return self._escape()
        if symbol in "[]":
            raise PatternError("a bracket inside a class needs a backslash")
        return _Set(_single(symbol))

    def _repeated(self, node: _Node) -> _Node:
        symbol = self._peek()
        if symbol not in ("*", "+", "?", "{"):
            return node
        self._at += 1
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(symbol) or self._bounds()
        self._skip("?")
        if self._peek() in ("*", "+", "?", "{"):
            raise PatternError("a repetition is repeated")
        return _Repeat(node, least, most)

    def _bounds(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        first, comma, second = self._text[self._at : max(end, self._at)].partition(",")
        if end < 0 or not _is_count(first) or (second and not _is_count(second)):
            raise PatternError("a repetition's bounds cannot be read")
        self._at = end + 1
        least = int(first)
        most = int(second) if second else None if comma else least
        if most is not None and not 1 <= most >= least:
            raise PatternError("a repetition's bounds are the wrong way round or nothing")
        return least, most


def _is_count(text: str) -> bool:
    return 1 <= len(text) <= 4 and all(one in _DIGIT for one in text)


class Pattern:
    """A compiled pattern; share it freely, it does not change."""

    def __init__(self, text: str) -> None:
        # State n takes a character of `_takes[n]` to n + 1, or jumps to all of `_jumps[n]`.
        self._takes: list[_Set | None] = []
        self._jumps: list[list[int]] = []
        self._build(_Reader(text).read())
        self._accept = self._state(None)

    def matches(self, value: str) -> bool:
        """Tell whether the whole value matches; time is values's length times states at most."""
        states = self._reach([0])
        for symbol in value:
            states = self._reach(
                [n + 1 for n in states if (takes := self._takes[n]) and symbol in takes]
            )
            if not states:
                return False
        return self._accept in states

    def may_begin_with(self, symbol: str) -> bool:
        """Tell whether some matching value can begin with this character."""
        return any((takes := self._takes[n]) and symbol in takes for n in self._reach([0]))

    def _reach(self, states: list[int]) -> set[int]:
        reached: set[int] = set()
        while states:
            state = states.pop()
            if state not in reached:
                reached.add(state)
                states += self._jumps[state]
        return reached

    def _state(self, takes: _Set | None) -> int:
        if len(self._takes) >= MAX_STATES:
            raise PatternError("the pattern repeats too much")
        self._takes.append(takes)
        self._jumps.append([])
        return len(self._takes) - 1

    def _build(self, node: _Node) -> None:
        """Append the states of a node; the one after its last is where a match goes on."""
        if isinstance(node, _Set):
            self._state(node)
        elif isinstance(node, _Sequence):
            for part in node.parts:
                self._build(part)
            if not node.parts:
                # Every node adds a state, so that the bound on states bounds the work as well.
                nothing = self._state(None)
                self._jumps[nothing].append(nothing + 1)
        elif isinstance(node, _Choice):
            self._build_choice(node.parts)
        else:
            self._build_repeat(node)

    def _build_choice(self, parts: tuple[_Node, ...]) -> None:
        fork = self._state(None)
        ends: list[int] = []
        for part in parts:
            self._jumps[fork].append(len(self._takes))
            self._build(part)
            ends.append(self._state(None))
        for end in ends:
            self._jumps[end].append(len(self._takes))

    def _build_repeat(self, node: _Repeat) -> None:
        for _ in range(node.least):
            self._build(node.part)
        if node.most is None:
            fork = self._state(None)
            self._build(node.part)
            back = self._state(None)
            self._jumps[back].append(fork)
            self._jumps[fork] += [fork + 1, len(self._takes)]
            return
        forks: list[int] = []
        for _ in range(node.most - node.least):
            fork = self._state(None)
            forks.append(fork)
            self._jumps[fork].append(fork + 1)
            self._build(node.part)
        for fork in forks:
            self._jumps[fork].append(len(self._takes))


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """Compile `^...$`.

    Raises:
        PatternError: it is not anchored at both ends, too long, or outside the language above.
    """
    if not (len(text) >= 2 and text[0] == "^" and text[-1] == "$") or len(text) > MAX_PATTERN_CHARS:
        raise PatternError("the pattern is not anchored or too long")
    return Pattern(text[1:-1])
