"""Why orders failed, in few enough words to count: 900 failures become three causes.

A cause is the first telling line of what the device said, with everything that differs between
machines (numbers, hex, paths, addresses, host names, quoted names) put aside.  Pure text; hostile
text stays text: it is bounded first and control characters go.
"""

from __future__ import annotations

import re
from typing import Final

from farhand_protocol.orders import Result

__all__ = ["MAX_CAUSE_CHARS", "cause_of", "normalise"]

MAX_CAUSE_CHARS: Final = 160
_MAX_SCANNED_BYTES: Final = 8_192
_MAX_LINE_CHARS: Final = 1_000

# In this order: each pattern is linear (no nested repetition), since devices choose the text.
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"[a-z][a-z0-9+.-]{0,15}://\S+", re.IGNORECASE), "URL"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.I), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?Z?)?"), "TIME"),
    (re.compile(r"(?<![\w/])(?:[A-Za-z]:)?[/\\][^\s:;,'\"()<>|]+"), "PATH"),
    (re.compile(r"\b(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE), "HOST"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "HOST"),
    (re.compile(r"\b(?:[a-z0-9_-]{1,63}\.){2,8}[a-z]{2,63}\b(?::\d+)?", re.IGNORECASE), "HOST"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "HEX"),
    (re.compile(r"\b(?=[0-9a-f]{0,64}\d)(?=[0-9a-f]{0,64}[a-f])[0-9a-f]{7,64}\b", re.I), "HEX"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "N"),
)
_SPACES: Final = re.compile(r"\s+")


def normalise(text: str) -> str:
    """Return `text` without what differs between machines, at most `MAX_CAUSE_CHARS` long.

    Args:
        text: one line; only its first thousand characters are looked at.
    """
    line = "".join(c if c.isprintable() else " " for c in text[:_MAX_LINE_CHARS])
    for pattern, word in _PATTERNS:
        line = pattern.sub(word, line)
    return _SPACES.sub(" ", line).strip()[:MAX_CAUSE_CHARS]


def cause_of(result: Result) -> str | None:
    """Return the cause of an unhappy result; None for a happy one.

    A refusal is its own cause.  Otherwise it is the last line on stderr that says something (where
    programs put their error), else the state with exit status or signal.
    """
    if result.state in ("succeeded", "no_change"):
        return None
    if result.refusal:
        return normalise_code(result.refusal)
    tail = result.stderr[-_MAX_SCANNED_BYTES:].decode("utf-8", "replace")
    for line in reversed(tail.splitlines()):
        words = normalise(line)
        if any(c.isalpha() for c in words):
            return words
    if result.signal:
        return normalise(f"{result.state}: {result.signal}")
    if result.exit_code is not None and result.exit_code != 0:
        return f"{result.state}: exit status {result.exit_code}"
    return result.state


def normalise_code(code: str) -> str:
    """Return a refusal code as it is when it looks like one, else as words."""
    if re.fullmatch(r"[a-z][a-z0-9-]{0,63}", code):
        return code
    return normalise(code) or "refused"
