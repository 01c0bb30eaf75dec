"""What the pages say, in the language of whoever reads: texts and dates.

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
from farhand_server.people.organisations import LOCALES

__all__ = ["LANGUAGE_NAMES", "Wording", "choose_language", "wording_in"]

LANGUAGE_NAMES: Final = {
    "en": "English",
    "pt": "Português",
    "de": "Deutsch",
    "ro": "Română",
    "ru": "Русский",
}
_FOLDER: Final = Path(__file__).with_name("words")
_DATES: Final = {
    "en": "%Y-%m-%d %H:%M",
    "pt": "%d/%m/%Y %H:%M",
    "de": "%d.%m.%Y %H:%M",
    "ro": "%d.%m.%Y %H:%M",
    "ru": "%d.%m.%Y %H:%M",
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
        return parse_instant(text).astimezone(zone).strftime(_DATES[self.language])


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
