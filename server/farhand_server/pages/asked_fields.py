"""What a kind of request asks besides: a form of the desk as fields of a page, and back.

Not what decides: `desk.ticket_fields` checks whatever came.  A page works without scripts, so it
asks what the kind that was chosen asks; where another one is chosen on it that needs more, it is
shown once again.  `since` has a field of its own on the page, in the reader's language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from farhand_protocol.errors import UsageError
from farhand_server.desk.ticket_fields import MAX_FIELD_CHARS, Field, Form
from farhand_server.wording import MAX_LINE_CHARS

__all__ = ["AskedField", "asked_fields", "read_fields", "since_chars"]

_SINCE: Final = "since"
# No field of ours is called so, whatever the desk calls its own.
_BEFORE: Final = "field_"
_NUMBERS: Final = {"integer": int, "number": float}


class AskedField(NamedTuple):
    """One field of the page."""

    name: str
    label: str
    hint: str
    shown_as: Literal["line", "text", "date", "number", "choice", "yes-no"]
    required: bool
    values: tuple[str, ...] = ()
    max_chars: int = MAX_LINE_CHARS
    least: float | None = None
    most: float | None = None
    step: str = "1"


def since_chars(form: Form) -> int:
    """Return how long an answer to "since when" may be; 0 where a kind does not ask in words."""
    field = form.properties.get(_SINCE)
    if field is None or field.type != "string":
        return 0
    if field.enum is not None or field.format or field.min_length:
        return 0
    return min(field.max_length or MAX_LINE_CHARS, MAX_LINE_CHARS)


def asked_fields(form: Form) -> list[AskedField]:
    """Return what a page asks besides `since`, what is required first."""
    asked = [
        _asked(name, field, required=name in form.required)
        for name, field in form.properties.items()
        if not (name == _SINCE and since_chars(form))
    ]
    return sorted(asked, key=lambda one: not one.required)


def _asked(name: str, field: Field, *, required: bool) -> AskedField:
    asked = AskedField(_BEFORE + name, field.title or name, field.description, "line", required)
    if field.enum is not None:
        return asked._replace(shown_as="choice", values=tuple(field.enum))
    if field.type == "boolean":
        return asked._replace(shown_as="yes-no")
    if field.type in _NUMBERS:
        step = "1" if field.type == "integer" else "any"
        return asked._replace(shown_as="number", least=field.minimum, most=field.maximum, step=step)
    if field.format == "date":
        return asked._replace(shown_as="date")
    chars = field.max_length or MAX_FIELD_CHARS
    return asked._replace(shown_as="text" if chars > MAX_LINE_CHARS else "line", max_chars=chars)


def read_fields(form: Form, given: Mapping[str, str]) -> dict[str, Any]:
    """Return what was answered; whether that is enough, `check_fields` says.

    Args:
        form: of the kind of request.
        given: what the page sent.

    Raises:
        UsageError: `fields-invalid` for a number that is none.
    """
    found: dict[str, Any] = {}
    for name, field in form.properties.items():
        text = given.get(_BEFORE + name, "").strip()
        if name == _SINCE and since_chars(form):
            # One that is too long stands in the words of the request instead.
            text = given.get(_SINCE, "").strip()
            text = text if len(text) <= since_chars(form) else ""
        if text:
            found[name] = _value(field, text)
    return found


def _value(field: Field, text: str) -> object:
    if field.type == "boolean":
        return text == "yes"
    read = _NUMBERS.get(field.type)
    if read is None:
        return text
    try:
        return read(text[:40])
    except ValueError as error:
        raise UsageError("fields-invalid", f"{field.title or 'a field'} is a number") from error
