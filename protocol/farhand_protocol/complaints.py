"""What msgspec says of a value that does not fit, in words for a person.

The library speaks of its own types and of paths (`Expected `str` of length <= 400 - at `$.title``);
whoever typed the value should read `title has at most 400 characters`.  What is not known here
becomes a sentence without details: no library's words ever leave.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = ["plain_reason", "plain_words"]

_MAX_NAME_CHARS = 80
_PATH = re.compile(r" - at `(?:key in )?\$?\.?([^`]*)`\Z")
_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a set of named fields",
    "null": "nothing",
    "bytes": "base64",
    "datetime": "a time",
}
_SIZES = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_UNITS = {"str": "characters", "bytes": "bytes", "array": "items", "object": "fields"}


def plain_words(message: str, where: str = "") -> str:
    """Return one sentence about a value that msgspec refused.

    Args:
        message: what `msgspec.ValidationError` says, with its path or without.
        where: the field's name, where the message has no path.
    """
    if path := _PATH.search(message):
        where = path[1] or where
        message = message[: path.start()]
    name = where[:_MAX_NAME_CHARS] or "the value"
    for pattern, words in _SENTENCES:
        if found := pattern.match(message):
            return words(name, *found.groups())
    return f"{name} cannot be read"


def plain_reason(error: BaseException) -> str:
    """Return what is wrong with a file or a value, from the error that its reader met."""
    if isinstance(error, FarhandError):
        return error.message
    if isinstance(error, msgspec.ValidationError):
        return plain_words(str(error))
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    words = ""
    if isinstance(error, OSError):
        words = error.strerror or ""
    elif isinstance(error, tomllib.TOMLDecodeError):
        words = str(error)
    return words[:1].lower() + words[1:] or "it cannot be read"


def _length(name: str, kind: str, sign: str, bound: str) -> str:
    return f"{name} has {_SIZES[sign]} {bound} {_UNITS[kind]}"


def _number(name: str, _kind: str, sign: str, bound: str) -> str:
    return f"{name} is {_SIZES[sign]} {bound}"


def _type(name: str, wanted: str, _got: str) -> str:
    kinds = [_TYPES.get(one.strip(), "") for one in wanted.split("|")]
    return f"{name} is {' or '.join(kinds)}" if all(kinds) else f"{name} is of another kind"


def _form(name: str, *_: str) -> str:
    return f"{name} is not of the form that is wanted"


def _missing(name: str, field: str) -> str:
    return f"{_within(name, field)} is missing"


def _unknown(name: str, field: str) -> str:
    return f"there is no field {_within(name, field)!r}"


def _choice(name: str, value: str) -> str:
    return f"{name} cannot be {value[:_MAX_NAME_CHARS]}"


def _within(name: str, field: str) -> str:
    field = field[:_MAX_NAME_CHARS]
    return field if name == "the value" else f"{name}.{field}"


_SENTENCES: list[tuple[re.Pattern[str], Callable[..., str]]] = [
    (re.compile(r"Expected `(str|bytes|array|object)` of length (<=|>=|<|>) (\d+)\Z"), _length),
    (re.compile(r"Expected `(int|float)` (<=|>=|<|>) (-?[\d.]+)\Z"), _number),
    (re.compile(r"Expected `([^`]+)`, got `([^`]+)`\Z"), _type),
    (re.compile(r"Expected `str` matching regex "), _form),
    (re.compile(r"Object missing required field `([^`]+)`\Z"), _missing),
    (re.compile(r"Object contains unknown field `([^`]+)`\Z"), _unknown),
    (re.compile(r"Invalid enum value (.+)\Z", re.DOTALL), _choice),
]
