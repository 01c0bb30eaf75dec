"""What macOS's softwareupdate prints and keeps, read.  No process is started here.

Source: softwareupdate(8), and lists as macOS 12 to 14 print them.
"""

from __future__ import annotations

import plistlib
import re
from datetime import UTC, datetime
from typing import Any, Final
from xml.parsers.expat import ExpatError

from farhand_agent.patches.provider import UNVERSIONED, Kind, ProviderError, Update
from farhand_agent.patches.refusals import Row, refusal, unreadable

__all__ = ["classify", "parse_listing", "parse_preferences"]

_LABEL: Final = re.compile(r"\s*\* Label: (?P<label>.{1,200})")
# Any entry: before macOS 10.15 the label stood alone behind the star, and fields had no names.
_ENTRY: Final = re.compile(r"\s*\* \S")
_FIELD: Final = re.compile(r"(Title|Version|Size|Recommended|Action): ([^,]*)")
_SIZES: Final = {"K": 1024, "KiB": 1024, "M": 1024**2, "MiB": 1024**2, "GiB": 1024**3}
# Apple labels nothing; its releases of the system, of Safari and its rapid responses all carry
# security fixes, so they count as such.
_SECURITY: Final = re.compile(
    r"\A(?:macOS|OS X)\b|\ASafari|Security (?:Update|Response)|XProtect|MRT|Gatekeeper|\([a-z]\)\Z",
    re.IGNORECASE,
)
_MAX_UPDATES: Final = 500
_MAX_LINES: Final = 10_000
_MAX_CHARS: Final = 200


def parse_listing(text: str) -> list[Update]:
    """Read `softwareupdate --list`: a line with the label, and one with its fields below.

    Raises:
        ProviderError: `patch-unreadable` where entries are in another form; they must not be
            taken for none.
    """
    found: list[Update] = []
    label = ""
    for line in text.split("\n")[:_MAX_LINES]:
        if match := _LABEL.fullmatch(line.rstrip()):
            label = match["label"]
            continue
        if _ENTRY.match(line):
            raise unreadable("softwareupdate", text)
        fields = dict(_FIELD.findall(line)) if label else {}
        if "Title" in fields or "Version" in fields:
            title = fields.get("Title", label).strip()[:_MAX_CHARS]
            action = fields.get("Action", "").strip().lower()
            found.append(
                Update(
                    id=label,
                    name=title,
                    installed=UNVERSIONED,
                    available=fields.get("Version", "").strip()[:_MAX_CHARS],
                    origin="Apple",
                    kind=_kind(title),
                    requires_reboot="restart" in action,
                    kept_back=fields.get("Recommended", "YES").strip().upper() == "NO",
                    size_bytes=_size(fields.get("Size", "")),
                )
            )
            label = ""
    return found[:_MAX_UPDATES]


def parse_preferences(data: bytes) -> tuple[list[Update], datetime | None]:
    """Read com.apple.SoftwareUpdate.plist: what the last check found, and when that was.

    The plist has no labels to install by; ids are product keys.

    Raises:
        ProviderError: `patch-unreadable`.
    """
    try:
        found = plistlib.loads(data)
    except (ValueError, LookupError, TypeError, OverflowError, AttributeError, ExpatError,
            MemoryError, RecursionError) as error:  # fmt: skip
        # plistlib lets through what expat and its own handlers trip over.
        raise unreadable("softwareupdate", repr(data[:200])) from error
    if not isinstance(found, dict):
        raise unreadable("softwareupdate", repr(data[:200]))
    listed = found.get("RecommendedUpdates")
    at = found.get("LastSuccessfulDate")
    return (
        [
            _from_preferences(one)
            for one in (listed if isinstance(listed, list) else [])[:_MAX_UPDATES]
            if isinstance(one, dict)
        ],
        at.replace(tzinfo=UTC) if isinstance(at, datetime) else None,
    )


def _from_preferences(one: dict[Any, Any]) -> Update:
    name = str(one.get("Display Name", one.get("Identifier", "")))[:_MAX_CHARS]
    return Update(
        id=str(one.get("Product Key", name))[:_MAX_CHARS],
        name=name,
        installed=UNVERSIONED,
        available=str(one.get("Display Version", ""))[:_MAX_CHARS],
        origin="Apple",
        kind=_kind(name),
    )


def _kind(title: str) -> Kind:
    return "security" if _SECURITY.search(title) else "unknown"


def _size(text: str) -> int | None:
    found = re.fullmatch(r"([0-9]{1,12})(K|KiB|M|MiB|GiB)", text.strip())
    return int(found[1]) * _SIZES[found[2]] if found else None


_ROWS: Final[tuple[Row, ...]] = (
    (r"must be run as root|requires root|Not authorized|authentication", "patch-denied"),
    (r"No such update|No new software available", "patch-unknown-update"),
    (r"not enough (?:free )?(?:disk )?space", "patch-disk-full"),
    (r"network|offline|The Internet connection|timed out|Can't connect", "patch-network"),
)


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that softwareupdate's words stand for."""
    return refusal("softwareupdate", exit_code, text, _ROWS)
