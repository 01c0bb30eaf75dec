"""What the pages say, in the language of whoever reads: texts, dates, numbers.

The English text is the key; `words/LANG.mo` holds the others (gettext; made from server/words/*.po
by `make words`).
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterable
from datetime import tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Final

from farhand_protocol.instants import parse_instant
from farhand_server.contracts.formats import format_number
from farhand_server.people.organisations import LOCALES

__all__ = ["LANGUAGE_NAMES", "Wording", "choose_language", "wording_in"]

LANGUAGE_NAMES: Final = {
    "en": "English",
    "pt": "Português",
    "de": "Deutsch",
    "ro": "Română",
    "ru": "Русский",
}
_MIB: Final = 1024 * 1024
_FOLDER: Final = Path(__file__).with_name("words")
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]
# As CLDR 46 has the short forms, with the whole year everywhere.
_DATES: Final = {
    "en": "{d} {month} %Y, %H:%M",
    "pt": "%d/%m/%Y, %H:%M",
    "de": "%d.%m.%Y, %H:%M",
    "ro": "%d.%m.%Y, %H:%M",
    "ru": "%d.%m.%Y, %H:%M",
}
_RANGE: Final = re.compile(r"\s*([A-Za-z]{2,3})(?:-[A-Za-z0-9]+)*\s*(?:;\s*q=([0-9.]{1,6}))?\s*")
_MAX_RANGES: Final = 20


class Wording:
    """Texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts: gettext.NullTranslations = gettext.NullTranslations()
        if language != "en":
            with (_FOLDER / f"{language}.mo").open("rb") as file:
                self._texts = gettext.GNUTranslations(file)

    def __call__(self, text: str, **values: object) -> str:
        """Return a text, with its `{names}` filled in."""
        said = self._texts.gettext(text) if text else ""
        return said.format(**values) if values else said

    def when(self, text: str | None, zone: tzinfo) -> str:
        """Return a stored time as people read it, in a time zone; nothing for none."""
        if not text:
            return ""
        at = parse_instant(text).astimezone(zone)
        form = _DATES[self.language].format(d=at.day, month=_MONTHS[at.month - 1])
        return at.strftime(form)

    def many(self, one: str, several: str, count: int, **values: object) -> str:
        """Return the form of a text for so many, with `{count}` written as people write it.

        Args:
            one: the English text for one.
            several: the English text for another number.
            count: how many.
            **values: for the other `{names}`.
        """
        said = self._texts.ngettext(one, several, count)
        return said.format(count=format_number(count, self.language), **values)

    def size(self, size_bytes: int) -> str:
        """Return how large a file is, in KiB or MiB."""
        if size_bytes < _MIB:
            return f"{format_number(-(-size_bytes // 1024), self.language)}\u00a0KiB"
        return f"{format_number(size_bytes / _MIB, self.language, digits=1)}\u00a0MiB"


@lru_cache(maxsize=len(LOCALES))
def wording_in(language: str) -> Wording:
    """Return the texts of a language, English for one that is not there."""
    return Wording(language if language in LOCALES else "en")


def choose_language(chosen: Iterable[str | None], accepted: str) -> str:
    """Return the language for a reader.

    Args:
        chosen: what she chose herself, the strongest first.
        accepted: her browser's Accept-Language header (RFC 9110, 12.5.4).
    """
    for one in chosen:
        if one in LOCALES:
            return str(one)
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:1000].split(",")[:_MAX_RANGES]):
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        weight = _weight(found[2])
        if weight > 0 and found[1].lower() in LOCALES:
            wanted.append((-weight, place, found[1].lower()))
    return min(wanted)[2] if wanted else "en"


def _weight(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0
