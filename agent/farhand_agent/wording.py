"""What a person at the device reads, in her language: texts, dates and numbers.

The English text is the key; `words/LANG.mo` holds the others (gettext; made from agent/words/*.po
by `make words`).  The language is `FARHAND_LANG`, else the locale of the environment, else English.
Not for what travels: codes, JSON and everything that is signed stay as they are.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from datetime import date, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Final

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = ["LANGUAGES", "Wording", "chosen_language", "own_wording", "wording_in"]

LANGUAGES: Final = ("en", "pt", "de", "ro", "ru")
_FOLDER: Final = Path(__file__).with_name("words")
_DATES: Final = {
    "en": "%Y-%m-%d %H:%M:%S",
    "pt": "%d/%m/%Y %H:%M:%S",
    "de": "%d.%m.%Y %H:%M:%S",
    "ro": "%d.%m.%Y %H:%M:%S",
    "ru": "%d.%m.%Y %H:%M:%S",
}
# What stands between thousands; in Russian a space at which no line breaks.
_GROUPS: Final = {"en": ",", "pt": ".", "de": ".", "ro": ".", "ru": "\u00a0"}
_POINTS: Final = {"en": ".", "pt": ",", "de": ",", "ro": ",", "ru": ","}
_YES: Final = {
    "en": (),
    "pt": ("s", "sim"),
    "de": ("j", "ja"),
    "ro": ("d", "da"),
    "ru": ("д", "да"),
}


class Wording:
    """One language.

    Args:
        language: one of `LANGUAGES`.
        texts: its catalogue.
    """

    def __init__(self, language: str, texts: gettext.NullTranslations) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, text: str, **values: object) -> str:
        """Say an English text in this language, with `{names}` filled in."""
        said = self._texts.gettext(text)
        return said.format(**values) if values else said

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        """Say a text about a number (`{n}` in it) in the form that the number asks for."""
        said = self._texts.ngettext(one, many, number)
        return said.format(n=self.number(number), **values)

    def number(self, number: int) -> str:
        """Write a number with its thousands apart."""
        return f"{number:,}".replace(",", _GROUPS[self.language])

    def decimal(self, number: float, digits: int = 1) -> str:
        """Write a number with its thousands apart and a few digits behind the point."""
        whole, point, behind = f"{number:,.{digits}f}".partition(".")
        return (
            whole.replace(",", _GROUPS[self.language])
            + point.replace(".", _POINTS[self.language])
            + behind
        )

    def instant(self, text: str, zone: tzinfo | None = None) -> str:
        """Write an RFC 3339 instant as the wall clock shows it, with the offset from UTC.

        Args:
            text: the instant; one that cannot be read is given back as it is.
            zone: None means that of the device.
        """
        try:
            at = parse_instant(text).astimezone(zone)
        except (FarhandError, OverflowError, OSError):
            return text
        return f"{at:{_DATES[self.language]}} {_offset(at)}"

    def day(self, day: date) -> str:
        """Write a date."""
        return f"{day:{_DATES[self.language].partition(' ')[0]}}"

    def is_yes(self, answer: str) -> bool:
        """Tell whether a typed answer means yes; everything else means no."""
        return answer.strip().lower() in ("y", "yes", *_YES[self.language])


def _offset(at: datetime) -> str:
    offset = at.strftime("%z")
    return "UTC" if offset in ("", "+0000") else f"UTC{offset[:3]}:{offset[3:5]}"


def chosen_language(environment: Mapping[str, str]) -> str:
    """Return the language that an environment asks for; English where it is not known."""
    for name in ("FARHAND_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name, ""):
            language = value.replace("-", "_").partition("_")[0].partition(".")[0].lower()
            return language if language in LANGUAGES else "en"
    return "en"


@lru_cache(maxsize=len(LANGUAGES))
def wording_in(language: str) -> Wording:
    """Return the words of one of `LANGUAGES`."""
    if language == "en":
        return Wording(language, gettext.NullTranslations())
    with (_FOLDER / f"{language}.mo").open("rb") as file:
        return Wording(language, gettext.GNUTranslations(file))


def own_wording() -> Wording:
    """Return the words for the person whose environment this process has."""
    return wording_in(chosen_language(os.environ))
