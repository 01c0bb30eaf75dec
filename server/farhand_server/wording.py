"""What people may write into the desk: bounded, and nothing that a database or a screen chokes on.

Escaping is the business of whoever shows the text; here only size is judged, and characters that
PostgreSQL cannot store or that no keyboard types.
"""

from __future__ import annotations

import re

from farhand_protocol.errors import UsageError

__all__ = ["MAX_BODY_CHARS", "MAX_LINE_CHARS", "check_body", "check_language", "check_line"]

MAX_LINE_CHARS = 200
MAX_BODY_CHARS = 64_000
_ALLOWED_CONTROLS = frozenset("\n\t")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)


def check_line(text: str, field: str, *, max_chars: int = MAX_LINE_CHARS) -> str:
    """Return one line of text, trimmed.

    Args:
        text: as a person wrote it.
        field: what it is, for the error's words.
        max_chars: longest allowed.

    Raises:
        UsageError: `invalid` when it is empty, too long, or not printable.
    """
    trimmed = text.strip()
    if not trimmed or len(trimmed) > max_chars or not trimmed.isprintable():
        raise UsageError(
            "invalid", f"the {field} must be one printable line of 1 to {max_chars} characters"
        )
    return trimmed


def check_body(text: str, field: str, *, max_chars: int = MAX_BODY_CHARS) -> str:
    """Return a text of several lines, with its line ends made alike.

    Raises:
        UsageError: `invalid` when it is empty, too long, or holds control characters.
    """
    body = text.replace("\r\n", "\n").strip()
    if not body or len(body) > max_chars or any(map(_is_forbidden, body)):
        raise UsageError(
            "invalid",
            f"the {field} must be text of 1 to {max_chars} characters without control characters",
        )
    return body


def check_language(text: str) -> str:
    """Return the tag of a language, such as `de` or `pt-BR`, or nothing for none.

    Raises:
        UsageError: `invalid`.
    """
    tag = text.strip()
    if tag and not _LANGUAGE.fullmatch(tag):
        raise UsageError("invalid", "a language is a tag, such as de or pt-BR")
    return tag


def _is_forbidden(character: str) -> bool:
    if character in _ALLOWED_CONTROLS:
        return False
    # Controls, and lone surrogates, which have no UTF-8 form.
    return ord(character) < 32 or character == "\x7f" or "\ud800" <= character <= "\udfff"
