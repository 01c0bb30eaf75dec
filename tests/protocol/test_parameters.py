"""Parameters: the subset, its bounds, and agreement with jsonschema as an independent judge."""

from __future__ import annotations

import math
import re
from typing import Any

import jsonschema
import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.parameters import check_parameters, check_schema, check_value
from farhand_protocol.patterns import MAX_STATES, PatternError, compile_pattern


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


NAME = {"type": "string", "pattern": "^[a-z]{1,5}$"}
SCHEMA = closed(
    name=NAME,
    count={"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
    ratio={"type": "number", "minimum": 0},
    force={"type": "boolean", "default": False, "description": "even if it is in use"},
    mode={"type": "string", "enum": ["fast", "slow"], "default": "slow"},
    level={"type": "integer", "enum": [1, 2]},
) | {"required": ["name"]}


def test_parameters_come_back_with_their_defaults() -> None:
    filled = {"name": "ada", "count": 3, "force": False, "mode": "slow"}
    assert check_parameters(SCHEMA, {"name": "ada"}) == filled
    assert check_parameters(SCHEMA, {"name": "ada", "ratio": 0.5})["ratio"] == 0.5
    assert check_parameters(closed(), {}) == {}
    assert check_parameters({"type": "object", "additionalProperties": False}, {}) == {}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"name": "ada", "other": 1},
        {"name": "Ada"},
        {"name": ""},
        {"name": "ada\n"},
        {"name": 1},
        {"name": None},
        {"name": "ada", "count": 0},
        {"name": "ada", "count": 10},
        {"name": "ada", "count": 1.0},
        {"name": "ada", "count": True},
        {"name": "ada", "count": "1"},
        {"name": "ada", "ratio": math.nan},
        {"name": "ada", "ratio": math.inf},
        {"name": "ada", "ratio": 2**53},
        {"name": "ada", "ratio": 10**400},
        {"name": "ada", "ratio": -0.1},
        {"name": "ada", "force": 1},
        {"name": "ada", "mode": "medium"},
        {"name": "ada", "mode": ["fast"]},
        {"name": "ada", "level": 3},
    ],
)
def test_parameters_outside_their_rules_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(FarhandError, match="parameters-invalid"):
        check_parameters(SCHEMA, parameters)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array", "additionalProperties": False},
        closed() | {"$ref": "http://relay/schema"},
        closed() | {"properties": []},
        closed(**{f"p{n}": {"type": "boolean"} for n in range(33)}),
        closed(name=NAME) | {"required": "name"},
        closed(name=NAME) | {"required": ["other"]},
        closed(name=NAME) | {"required": [["name"]]},
        closed(name=NAME) | {"required": ["name"] * 33},
        closed(**{"--name": NAME}),
        closed(**{"name\n": NAME}),
        closed(name=[]),
        closed(name={}),
        closed(name={"type": ["string"]}),
        closed(name={"type": "object"}),
        closed(name={"type": "boolean", "minimum": 1}),
        closed(name={"type": "boolean", "description": 1}),
        closed(name={"type": "boolean", "default": "yes"}),
        closed(name={"type": "integer", "minimum": "1"}),
        closed(name={"type": "number", "maximum": math.nan}),
        closed(name={"type": "integer", "maximum": True}),
        closed(name={"type": "integer", "enum": [1.5]}),
        closed(name={"type": "string"}),
        closed(name={"type": "string", "maxLength": 5}),
        closed(name={"type": "string", "enum": []}),
        closed(name={"type": "string", "enum": None}),
        closed(name={"type": "string", "enum": ["--all"]}),
        closed(name={"type": "string", "enum": ["a", 1]}),
        closed(name={"type": "string", "enum": ["x"] * 257}),
        closed(name={"type": "string", "enum": ["x" * 1025]}),
        closed(name={"type": "string", "enum": ["a"], "pattern": "^("}),
        closed(name={"type": "string", "pattern": 1}),
        closed(name={"type": "string", "pattern": "[a-z]"}),
        closed(name={"type": "string", "pattern": "^-?[0-9]+$"}),
        closed(name={"type": "string", "pattern": "^.$"}),
        closed(name={"type": "string", "pattern": "^(|x)-$"}),
        closed(name=NAME | {"maxLength": -1}),
        closed(name=NAME | {"minLength": 1.0}),
        closed(name=NAME | {"default": "TOO"}),
    ],
)
def test_schemas_outside_the_subset_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(FarhandError, match="schema-invalid"):
        check_schema(schema)
    with pytest.raises(FarhandError, match="schema-invalid"):
        check_parameters(schema, {})


