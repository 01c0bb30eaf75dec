"""Script parameters: one JSON object, checked against the manifest's schema at both ends.

The schema is a small subset of JSON Schema 2020-12, so that what can reach a script is easy to
judge: a closed object of flat values; every string is bounded by an enum or by a pattern that must
match whole (`^...$`) and can not begin with `-`.
"""

from __future__ import annotations

import re
from typing import Any

import jsonschema

from farhand_protocol.errors import FarhandError

__all__ = ["check_parameters", "check_schema"]

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
    if not isinstance(required, list) or any(name not in properties for name in required):
        raise _invalid("the schema requires a parameter that it does not describe")
    for name, rule in properties.items():
        if not _NAME.match(name) or not isinstance(rule, dict):
            raise _invalid(f"parameter {name[:40]!r} is not allowed")
        _check_rule(name, rule)


def _check_rule(name: str, rule: dict[str, Any]) -> None:
    kind = rule.get("type")
    if not isinstance(kind, str) or kind not in _TYPES or set(rule) - _KEYS[kind]:
        raise _invalid(f"parameter {name!r} has a type or a key that is not allowed")
    if kind == "string":
        _check_string(name, rule)
    if "default" in rule:
        try:
            check_value(rule, rule["default"])
        except FarhandError as error:
            raise _invalid(f"parameter {name!r} has a default outside its own rule") from error


def _check_string(name: str, rule: dict[str, Any]) -> None:
    enum, pattern = rule.get("enum"), rule.get("pattern")
    if enum is not None:
        if (
            not isinstance(enum, list)
            or not enum
            or not all(isinstance(v, str) and not v.startswith("-") for v in enum)
        ):
            raise _invalid(f"parameter {name!r} has an enum that is not allowed")
    elif isinstance(pattern, str):
        _check_pattern(name, pattern)
    else:
        raise _invalid(f"parameter {name!r} is a string without an enum or a pattern")


def _check_pattern(name: str, pattern: str) -> None:
    if not (pattern.startswith("^") and pattern.endswith("$")) or len(pattern) > 200:
        raise _invalid(f"parameter {name!r} has a pattern that is not anchored or too long")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise _invalid(f"parameter {name!r} has a pattern that cannot be read") from error
    inner = pattern[1:-1]
    if "|" in inner and not (inner.startswith("(") and inner.endswith(")")):
        raise _invalid(f"parameter {name!r} has alternatives outside brackets")
    if compiled.match("-") or compiled.match("--") or compiled.match("-a"):
        raise _invalid(f"parameter {name!r} could begin with a hyphen")


def check_value(rule: dict[str, Any], value: Any) -> None:
    """Check one value against one property's rule.

    Raises:
        FarhandError: `parameters-invalid`.
    """
    kind = rule["type"]
    if kind == "string" and isinstance(value, str):
        # `$` alone would let a trailing newline through, and patterns are meant to match whole.
        pattern = rule.get("pattern")
        if value.startswith("-") or (pattern and not re.fullmatch(pattern[1:-1], value)):
            raise FarhandError("parameters-invalid", "a string is outside its pattern")
    try:
        jsonschema.Draft202012Validator(rule).validate(value)
    except jsonschema.ValidationError as error:
        raise FarhandError(
            "parameters-invalid", "a value is outside its rule", detail=error.message
        ) from error


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
                detail=error.detail,
            ) from error
    return filled
