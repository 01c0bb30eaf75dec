"""What zypper and rpm print, read.  No process is started here.

Source: zypper(8), "EXIT CODES" and "--xmlout"; the shapes were recorded from zypper 1.14.42.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from farhand_agent.patches.provider import PACKAGE_NAME, Kind, ProviderError, Severity
from farhand_agent.patches.refusals import Row, refusal, unreadable

__all__ = [
    "NEW_ZYPPER",
    "REBOOT",
    "Available",
    "Patch",
    "classify",
    "parse_locks",
    "parse_patch_packages",
    "parse_patches",
    "parse_plan",
    "parse_updates",
]

REBOOT: Final = 102
# zypper replaced itself and wants to be started once more for the rest.
NEW_ZYPPER: Final = 103
_KINDS: Final[dict[str, Kind]] = {
    "security": "security",
    "recommended": "bugfix",
    "bugfix": "bugfix",
    "optional": "enhancement",
    "enhancement": "enhancement",
    "feature": "enhancement",
}
_SEVERITIES: Final[dict[str, Severity]] = {
    "critical": "critical",
    "important": "important",
    "moderate": "moderate",
    "low": "low",
}
_MAX_CVES: Final = 100


@dataclass(frozen=True, slots=True)
class Available:
    """One package that a repository has newer."""

    name: str
    installed: str
    available: str
    arch: str
    repository: str


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch that this system needs; `asks_restart` by its own word."""

    name: str
    kind: Kind
    severity: Severity
    asks_restart: bool
    cves: tuple[str, ...]


def parse_updates(text: str) -> list[Available]:
    """Read `zypper --xmlout list-updates`.

    Raises:
        ProviderError: `patch-unreadable`.
    """
    found = []
    for entry in _root(text).iter("update"):
        name, available = entry.get("name", ""), entry.get("edition", "")
        if entry.get("kind") != "package" or not PACKAGE_NAME.fullmatch(name) or not available:
            continue
        source = entry.find("source")
        found.append(
            Available(
                name=name,
                installed=entry.get("edition-old", ""),
                available=available,
                arch=entry.get("arch", ""),
                repository=source.get("alias", "") if source is not None else "",
            )
        )
    return found


def parse_patches(text: str) -> list[Patch]:
    """Read `zypper --xmlout list-patches`: those that are needed.

    Raises:
        ProviderError: `patch-unreadable`.
    """
    found = []
    for entry in _root(text).iter("update"):
        name = entry.get("name", "")
        if entry.get("kind") != "patch" or not PACKAGE_NAME.fullmatch(name):
            continue
        if entry.get("status", "needed") != "needed":
            continue
        issues = [
            issue.get("id", "") for issue in entry.iter("issue") if issue.get("type") == "cve"
        ]
        found.append(
            Patch(
                name=name,
                kind=_KINDS.get(entry.get("category", ""), "unknown"),
                severity=_SEVERITIES.get(entry.get("severity", ""), "unknown"),
                asks_restart=entry.get("restart") == "true",
                cves=tuple(issue for issue in issues if issue)[:_MAX_CVES],
            )
        )
    return found


def parse_patch_packages(text: str) -> dict[str, list[tuple[str, str, str]]]:
    """Read `zypper info --type patch NAME...`: which packages a patch brings.

    Each is (name, arch, version), the arch "" where the patch names none.  A patch names what it
    replaces as conflicts: "fhlib < 1.1-1" or "fhlib.x86_64 < 1.1-1", one on the line or a count
    there and one on each line below.
    """
    packages: dict[str, list[tuple[str, str, str]]] = {}
    patch, inside = "", False
    for line in text.split("\n"):
        field, colon, value = line.partition(" : ")
        if colon and line[:1].isalpha():
            inside = field.strip() == "Conflicts"
            patch = value.strip() if field.strip() == "Name" else patch
            line = value
        if inside and patch and (found := _CONFLICT.fullmatch(line.strip())):
            packages.setdefault(patch, []).append(
                (found["name"], found["arch"] or "", found["version"])
            )
    return packages


_CONFLICT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*?)"
    r"(?:\.(?P<arch>noarch|x86_64|i[3-6]86|aarch64|armv[67]hl|ppc64le|s390x|riscv64))?"
    r" < (?P<version>\S+)"
)


def parse_locks(text: str) -> list[str]:
    """Read /etc/zypp/locks: the patterns of package names that a person locked.

    A lock of one version only ("solvable_name: a < 2") is left out: it says what is not wanted,
    and zypper's own lists follow it.
    """
    names = []
    for stanza in text.split("\n\n"):
        fields = {
            key.strip(): value.strip()
            for key, found, value in (line.partition(":") for line in stanza.split("\n"))
            if found
        }
        if fields.get("type", "package") == "package" and "version" not in fields:
            name = fields.get("solvable_name", "")
            if name and " " not in name:
                names.append(name)
    return names


def parse_plan(text: str) -> tuple[list[str], list[str]]:
    """Read the summary of `zypper --xmlout install --dry-run`.

    Returns:
        Names of packages that would come in new, and of those that would be removed.

    Raises:
        ProviderError: `patch-unreadable`.
    """
    root = _root(text)
    names: dict[str, list[str]] = {"to-install": [], "to-remove": []}
    for heading, found in names.items():
        for part in root.iter(heading):
            found += [
                entry.get("name", "")
                for entry in part.iter("solvable")
                if entry.get("type") == "package"
            ]
    return names["to-install"], names["to-remove"]


def _root(text: str) -> ElementTree.Element:
    # What plugins and rpm print may stand before and behind the document.
    start, end = text.find("<stream>"), text.rfind("</stream>")
    if start < 0 or end < start:
        raise unreadable("zypper", text)
    try:
        # No entity can be declared inside an element, and what stands before it was cut off.
        return ElementTree.fromstring(text[start : end + len("</stream>")])  # noqa: S314
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise unreadable("zypper", text) from error


_ROWS: Final[tuple[Row, ...]] = (
    (r"Root privileges are required|Permission denied", "patch-denied"),
    (r"System management is locked|zypp.*is locked", "patch-locked"),
    (
        r"Signature verification failed|Digest verification failed|is not signed|"
        r"GPG[- ]key|signature .* (?:invalid|failed)",
        "patch-untrusted",
    ),
    (r"not found in package names|No provider of|not found\.", "patch-unknown-update"),
    (r"No space left|needs .* more (?:disk )?space|not enough (?:disk )?space", "patch-disk-full"),
    (
        r"Could not resolve host|Connection (?:refused|timed out|failed)|Download \(curl\) error|"
        r"Failed to (?:download|retrieve)|Can't provide|File '[^']*' not found on medium|"
        r"Valid metadata not found|Timeout exceeded",
        "patch-network",
    ),
    (r"Problem: |nothing provides|conflicts with", "patch-unmet-dependencies"),
)
_EXITS: Final = {
    5: "patch-denied",
    6: "patch-not-refreshed",
    7: "patch-locked",
    104: "patch-unknown-update",
}


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that zypper's exit code and words stand for."""
    return refusal("zypper", exit_code, text, _ROWS, _EXITS)