def test_lengths_are_bounded() -> None:
    rule = {"type": "string", "pattern": "^[a-z]*$", "minLength": 2, "maxLength": 3}
    for value in ("ab", "abc"):
        check_value(rule, value)
    for value in ("a", "abcd"):
        with pytest.raises(FarhandError, match="parameters-invalid"):
            check_value(rule, value)
    long = {"type": "string", "pattern": "^[a-z]*$"}
    check_value(long, "a" * 1024)
    with pytest.raises(FarhandError, match="parameters-invalid"):
        check_value(long, "a" * 1025)


def test_whatever_is_accepted_jsonschema_accepts_too() -> None:
    values: list[Any] = ["ada", "Ada", "", "ada\n", 0, 1, 3, 10, 1.0, 0.5, True, None, "fast", []]
    accepted = 0
    for name, rule in SCHEMA["properties"].items():
        for value in values:
            try:
                check_value(rule, value)
            except FarhandError:
                continue
            jsonschema.Draft202012Validator(rule).validate(value)
            accepted += 1
            assert name
    assert accepted >= 10


# Patterns.

MATCHES = [
    ("^abc$", ["abc"], ["ab", "abcd", "abc\n", ""]),
    ("^$", [""], ["a"]),
    ("^[a-z0-9][a-z0-9._-]{0,3}$", ["a", "a.-_"], ["-a", "a.-_x"]),
    ("^KB[0-9]{6,8}$", ["KB123456", "KB12345678"], ["KB12345", "KB123456789"]),
    ("^([0-9]{1,3}\\.){3}[0-9]{1,3}$", ["10.0.0.1"], ["10.0.0", "10.0.0.1."]),
    ("^(?:a|bc)+d?$", ["a", "bcad", "abcabc"], ["", "d", "b"]),
    ("^a{2}b{2,}$", ["aabb", "aabbbb"], ["abb", "aab"]),
    ("^\\d\\w\\s\\D\\W\\S$", ["1a x-y"], ["1a 1-y", "\u0661a x-y"]),
    ("^[^\\n]\\t[\\]\\-x]$", ["a\t]", "b\t-"], ["\n\tx", "a\ty"]),
    ("^a.c$", ["abc", "a\u00e9c"], ["a\nc"]),
    ("^(|a)b$", ["b", "ab"], ["a"]),
    ("^a*?b+?$", ["b", "aab", "bb"], ["a"]),
    ("^[a-]$", ["a", "-"], ["b"]),
    ("^[--\\\\]$", ["-", "A", "\\"], ["]"]),
    ("^()a$", ["a"], [""]),
    ("^[^a-c]$", ["d", "\u00e9"], ["b"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), MATCHES, ids=lambda value: str(value)[:30])
@pytest.mark.filterwarnings("ignore:Possible set difference:FutureWarning")
def test_patterns_match_as_re_does(pattern: str, good: list[str], bad: list[str]) -> None:
    for value in good + bad:
        assert compile_pattern(pattern).matches(value) is (value in good)
        assert bool(re.fullmatch(pattern[1:-1], value, re.ASCII)) is (value in good)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^",
        "a",
        "^a",
        "a$",
        "^" + "a" * 199 + "$",
        "^a|b$",
        "^(a$",
        "^a)$",
        "^(?=a)$",
        "^(?P<n>a)$",
        "^(?i:a)$",
        "^(a)\\1$",
        "^\\b$",
        "^\\u00e9$",
        "^\\\u00e9$",
        "^\\$",
        "^[a$",
        "^[$",
        "^[]$",
        "^[^]$",
        "^[[:alpha:]]$",
        "^[z-a]$",
        "^[\\d-z]$",
        "^[a-\\d]$",
        "^[\\D]$",
        "^a**$",
        "^a*+$",
        "^a{2}{3}$",
        "^*$",
        "^a{$",
        "^a{,3}$",
        "^a{x}$",
        "^a{1,x}$",
        "^a{3,2}$",
        "^a{0}$",
        "^a{99999}$",
        "^a^b$",
        "^a$b$",
        "^((a{999}){999}){999}$",
        "^((){9999}){9999}$",
        "^" + "(" * 20 + ")" * 20 + "$",
    ],
)
def test_patterns_outside_the_language_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


def test_no_pattern_stalls_its_reader() -> None:
    # Python's re needs 2^40 steps for the first of these; each is a few thousand here.
    for pattern in ("^(a+)+$", "^(a|aa)+$", "^(a*)*$", "^a*a*a*a*a*a*a*b$"):
        assert not compile_pattern(pattern).matches("a" * 40 + "!")
    assert compile_pattern(f"^a{{1,{MAX_STATES // 2 - 2}}}$").matches("a" * 1000)


@pytest.mark.parametrize(
    ("pattern", "may"),
    [("^a-$", False), ("^-$", True), ("^(b|[+-])$", True), ("^x*-$", True), ("^[^a]$", True)],
)
def test_it_is_known_how_a_value_can_begin(pattern: str, may: bool) -> None:
    assert compile_pattern(pattern).may_begin_with("-") is may
