"""What is asked besides, for each kind of ticket: a form is a small part of JSON Schema.

A form is an object of at most `MAX_FIELDS` fields without nesting; each is a text (with a list of
values, lengths, or `format: date`), a whole number, a number (with bounds), or yes and no.  Words
of JSON Schema that are not understood are refused: nobody shall trust a rule that is not kept.
What a ticket was made with stays when the form changes; a change of its fields is held to the new.

Nobody has to make a form: an incident is asked since when, unless an admin's form says otherwise.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_forms
from farhand_server.wording import MAX_LINE_CHARS, check_body, check_line

__all__ = [
    "MAX_FIELDS",
    "MAX_FIELD_CHARS",
    "Field",
    "Form",
    "KeptForm",
    "check_fields",
    "get_form",
    "list_forms",
    "set_form",
]

MAX_FIELDS: Final = 40
MAX_FIELD_CHARS: Final = 4_000
_MAX_VALUES: Final = 100
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Field(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """One field; `title` is what people read, its name where there is none."""

    type: Literal["string", "integer", "number", "boolean"]
    title: str = ""
    description: str = ""
    enum: list[str] | None = None
    min_length: int | None = None
    max_length: int | None = None
    format: Literal["date"] | None = None
    minimum: float | None = None
    maximum: float | None = None


class Form(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """The fields of one kind of ticket, as a JSON Schema says it."""

    type: Literal["object"] = "object"
    properties: dict[str, Field] = {}
    required: list[str] = []
    additional_properties: Literal[False] = False


_BUILT_IN: Final[dict[str, Form]] = {
    "incident": Form(properties={"since": Field(type="string", title="Since when", max_length=200)})
}


class KeptForm(msgspec.Struct, frozen=True, kw_only=True):
    """A form and whose it is."""

    kind: str
    form: Form
    changed_by: str
    changed_at: str


async def get_form(c: AsyncConnection, tenant: str, kind: str) -> Form:
    """Return the form of a kind of ticket; the built-in one, or none, where nobody made any."""
    query = select(ticket_forms.c.definition).where(
        ticket_forms.c.tenant == tenant, ticket_forms.c.kind == kind
    )
    text = await c.scalar(query)
    if text is None:
        return _BUILT_IN.get(kind, Form())
    return msgspec.json.decode(text, type=Form)


async def list_forms(c: AsyncConnection, tenant: str) -> list[KeptForm]:
    """Return the forms that ask something and that somebody made, by kind; few."""
    query = select(ticket_forms).where(ticket_forms.c.tenant == tenant)
    kept = [
        KeptForm(
            kind=row["kind"],
            form=msgspec.json.decode(row["definition"], type=Form),
            changed_by=row["changed_by"],
            changed_at=row["changed_at"],
        )
        for row in (await c.execute(query.order_by(ticket_forms.c.kind))).mappings()
    ]
    return [one for one in kept if one.form.properties]


async def set_form(
    c: AsyncConnection, relay: Relay, *, kind: str, form: Form, actor: str
) -> KeptForm:
    """Replace the form of a kind of ticket; one without fields takes it away.

    Raises:
        UsageError: `form-invalid`.
    """
    _check_form(form)
    await relay.audit.append(c, actor=actor, action="form.set", subject=kind)
    mine = (ticket_forms.c.tenant == relay.tenant, ticket_forms.c.kind == kind)
    await c.execute(delete(ticket_forms).where(*mine))
    kept = KeptForm(kind=kind, form=form, changed_by=actor, changed_at=relay.stamp())
    # Where a form is built in, one without fields is kept: it says that nothing is asked.
    if form.properties or kind in _BUILT_IN:
        await c.execute(
            insert(ticket_forms).values(
                tenant=relay.tenant,
                kind=kind,
                definition=msgspec.json.encode(form).decode(),
                changed_by=actor,
                changed_at=kept.changed_at,
            )
        )
    return kept


def _wrong(words: str) -> UsageError:
    return UsageError("form-invalid", words)


def _check_form(form: Form) -> None:
    if len(form.properties) > MAX_FIELDS:
        raise _wrong(f"a form has at most {MAX_FIELDS} fields")
    for name in form.required:
        if name not in form.properties:
            raise _wrong(f"{name[:40]!r} is required and no field")
    for name, field in form.properties.items():
        if not _NAME.fullmatch(name):
            raise _wrong(f"{name[:40]!r} is no name of a field: small letters, digits and _")
        _check_field(name, field)


def _check_field(name: str, field: Field) -> None:
    for words, what in ((field.title, "title"), (field.description, "description")):
        if words:
            check_line(words, f"{what} of {name}")
    is_text, is_number = field.type == "string", field.type in ("integer", "number")
    of_text = (field.enum, field.min_length, field.max_length, field.format)
    if not is_text and any(one is not None for one in of_text):
        raise _wrong(f"{name} is no text, so it has no lengths, values or format")
    if not is_number and (field.minimum, field.maximum) != (None, None):
        raise _wrong(f"{name} is no number, so it has no bounds")
    if field.enum is not None:
        if not 1 <= len(set(field.enum)) == len(field.enum) <= _MAX_VALUES:
            raise _wrong(f"{name} has 1 to {_MAX_VALUES} values, each another one")
        for value in field.enum:
            check_line(value, f"value of {name}")
    least, most = field.min_length or 0, field.max_length
    if least < 0 or (most is not None and not max(1, least) <= most <= MAX_FIELD_CHARS):
        raise _wrong(f"{name} has lengths that no text has")
    low, high = field.minimum, field.maximum
    if low is not None and high is not None and low > high:
        raise _wrong(f"{name} has bounds that no number keeps")


async def check_fields(
    c: AsyncConnection, tenant: str, kind: str, fields: Mapping[str, Any]
) -> str:
    """Return a ticket's fields as they are kept, JSON, once they are what the form asks for.

    Raises:
        UsageError: `fields-invalid`.
    """
    form = await get_form(c, tenant, kind)
    unknown = sorted(fields.keys() - form.properties.keys())
    if unknown:
        known = ", ".join(form.properties) or "none"
        words = f"a ticket of the kind {kind} has no field {unknown[0][:40]!r}"
        raise UsageError("fields-invalid", words, hint=f"its fields: {known}")
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    for name in form.required:
        if name not in given:
            title = form.properties[name].title or name
            raise UsageError("fields-invalid", f"{title} is required", hint=f"--field {name}=...")
    checked = {name: _value(name, form.properties[name], value) for name, value in given.items()}
    return json.dumps(checked, sort_keys=True, ensure_ascii=False)


def _value(name: str, field: Field, value: object) -> object:
    if not isinstance(value, _TYPES[field.type]) or (
        isinstance(value, bool) and field.type != "boolean"
    ):
        raise _not(name, f"a value of the type {field.type}")
    if isinstance(value, str):
        return _text(name, field, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _not(name, "a number")
    if not isinstance(value, bool) and isinstance(value, int | float):
        if field.minimum is not None and value < field.minimum:
            raise _not(name, f"at least {field.minimum:g}")
        if field.maximum is not None and value > field.maximum:
            raise _not(name, f"at most {field.maximum:g}")
        if abs(value) > 2**53:
            raise _not(name, "a number that everybody can read")
    return value


def _text(name: str, field: Field, value: str) -> str:
    most = field.max_length or (MAX_LINE_CHARS if field.enum else MAX_FIELD_CHARS)
    text = check_body(value, name, max_chars=most)
    if len(text) < (field.min_length or 0):
        raise _not(name, f"of at least {field.min_length} characters")
    if field.enum is not None and text not in field.enum:
        raise _not(name, f"one of {', '.join(field.enum)}"[:400])
    if field.format == "date":
        try:
            if len(text) != len("2026-11-22"):
                raise ValueError(text)
            date.fromisoformat(text)
        except ValueError as error:
            raise _not(name, "a day, such as 2026-11-22") from error
    return text


def _not(name: str, what: str) -> UsageError:
    return UsageError("fields-invalid", f"{name} must be {what}")
