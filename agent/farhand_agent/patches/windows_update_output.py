"""What the two scripts for the Windows Update Agent print, read.  No process is started here.

Source: learn.microsoft.com, "Windows Update Agent API": OperationResultCode, UpdateClassification
category ids, and WUA's networking and installer error codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from farhand_agent.patches.powershell import parse_document
from farhand_agent.patches.provider import (
    UNVERSIONED,
    Kind,
    ProviderError,
    Reboot,
    Severity,
    Update,
)
from farhand_agent.patches.refusals import refusal, unreadable

__all__ = [
    "Installed",
    "Search",
    "classify_hresult",
    "parse_installation",
    "parse_search",
    "unsigned",
]

# OperationResultCode: 2 succeeded, 3 succeeded with errors, 4 failed, 5 aborted.
_SUCCEEDED: Final = frozenset([2, 3])
_SECURITY: Final = frozenset(
    ["0fa1201d-4330-4fa8-8ae9-b877473b6441", "e6cf1350-c01b-414d-a61f-263d14d133b4"]
)
_CATEGORIES: Final[Mapping[str, Kind]] = {
    # Definition updates of the malware scanner protect; rollups and service packs repair.
    "e0789628-ce08-4437-be74-2495b842f43b": "security",
    "28bc880e-0592-4cbf-8f95-c79b17911d5f": "bugfix",
    "68c5b0a3-d1a6-4553-ae49-01d3a7827828": "bugfix",
    "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83": "bugfix",
    "3689bdc8-b205-4af4-8d4a-a63924c5e9d5": "enhancement",
    "b54e7d24-7add-428f-8b75-90a396fa584f": "enhancement",
}
_SEVERITIES: Final[Mapping[str, Severity]] = {
    "critical": "critical",
    "important": "important",
    "moderate": "moderate",
    "low": "low",
}
_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WEAK_REASON: Final = "pending-file-rename"
_MAX_UPDATES: Final = 5000
_CODES: Final[Mapping[int, str]] = {
    0x8024001E: "patch-interrupted",
    0x80240016: "patch-reboot-first",
    0x80240017: "patch-unknown-update",
    0x80240022: "patch-failed",
    0x80240044: "patch-denied",
    0x80070005: "patch-denied",
    0x80070422: "patch-blocked",
    0x80240438: "patch-network",
    0x8024402C: "patch-network",
    0x80072EE2: "patch-network",
    0x80072EE7: "patch-network",
    0x80072EFD: "patch-network",
    0x80070070: "patch-disk-full",
    0x800B0109: "patch-untrusted",
    0x80070643: "patch-failed",
}


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found; `searched_at` is when Windows last asked, RFC 3339 or None."""

    updates: tuple[Update, ...]
    reboot: Reboot
    searched_at: str | None


@dataclass(frozen=True, slots=True)
class Installed:
    """What became of each update: ids that are installed, others with their HRESULT."""

    done: frozenset[str]
    failed: Mapping[str, int]
    reboot: bool


def parse_search(text: str) -> Search:
    """Read what windows_update_search.ps1 printed.

    Raises:
        ProviderError: `patch-unreadable`, or as classified when the search failed.
    """
    document = _document(text)
    if not _is_code(document.get("code"), _SUCCEEDED):
        raise refusal("windows-update", _number(document.get("code")), "", ())
    updates = [
        _update(one) for one in _objects(document.get("updates"))[:_MAX_UPDATES] if _known(one)
    ]
    reasons = [str(reason)[:100] for reason in _list(document.get("reasons"))][:20]
    required = document.get("reboot") is True or any(r != _WEAK_REASON for r in reasons)
    at = document.get("searched_at")
    return Search(
        updates=tuple(updates),
        reboot=Reboot(required=required, reasons=tuple(reasons)),
        searched_at=at if isinstance(at, str) and _INSTANT.fullmatch(at) else None,
    )


_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def parse_installation(text: str) -> Installed:
    """Read what windows_update_apply.ps1 printed.

    Raises:
        ProviderError: `patch-unreadable`, or as classified when nothing was installed at all.
    """
    document = _document(text)
    done: set[str] = set()
    failed: dict[str, int] = {}
    for one in filter(_known, _objects(document.get("results"))):
        if _is_code(one.get("code"), _SUCCEEDED):
            done.add(_id(one))
        else:
            failed[_id(one)] = unsigned(_number(one.get("hresult")))
    return Installed(frozenset(done), failed, document.get("reboot") is True)


def classify_hresult(hresult: int, words: str = "") -> ProviderError:
    """Return the error that an HRESULT stands for; Windows gives it signed."""
    number = unsigned(hresult)
    code = _CODES.get(number, "patch-failed")
    error = refusal("windows-update", hresult, words, (), {hresult: code})
    error.message = f"{error.message} (0x{number:08X})"
    return error


def unsigned(number: int) -> int:
    """Return a 32-bit code as it is written in documents, whichever sign it came with."""
    return number & 0xFFFFFFFF


def _document(text: str) -> dict[str, Any]:
    document = parse_document("windows-update", text)
    if "error" in document:
        raise classify_hresult(_number(document["error"]), str(document.get("words", ""))[:500])
    if "code" not in document:
        raise unreadable("windows-update", text)
    return document


def _update(one: Mapping[str, Any]) -> Update:
    categories = [str(category).lower() for category in _list(one.get("categories"))]
    severity = _SEVERITIES.get(str(one.get("severity") or "").lower(), "unknown")
    kind: Kind = next((_CATEGORIES[c] for c in categories if c in _CATEGORIES), "unknown")
    if severity != "unknown" or not _SECURITY.isdisjoint(categories):
        kind = "security"
    return Update(
        # KB numbers repeat; this pair does not.
        id=_id(one),
        name=str(one.get("title", ""))[:300],
        installed=UNVERSIONED,
        available=f"revision {_number(one.get('revision'))}",
        origin="Windows Update",
        kind=kind,
        severity=severity,
        held=one.get("hidden") is True,
        kept_back=one.get("asks") is True,
        # RebootBehavior: 0 never, 1 always, 2 can.
        requires_reboot=_is_code(one.get("reboot"), frozenset([1, 2])),
        advisories=tuple(f"KB{kb}" for kb in _words(one.get("kb"))),
        cves=tuple(_words(one.get("cves"))),
        size_bytes=_size(one.get("size")),
    )


def _id(one: Mapping[str, Any]) -> str:
    return f"{str(one['id']).lower()}.{_number(one.get('revision'))}"


def _known(one: Mapping[str, Any]) -> bool:
    return _GUID.fullmatch(str(one.get("id", "")).lower()) is not None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _list(value: Any) -> list[Any]:
    # Windows PowerShell unwraps a list of one in some places, and an empty one to null.
    if isinstance(value, dict) and set(value) == {"value", "Count"}:
        return _list(value["value"])
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _words(value: Any) -> Iterable[str]:
    return [str(word)[:40] for word in _list(value) if word][:100]


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _is_code(value: Any, codes: frozenset[int]) -> bool:
    return _number(value) in codes


def _size(value: Any) -> int | None:
    # A decimal of COM: the script writes it as text, since JSON of PowerShell 5 would not.
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
