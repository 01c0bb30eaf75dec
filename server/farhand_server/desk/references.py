"""How people name a ticket: `FH-12`, `12`, or the key it has in someone else's desk.

Pure text; finding the ticket is `desk.tickets.find_ticket`.
"""

from __future__ import annotations

import re

__all__ = ["format_number", "parse_reference"]

_NUMBER = re.compile(r"(?:fh-)?([0-9]{1,9})\Z", re.IGNORECASE | re.ASCII)


def format_number(number: int) -> str:
    """Write a ticket number as people see it, `FH-12`."""
    return f"FH-{number}"


def parse_reference(text: str) -> int | None:
    """Return the number that `FH-12`, `fh-12` or `12` names, None for anything else.

    Anything else can still be an external key.  Nine digits at most, so that the number always
    fits the column on both databases.
    """
    match = _NUMBER.match(text.strip())
    return int(match[1]) if match else None
