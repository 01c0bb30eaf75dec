"""Subjects: the tag that names a ticket, and what answering and forwarding put in front.

The tag reads `[FH-12]`.  Numbers are guessed by anybody, so a tag only helps a participant whose
mail program lost the headers (`mail.threading`).
"""

from __future__ import annotations

import re
from typing import Final

from farhand_server.desk.references import format_number

__all__ = ["MAX_SUBJECT_CHARS", "find_tags", "plain_subject", "tag_subject"]

MAX_SUBJECT_CHARS: Final = 200
_MAX_TAGS: Final = 5

# Nine digits at most, as `desk.references` reads them.
_TAG = re.compile(r"\[\s?FH-([0-9]{1,9})\s?\]", re.IGNORECASE | re.ASCII)
# Re and Fwd as mail programs of five languages and their neighbours write them, also counted
# (`Re[2]:`, `RE^3:`) and with the wide colon.
_PREFIX = re.compile(
    r"\s*(?:re|r|aw|antw|antwort|res|resp|rsp|sv|vs|răsp|rasp|enc|fw|fwd|wg|wtr|tr|"
    r"отв|ответ|пер|пересл)(?:\s?[\[(^]\d{1,3}[\])]?)?\s?[:：]",
    re.IGNORECASE,
)
_MAX_PREFIXES: Final = 20


def find_tags(subject: str) -> tuple[int, ...]:
    """Return the numbers of the tickets that a subject names, in its order, each once."""
    numbers = (int(match) for match in _TAG.findall(subject[: 4 * MAX_SUBJECT_CHARS]))
    return tuple(dict.fromkeys(number for number in numbers if number))[:_MAX_TAGS]


def plain_subject(subject: str) -> str:
    """Return a subject without tags, `Re:` and `Fwd:`; one line, perhaps empty."""
    rest = _TAG.sub(" ", subject)
    for _ in range(_MAX_PREFIXES):
        match = _PREFIX.match(rest)
        if match is None:
            break
        rest = rest[match.end() :]
    return " ".join(rest.split())


def tag_subject(subject: str, number: int) -> str:
    """Return a subject that names its ticket once, in front: `[FH-12] no paper`.

    A `Re:` stands before the tag where the subject had one, so that mail programs see an answer.
    """
    answered = _PREFIX.match(subject) is not None
    tag = f"[{format_number(number)}]"
    tagged = " ".join(("Re:", tag) if answered else (tag,))
    return f"{tagged} {plain_subject(subject)}".strip()[:MAX_SUBJECT_CHARS]
