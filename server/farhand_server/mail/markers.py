"""The line above which answers are read, and the mark that ends a mail of ours.

The line is for people and stands on top of what we send; the mark is for machines and stands at its
end: `fh-` and 80 bits of an HMAC over the ticket.  Whatever a mail program does to a quoted mail,
one of both is mostly left, and what stands between them is ours (`mail.folding`).  The mark names
no ticket and opens nothing, so nobody gains by copying it.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final

__all__ = ["is_marker", "make_mark", "marker_line", "names_mark"]

_PURPOSE: Final = b"farhand mail mark\0"
_MARK_BYTES: Final = 10
_MARK = re.compile(r"(?<![a-z0-9-])fh-[a-z2-7]{16}(?![a-z0-9-])")
_WORDS: Final = {
    "en": "please answer above this line",
    "pt": "responda acima desta linha, por favor",
    "de": "bitte antworten Sie über dieser Zeile",
    "ro": "vă rugăm să răspundeți deasupra acestei linii",
    "ru": "пожалуйста, ответьте выше этой строки",
}
# Mail programs put their own marks of quotation around it, bold it, change its dashes.
_LINE = re.compile(
    r"[>|*_\s]*[-\u2013\u2014]{1,3}\s*(?:"
    + "|".join(re.escape(words) for words in _WORDS.values())
    + r")\s*[-\u2013\u2014]{1,3}[*_\s]*\Z",
    re.IGNORECASE,
)
_LONGEST: Final = 200


def marker_line(language: str) -> str:
    """Return the line to answer above; English for a language that we do not speak."""
    return f"-- {_WORDS.get(language[:2].lower(), _WORDS['en'])} --"


def make_mark(key: bytes, ticket: int) -> str:
    """Return the mark of a ticket's mails."""
    mac = hmac.digest(key, _PURPOSE + ticket.to_bytes(8), "sha256")[:_MARK_BYTES]
    return "fh-" + base64.b32encode(mac).decode().lower()


def is_marker(line: str) -> bool:
    """Tell whether a line is the one to answer above."""
    return len(line) <= _LONGEST and _LINE.match(line) is not None


def names_mark(line: str) -> bool:
    """Tell whether a line holds a mark of ours, or of another relay."""
    return len(line) <= _LONGEST and _MARK.search(line) is not None
