"""What the two scripts for winget print, read.  No process is started here.

Source: microsoft/winget-cli, doc/windows/package-manager/winget/returnCodes.md.  winget's exit
codes are HRESULTs and arrive as signed 32-bit numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from farhand_agent.patches.powershell import parse_document
from farhand_agent.patches.provider import UNVERSIONED, ProviderError, Update
from farhand_agent.patches.refusals import refusal, unreadable

__all__ = ["REBOOT_CODES", "Upgraded", "classify", "parse_packages", "parse_upgrades"]

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}(?:\.[A-Za-z0-9._+-]{1,127}){0,8}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+ ()~-]{0,99}")
# Installed, and a restart finishes it (0x76) or is on its way (0x77).
REBOOT_CODES: Final = frozenset([0x8A150076, 0x8A150077])
_CODES: Final[Mapping[int, str]] = {
    0x8A15002B: "patch-unknown-update",
    0x8A15002C: "patch-failed",
    0x8A150014: "patch-unknown-update",
    0x8A150011: "patch-untrusted",
    0x8A15004F: "patch-unknown-update",
    0x8A150050: "patch-unknown-update",
    # The same number stands twice in its table: pinned, and in use.
    0x8A150068: "patch-held",
    0x8A150069: "patch-locked",
    0x8A15003A: "patch-blocked",
    0x8A150008: "patch-network",
    0x8A15000F: "patch-network",
    0x80072EE7: "patch-network",
    0x80072EFD: "patch-network",
    0x80070005: "patch-denied",
}
_MAX_PACKAGES: Final = 5000


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What became of one package; `code` is unsigned."""

    id: str
    code: int
    words: str


def parse_packages(text: str) -> list[Update]:
    """Read what winget_list.ps1 printed.

    Raises:
        ProviderError: `patch-unreadable`, or as classified; with state unsupported where the
            module is not installed.
    """
    document = _document(text)
    found = []
    for one in _objects(document.get("packages"))[:_MAX_PACKAGES]:
        name, offered = str(one.get("id", "")), one.get("available")
        available = offered[0] if isinstance(offered, list) and offered else offered
        if not (_ID.fullmatch(name) and _VERSION.fullmatch(str(available or ""))):
            continue
        installed = str(one.get("installed") or "")[:100]
        found.append(
            Update(
                id=name,
                name=str(one.get("name") or name)[:200],
                installed=installed or UNVERSIONED,
                available=str(available),
                origin=str(one.get("source") or "")[:100],
                held=one.get("pinned") is True,
            )
        )
    return found


def parse_upgrades(text: str) -> list[Upgraded]:
    """Read what winget_apply.ps1 printed.

    Raises:
        ProviderError: `patch-unreadable`, or as classified.
    """
    return [
        Upgraded(
            str(one.get("id", "")), _unsigned(one.get("code")), str(one.get("words", ""))[:2000]
        )
        for one in _objects(_document(text).get("results"))[:_MAX_PACKAGES]
    ]


def classify(code: int, words: str = "") -> ProviderError:
    """Return the error that a code of winget's stands for, whichever sign it came with."""
    number = _unsigned(code)
    kind = _CODES.get(number, "patch-failed")
    if number == 0x8A150068 and re.search(r"in use|being used|running", words):
        kind = "patch-in-use"
    error = refusal("winget", code, words, (), {code: kind})
    error.message = f"{error.message} (0x{number:08X})"
    return error


def _document(text: str) -> dict[str, Any]:
    document = parse_document("winget", text)
    if "missing" in document:
        raise ProviderError(
            "patch-failed", f"{str(document['missing'])[:60]} is not installed",
            state="unsupported",
        )  # fmt: skip
    if "error" in document:
        raise classify(_unsigned(document["error"]), str(document.get("words", ""))[:500])
    if not {"packages", "results"} & set(document):
        raise unreadable("winget", text)
    return document


def _objects(value: Any) -> list[dict[str, Any]]:
    # Windows PowerShell unwraps a list of one in some places, and an empty one to null.
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, dict)]


def _unsigned(value: Any) -> int:
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    return number & 0xFFFFFFFF
