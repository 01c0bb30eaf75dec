"""Conditions of rules: a closed set of fields, operators and values, judged by a pure function.

    operator                          true when
    is, is-not                        the field reads exactly so; case does not matter
    contains, lacks                   the words are somewhere in it
    starts-with                       it begins so
    in, not-in                        it is one of a list
    empty, not-empty                  nobody has said
    at-least, at-most                 numbers, and priorities by their weight (low is the least)

There is no expression, no pattern and nothing that takes long on a hostile text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from farhand_protocol.errors import UsageError

__all__ = ["FIELDS", "MAX_CONDITIONS", "OPERATORS", "Condition", "check_conditions", "first_unmet"]

MAX_CONDITIONS: Final = 20
_MAX_VALUE_CHARS: Final = 400
_MAX_VALUES: Final = 100

Operator = Literal[
    "is", "is-not", "contains", "lacks", "starts-with", "in", "not-in", "empty", "not-empty",
    "at-least", "at-most",
]  # fmt: skip
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
# `actor`, `channel` and `text` are of what happened, everything else of the ticket.
Field = Literal[
    "actor", "category", "channel", "device", "external_key", "impact", "kind", "language", "late",
    "organisation", "owner", "priority", "queue", "reopen_count", "requester", "security", "state",
    "state_reason", "text", "tier", "title", "urgency",
]  # fmt: skip
FIELDS: Final[tuple[Field, ...]] = get_args(Field)
_WEIGHTS: Final = {"low": 1, "normal": 2, "medium": 2, "high": 3, "urgent": 4}
_LISTS: Final = ("in", "not-in")
_BARE: Final = ("empty", "not-empty")
_NUMBERS: Final = ("at-least", "at-most")
_WEIGHED: Final = ("impact", "priority", "reopen_count", "tier", "urgency")


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One condition; `value` is a list for `in` and `not-in`, and left out for `empty`."""

    field: Field
    operator: Operator
    value: str | list[str] = ""

    def words(self) -> str:
        """Return it as a person writes it."""
        value = ",".join(self.value) if isinstance(self.value, list) else self.value
        return f"{self.field} {self.operator} {value}".strip()


def check_conditions(conditions: Sequence[Condition]) -> None:
    """Check what types cannot say.

    Raises:
        UsageError: `rule-malformed`.
    """
    if len(conditions) > MAX_CONDITIONS:
        raise UsageError("rule-malformed", f"a rule has at most {MAX_CONDITIONS} conditions")
    for one in conditions:
        _check(one)


def _check(one: Condition) -> None:
    values = one.value if isinstance(one.value, list) else [one.value]
    wrong = (
        isinstance(one.value, list) != (one.operator in _LISTS)
        or (one.operator in _BARE) != (values == [""])
        or not 0 < len(values) <= _MAX_VALUES
        or any(len(value) > _MAX_VALUE_CHARS for value in values)
    )
    if wrong:
        raise UsageError("rule-malformed", f"no condition: {one.words()[:200]!r}")
    if one.operator in _NUMBERS and (one.field not in _WEIGHED or _weight(one.value) is None):
        raise UsageError(
            "rule-malformed",
            f"{one.field} {one.operator} needs a number or a weight, as in priority at-least high",
        )


def first_unmet(conditions: Sequence[Condition], facts: Mapping[str, Any]) -> Condition | None:
    """Return the first condition that does not hold, or None when all do.

    Args:
        conditions: checked ones.
        facts: by `FIELDS`; what is not there is empty.
    """
    return next((one for one in conditions if not _holds(one, facts.get(one.field))), None)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).casefold().strip()


def _weight(value: Any) -> int | None:
    text = _plain(value)
    if text in _WEIGHTS:
        return _WEIGHTS[text]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


_JUDGES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "is": lambda found, wanted: found == wanted,
    "is-not": lambda found, wanted: found != wanted,
    "contains": lambda found, wanted: wanted in found,
    "lacks": lambda found, wanted: wanted not in found,
    "starts-with": lambda found, wanted: found.startswith(wanted),
    "empty": lambda found, wanted: not found,
    "not-empty": lambda found, wanted: bool(found),
}


def _holds(one: Condition, found: Any) -> bool:
    if isinstance(one.value, list):
        return (_plain(found) in map(_plain, one.value)) == (one.operator == "in")
    if one.operator in _NUMBERS:
        left, right = _weight(found), _weight(one.value)
        if left is None or right is None:
            return False
        return left >= right if one.operator == "at-least" else left <= right
    return _JUDGES[one.operator](_plain(found), _plain(one.value))
