"""One line on stderr, for whoever runs the agent; nothing in it can steer a terminal."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["say", "say_error"]

_MAX_CHARS: Final = 500


def say(text: str) -> None:
    """Write `farhand-agent: TEXT`, with everything unprintable escaped, and flush."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:_MAX_CHARS])
    if sys.stderr is None:
        return  # it was closed before this program began
    try:
        sys.stderr.write(f"farhand-agent: {shown}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # Whoever read it is gone; the agent is not.
        return


def say_error(code: str, message: str, hint: str | None = None) -> None:
    """Write an error as every Farhand program does, and its hint."""
    say(f"error: {code}: {message}")
    if hint:
        say(f"hint: {hint}")
