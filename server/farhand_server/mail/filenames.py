"""Names of attachments: one file name that no system takes for anything else.

What comes is hostile: paths, characters that turn the text around and so hide an ending, names of
devices, hundreds of letters, nothing at all, or the same name twice.
"""

from __future__ import annotations

import re
from typing import Final

from farhand_server.mail.headers import clean_line
from farhand_server.mail.limits import MAX_NAME_CHARS

__all__ = ["FileNames"]

_MAX_BYTES: Final = 200
_LONGEST_ENDING: Final = 16
_FORBIDDEN = re.compile(r"[<>:\"|?*%\\/]")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)", re.IGNORECASE)
# Where the registry of the machine that runs this would have a say, it should not.
_ENDINGS: Final = {
    "application/ms-tnef": ".dat",
    "application/octet-stream": ".bin",
    "application/pdf": ".pdf",
    "application/pgp-encrypted": ".asc",
    "application/pgp-signature": ".asc",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/zip": ".zip",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "message/delivery-status": ".txt",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/rfc822-headers": ".txt",
}


class FileNames:
    """The names of one mail's files, none of them twice (case does not tell them apart)."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, claimed: str, *, media_type: str, place: int) -> str:
        """Return a safe name for what claims one, "" for no claim."""
        name = _safe(claimed) or f"file-{place}{_ENDINGS.get(media_type, '.bin')}"
        stem, ending = _parted(name)
        count, unique = 1, name
        while unique.lower() in self._taken:
            count += 1
            unique = f"{stem} ({count}){ending}"
        self._taken.add(unique.lower())
        return unique


def _safe(claimed: str) -> str:
    base = re.split(r"[\\/]", claimed[: 8 * MAX_NAME_CHARS].rstrip("\\/ "))[-1]
    name = _FORBIDDEN.sub("_", clean_line(base, max_chars=4 * MAX_NAME_CHARS))
    name = name.strip(" .") if name.strip(" ._") else ""
    if _DEVICES.match(name):
        name = f"_{name}"
    stem, ending = _parted(name)
    stem = stem[: MAX_NAME_CHARS - len(ending)]
    while len((stem + ending).encode()) > _MAX_BYTES:
        stem = stem[:-1]
    return (stem.rstrip(" .") + ending).strip(" ")


def _parted(name: str) -> tuple[str, str]:
    stem, dot, ending = name.rpartition(".")
    if not dot or not stem or len(ending) > _LONGEST_ENDING or " " in ending:
        return name, ""
    return stem, f".{ending}"
