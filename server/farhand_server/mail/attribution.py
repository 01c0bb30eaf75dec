"""Lines with which mail programs begin quoted history: who wrote what, and when.

Told apart without knowing the language wherever that works: a line of attribution holds an address
or a date and ends in a colon, a block of headers is three lines of `Word: words` with an address
and a date among them.  Outlook leaves out addresses, so the words of five languages are known for
its headers, and those for "original" and "forwarded".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = [
    "attribution_start",
    "header_block",
    "is_forward_line",
    "is_original_line",
    "stands_alone",
]

_LONGEST: Final = 400
_MAX_LINES: Final = 4
_ADDRESS = re.compile(r"[^\s<>@:]{1,64}@[^\s<>@:]{1,190}\.[^\s<>@:]{2,}")
_BRACKETED = re.compile(r"<\s*[^\s<>@:]{1,64}@[^\s<>@:]{1,190}\s*>")
_YEAR = re.compile(r"(?<!\d)20\d\d(?!\d)")
_TIME = re.compile(r"(?<!\d)\d{1,2}[:.h]\d\d(?!\d)")
_WHEN = re.compile(f"{_YEAR.pattern}|{_TIME.pattern}")
_WROTE = re.compile(
    r"\b(?:wrote|writes|schrieb|escreveu|a scris|scris|написал\(?а?\)?|пишет|написала|пише)\b",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"[>|\s]*\*?([^\W\d_][\w .-]{0,24}?)\s?:\*?\s+(\S.*)|[>|\s]*\*?(\w{2,20}):\*?$"
)
_FROM: Final = frozenset(("from", "de", "von", "de la", "от", "от кого", "remetente", "expeditor"))
_OTHERS: Final = frozenset(
    (
        "sent", "to", "cc", "subject", "date", "reply-to", "importance",
        "enviado", "enviada", "enviado em", "enviada em", "para", "assunto", "data", "importância",
        "gesendet", "an", "betreff", "datum", "kopie", "antwort an", "wichtigkeit",
        "trimis", "trimis la", "către", "catre", "subiect", "data",
        "отправлено", "кому", "копия", "тема", "дата", "важность",
    )
)  # fmt: skip
_SUBJECT: Final = frozenset(("subject", "assunto", "betreff", "subiect", "тема"))
_FORWARD_WORDS = re.compile(
    r"forward|encaminhad|weitergeleitet|redirec[țt]ionat|transmis|пересыла|переслан|переадресов",
    re.IGNORECASE,
)
_ORIGINAL_WORDS = re.compile(r"original|ursprünglich|исходное|оригинал", re.IGNORECASE)
_DASHED = re.compile(r"[>|\s]*[-_=\u2014]{3,}[\s]*(\S.{1,60}?)[\s]*[-_=\u2014]{3,}\s*\Z")
_RULE = re.compile(r"[>|\s]*[-_=*\u2014]{5,}\s*\Z")
_ANNOUNCED = re.compile(r"[>|\s]*\S.{3,70}:\s*\Z")
_SENT_WITH = re.compile(
    r"\s*(?:sent from my|sent from (?:outlook|mail|yahoo|samsung)|get outlook for|enviado do meu|"
    r"enviado a partir d|enviado de|obter o outlook|von mein.{1,20} gesendet|gesendet (?:von|mit)|"
    r"holen sie sich outlook|outlook für|trimis de pe|trimis din|obține(?:ți|ți)? outlook|"
    r"отправлено (?:с|из)\s|скачать outlook)",
    re.IGNORECASE,
)
_MAX_HEADERS: Final = 8


def attribution_start(lines: Sequence[str], end: int, *, quoted: bool) -> int | None:
    """Return where the attribution begins whose last line is `end`; None where it is none.

    Args:
        lines: of the text.
        end: the line that may end it.
        quoted: whether quoted lines follow; without them more is asked of it.
    """
    last = lines[end].rstrip("\u200b ").rstrip()
    if not last.endswith((":", ":*", "\uff1a")) or len(last) > _LONGEST:
        return None
    joined = ""
    for start in range(end, max(end - _MAX_LINES, -1), -1):
        line = lines[start].strip()
        if not line or len(line) > _LONGEST or (start < end and line.endswith((".", "!", "?"))):
            break
        joined = f"{line} {joined}"
        if _WHEN.search(joined) and (quoted or _is_plain(joined)):
            return start
    if quoted and (_ADDRESS.search(last) or _WROTE.search(last)):
        return end
    return None


def _is_plain(attribution: str) -> bool:
    # People tell, too, who wrote to whom and at what time; a program tells all of it.
    if _BRACKETED.search(attribution) is not None:
        return True
    if _WROTE.search(attribution) is None:
        return False
    told_when = _YEAR.search(attribution) is not None and _TIME.search(attribution) is not None
    return told_when or _ADDRESS.search(attribution) is not None


def header_block(lines: Sequence[str], start: int) -> int:
    """Return how many lines of a block of headers begin at `start`; 0 where none does."""
    names: list[str] = []
    address = when = False
    at = start
    while at < len(lines) and len(names) < _MAX_HEADERS:
        line = lines[at]
        match = _HEADER.match(line) if len(line) <= 2 * _LONGEST else None
        if match is not None:
            names.append((match[1] or match[3]).strip().lower())
            address = address or _ADDRESS.search(line) is not None
            when = when or _WHEN.search(line) is not None
        elif names and not line.strip() and _is_known(lines, start) and _is_known(lines, at + 1):
            # In HTML each may be a paragraph.
            pass
        elif not names or not line.strip() or len(line) > 2 * _LONGEST or at - start > 20:
            break
        elif not line.startswith((" ", "\t", "<")) and not lines[at - 1].rstrip().endswith(
            (",", ";")
        ):
            # A list of recipients goes on in the next line, nothing else does.
            break
        at += 1
    known = sum(1 for name in names if name in _OTHERS)
    told = address or when or any(name in _SUBJECT for name in names)
    # Some programs tell when first, and then who.
    second = len(names) > 1 and names[0] in _OTHERS and names[1] in _FROM
    if names and (names[0] in _FROM or second) and known >= 2 and told:
        return at - start
    if names and names[0] not in _OTHERS | _FROM and any(name in _FROM for name in names):
        # It begins further down; this line is the writer's own.
        return 0
    return at - start if len(names) >= 3 and address and when else 0


def _is_known(lines: Sequence[str], at: int) -> bool:
    match = _HEADER.match(lines[at][: 2 * _LONGEST]) if at < len(lines) else None
    if match is None:
        return False
    name = (match[1] or match[3]).strip().lower()
    return name in _OTHERS or name in _FROM


def is_original_line(line: str) -> bool:
    """Tell whether a line reads like `-----Original Message-----` or is a rule."""
    if len(line) > _LONGEST:
        return False
    if _RULE.match(line) is not None:
        return True
    match = _DASHED.match(line)
    return match is not None and _ORIGINAL_WORDS.search(match[1]) is not None


def is_forward_line(line: str) -> bool:
    """Tell whether a line reads like `-- Forwarded message --` or `Begin forwarded message:`."""
    if len(line) > _LONGEST or _FORWARD_WORDS.search(line) is None:
        return False
    return _DASHED.match(line) is not None or _ANNOUNCED.match(line) is not None


def stands_alone(line: str) -> bool:
    """Tell whether a line says with which program a mail was sent, and nothing else."""
    return len(line) <= 120 and _SENT_WITH.match(line) is not None
