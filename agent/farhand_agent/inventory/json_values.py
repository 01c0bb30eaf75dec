"""Values in the JSON of foreign tools: the wanted type, or None."""

from __future__ import annotations

from typing import Any

__all__ = ["number", "rows", "text", "truth", "whole"]


def text(value: object) -> str | None:
    """Return a text without white space around it; None for others and for nothing."""
    return (value.strip() or None) if isinstance(value, str) else None


def whole(value: object) -> int | None:
    """Return a whole number that fits 64 bits, also where a tool wrote it as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            return None
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def number(value: object) -> float | None:
    """Return a number, also where a tool wrote it as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def truth(value: object) -> bool | None:
    """Return a truth value, also where a tool wrote it as 0, 1, "yes", "no" and the like."""
    if isinstance(value, bool):
        return value
    words = {"0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}
    return words.get(str(value).strip().lower()) if isinstance(value, (int, str)) else None


def rows(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list; others in it are left out, and no list is an empty one."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
