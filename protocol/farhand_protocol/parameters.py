"""Script parameters: one JSON object, checked against the manifest's schema at both ends.

The schema is a small subset of JSON Schema 2020-12, so that what can reach a script is easy to
judge: a closed object of flat values; every string is bounded by an enum or by a pattern that must
match whole (`^...$`) and can not begin with `-`.  Any JSON Schema validator agrees with what is
accepted here; this module is stricter than they are (1.0 is no integer, no value is longer than
`MAX_STRING_CHARS` or beyond 2^53, `$` lets no line feed through), needs no library, so that the
device's order check stays small, and takes bounded time (`patterns`).
"""

from __future__ import annotations

import re
from typing import Any

from farhand_protocol.errors import FarhandError
from farhand_protocol.patterns import PatternError, compile_pattern

__all__ = ["MAX_STRING_CHARS", "check_parameters", "check_schema", "check_value"]

MAX_STRING_CHARS = 1024
_MAX_ENUM = 256
# The largest integer that every JSON implementation carries exactly (RFC 8259 s6).
_MAX_NUMBER = 2**53 - 1
_TYPES = {"string", "integer", "number", "boolean"}
_KEYS = {
    "string": {"type", "enum", "pattern", "default", "description", "maxLength", "minLength"},
    "integer": {"type", "minimum", "maximum", "default", "description", "enum"},
    "number": {"type", "minimum", "maximum", "default", "description"},
    "boolean": {"type", "default", "description"},
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_MAX_PARAMETERS = 32


def _invalid(words: str) -> FarhandError:
    return FarhandError("schema-invalid", words)


def _is_number(value: Any) -> bool:
    """Tell whether this is a JSON number that means the same everywhere."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # False for NaN and the infinities as well.
    return abs(value) <= _MAX_NUMBER


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _is_string(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_STRING_CHARS and not value.startswith("-")


def check_schema(schema: dict[str, Any]) -> None:
    """Check that a parameter schema keeps to the allowed subset.

    Raises:
        FarhandError: `schema-invalid`, saying where.
    """
    if set(schema) - {"type", "properties", "required", "additionalProperties"}:
        raise _invalid("the schema has keys that are not allowed")
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        raise _invalid("the schema must be a closed object")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or len(properties) > _MAX_PARAMETERS:
        raise _invalid("the schema's properties must be an object of at most 32")
    required = schema.get("required", [])
    if (
        not isinstance(required, list)
        or len(required) > _MAX_PARAMETERS
        or not all(isinstance(name, str) and name in properties for name in required)
    ):
        raise _invalid("the schema requires a parameter that it does not describe")
    for name, rule in properties.items():
        if not _NAME.match(name) or not isinstance(rule, dict):
            raise _invalid(f"parameter {name[:40]!r} is not allowed")
        _check_rule(name, rule)


def _check_rule(name: str, rule: dict[str, Any]) -> None:
    kind = rule.get("type")
    if not isinstance(kind, str) or kind not in _TYPES or set(rule) - _KEYS[kind]:
        raise _invalid(f"parameter {name!r} has a type or a key that is not allowed")
    if not isinstance(rule.get("description", ""), str):
        raise _invalid(f"parameter {name!r} has a description that is no text")
    if kind == "string":
        _check_string(name, rule)
    elif kind != "boolean":
        _check_number(name, rule)
    if "default" in rule:
        try:
            check_value(rule, rule["default"])
        except FarhandError as error:
            raise _invalid(f"parameter {name!r} has a default outside its own rule") from error


def _check_enum(name: str, rule: dict[str, Any]) -> None:
    enum = rule["enum"]
    fits = _is_string if rule["type"] == "string" else _is_integer
    if not isinstance(enum, list) or not 1 <= len(enum) <= _MAX_ENUM or not all(map(fits, enum)):
        raise _invalid(f"parameter {name!r} has an enum that is not allowed")


def _check_number(name: str, rule: dict[str, Any]) -> None:
    if not all(_is_number(rule[key]) for key in ("minimum", "maximum") if key in rule):
        raise _invalid(f"parameter {name!r} has a bound that is no number")
    if "enum" in rule:
        _check_enum(name, rule)


def _check_string(name: str, rule: dict[str, Any]) -> None:
    if not ("enum" in rule or "pattern" in rule):
        raise _invalid(f"parameter {name!r} is a string without an enum or a pattern")
    if "enum" in rule:
        _check_enum(name, rule)
    for key in ("minLength", "maxLength"):
        if key in rule and not (_is_integer(rule[key]) and rule[key] >= 0):
            raise _invalid(f"parameter {name!r} has a length bound that is not allowed")
    if "pattern" in rule:
        _check_pattern(name, rule["pattern"])


def _check_pattern(name: str, text: Any) -> None:
    if not isinstance(text, str):
        raise _invalid(f"parameter {name!r} has a pattern that is no text")
    try:
        pattern = compile_pattern(text)
    except PatternError as error:
        raise _invalid(f"parameter {name!r}: {error}") from error
    if pattern.may_begin_with("-"):
        raise _invalid(f"parameter {name!r} could begin with a hyphen")


def check_value(rule: dict[str, Any], value: Any) -> None:
    """Check one value against one property's rule, which `check_schema` has accepted.

    Raises:
        FarhandError: `parameters-invalid`.
    """
    kind = rule["type"]
    if kind == "boolean":
        fits = isinstance(value, bool)
    elif kind == "string":
        fits = _is_string(value) and (
            rule.get("minLength", 0) <= len(value) <= rule.get("maxLength", MAX_STRING_CHARS)
            and ("pattern" not in rule or compile_pattern(rule["pattern"]).matches(value))
        )
    else:
        fits = (_is_integer if kind == "integer" else _is_number)(value) and (
            rule.get("minimum", value) <= value <= rule.get("maximum", value)
        )
    if not fits or ("enum" in rule and value not in rule["enum"]):
        raise FarhandError("parameters-invalid", "a value is outside its rule")


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Check parameters against a schema and return them with defaults filled in.

    Raises:
        FarhandError: `schema-invalid`, or `parameters-invalid` naming the parameter.
    """
    check_schema(schema)
    properties: dict[str, Any] = schema.get("properties", {})
    for name in parameters:
        if name not in properties:
            raise FarhandError("parameters-invalid", f"there is no parameter {name[:40]!r}")
    filled = {n: r["default"] for n, r in properties.items() if "default" in r} | parameters
    for name in schema.get("required", []):
        if name not in filled:
            raise FarhandError("parameters-invalid", f"parameter {name!r} is missing")
    for name, value in filled.items():
        try:
            check_value(properties[name], value)
        except FarhandError as error:
            raise FarhandError(
                "parameters-invalid",
                f"parameter {name!r} is outside what the script allows",
            ) from error
    return filled
