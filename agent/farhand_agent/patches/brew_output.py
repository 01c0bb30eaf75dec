"""What brew prints, read.  No process is started here.

Source: brew(1) and docs.brew.sh, `brew outdated --json=v2` and `brew info --json=v2`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from farhand_agent.patches.provider import PACKAGE_NAME, ProviderError, Update
from farhand_agent.patches.refusals import Row, refusal, unreadable

__all__ = ["classify", "parse_installed", "parse_outdated"]


class _Outdated(msgspec.Struct):
    name: str
    installed_versions: list[str] | str = msgspec.field(default_factory=list)
    current_version: str = ""
    pinned: bool = False


class _OutdatedList(msgspec.Struct):
    formulae: list[_Outdated] = msgspec.field(default_factory=list)
    casks: list[_Outdated] = msgspec.field(default_factory=list)


def parse_outdated(text: str) -> list[Update]:
    """Read `brew outdated --json=v2`; ids are "formula:NAME" and "cask:NAME".

    Raises:
        ProviderError: `patch-unreadable`.
    """
    try:
        found = msgspec.json.decode(_document(text), type=_OutdatedList)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise unreadable("brew", text) from error
    return [
        Update(
            id=f"{kind}:{one.name}",
            name=one.name,
            installed=_last(one.installed_versions),
            available=one.current_version,
            origin=kind,
            held=one.pinned,
        )
        for kind, part in (("formula", found.formulae), ("cask", found.casks))
        for one in part
        if PACKAGE_NAME.fullmatch(one.name.replace("/", "-"))
    ]


def parse_installed(text: str) -> dict[str, list[str]]:
    """Read `brew info --json=v2 --installed`: id to the versions that are installed.

    Raises:
        ProviderError: `patch-unreadable`.
    """
    try:
        found = msgspec.json.decode(_document(text), type=dict[str, list[dict[str, Any]]])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise unreadable("brew", text) from error
    versions: dict[str, list[str]] = {}
    for one in found.get("formulae", []):
        kept = one.get("installed")
        names = (
            [str(keg.get("version", "")) for keg in kept if isinstance(keg, dict)]
            if isinstance(kept, list)
            else []
        )
        versions[f"formula:{one.get('name', '')}"] = names
    for one in found.get("casks", []):
        versions[f"cask:{one.get('token', '')}"] = [str(one.get("installed") or "")]
    return versions


def _document(text: str) -> str:
    # Warnings and "==> Downloading" lines may stand before the document.
    start = text.find("{")
    return text[start:] if start >= 0 else text


def _last(versions: list[str] | str) -> str:
    # brew names the kegs oldest first; a cask has one version, in some releases not as a list.
    if isinstance(versions, str):
        return versions
    return versions[-1] if versions else ""


_ROWS: Final[tuple[Row, ...]] = (
    (
        r"Running Homebrew as root|Permission denied|not writable|a password is required",
        "patch-denied",
    ),
    (r"Another (?:active )?Homebrew .* process|already locked|has already locked", "patch-locked"),
    (r"SHA-?256 mismatch|checksum|Checksum", "patch-untrusted"),
    (r"No available formula|No available cask|not installed", "patch-unknown-update"),
    (r"is already running|close .* before", "patch-in-use"),
    (r"No space left on device", "patch-disk-full"),
    (
        r"Failed to download|curl: \([0-9]+\)|Could not resolve host|Download failed",
        "patch-network",
    ),
)


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that brew's words stand for."""
    return refusal("brew", exit_code, text, _ROWS)
