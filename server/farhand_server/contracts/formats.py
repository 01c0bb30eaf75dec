"""How numbers, money, days and durations are written in the five languages.

Pure.  An unknown language is written as English is.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from farhand_protocol.instants import parse_instant

__all__ = [
    "format_day",
    "format_duration",
    "format_money",
    "format_month",
    "format_number",
    "format_share",
    "minor_digits",
]

# What parts thousands, and what parts a whole from its fraction.
_MARKS: Final = {
    "en": (",", "."),
    "pt": ("\u00a0", ","),
    "de": (".", ","),
    "ro": (".", ","),
    "ru": ("\u00a0", ","),
}
_DAYS: Final = {
    "en": "{d} {short} {y}",
    "pt": "{d:02}/{m:02}/{y}",
    "de": "{d:02}.{m:02}.{y}",
    "ro": "{d:02}.{m:02}.{y}",
    "ru": "{d:02}.{m:02}.{y}",
}
_MONTHS: Final = {
    "en": "January February March April May June July August September October November December",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro"
    " dezembro",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "ro": "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie"
    " decembrie",
    "ru": "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
}
_OF: Final = {"pt": " de "}
_UNITS: Final = {"de": ("Std.", "Min."), "ru": ("ч", "мин")}
# ISO 4217: how many digits of minor units, where it is not two.
_DIGITS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def minor_digits(currency: str) -> int:
    """Return how many digits a currency's minor unit has."""
    return _DIGITS.get(currency, 2)


def format_number(value: float, language: str, *, digits: int = 0) -> str:
    """Write a number with so many digits after the point."""
    thousands, point = _MARKS.get(language, _MARKS["en"])
    plain = f"{value:,.{digits}f}"
    return plain.replace(",", "\0").replace(".", point).replace("\0", thousands)


def format_money(minor: int, currency: str, language: str) -> str:
    """Write an amount of minor units, exactly: `1.234,50 EUR`."""
    thousands, point = _MARKS.get(language, _MARKS["en"])
    digits = minor_digits(currency)
    whole, rest = divmod(abs(minor), 10**digits)
    text = f"{whole:,}".replace(",", thousands)
    if digits:
        text += f"{point}{rest:0{digits}}"
    return f"{'-' if minor < 0 else ''}{text}\u00a0{currency}"


def format_duration(seconds: float, language: str) -> str:
    """Write a duration in hours and minutes, and in seconds where it is below a minute."""
    hours, minutes = _UNITS.get(language, ("h", "min"))
    sign, left = ("-" if seconds < 0 else ""), abs(round(seconds))
    if 0 < left < 60:
        return f"{sign}{left}\u00a0s"
    whole, rest = divmod((left + 30) // 60, 60)
    if not whole:
        return f"{sign}{rest}\u00a0{minutes}"
    shown = f"{sign}{format_number(whole, language)}\u00a0{hours}"
    return f"{shown} {rest}\u00a0{minutes}" if rest else shown


def format_day(at: str, language: str, zone: str = "UTC") -> str:
    """Write a day, given as `2026-11-22` or as an instant that is seen in a zone."""
    day: date | datetime
    if len(at) == 10:
        day = date.fromisoformat(at)
    else:
        day = parse_instant(at).astimezone(ZoneInfo(zone))
    names = _MONTHS["en"].split()
    form = _DAYS.get(language, _DAYS["en"])
    return form.format(d=day.day, m=day.month, y=day.year, short=names[day.month - 1][:3])


def format_month(month: str, language: str) -> str:
    """Write `2026-11` as people call it."""
    year, _, number = month.partition("-")
    names = _MONTHS.get(language, _MONTHS["en"]).split()
    return f"{names[int(number) - 1]}{_OF.get(language, ' ')}{year}"


def format_share(share: float, language: str) -> str:
    """Write a share of one as percent."""
    return f"{format_number(share * 100, language, digits=1)}\u00a0%"
