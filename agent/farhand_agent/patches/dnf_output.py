"""What dnf and yum print, read.  No process is started here.

Every function takes arbitrary text and skips what it does not know; none raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from farhand_agent.patches.provider import PACKAGE_NAME, Kind, ProviderError, Severity
from farhand_agent.patches.refusals import Row, refusal

__all__ = [
    "Advisory",
    "Available",
    "classify",
    "parse_advisories",
    "parse_check_update",
    "parse_removals",
    "parse_repoquery",
    "parse_versionlock",
    "plain_evr",
]

_NEVRA: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*)-(?:(?P<epoch>[0-9]+):)?(?P<version>[^\s-]+)"
    r"-(?P<release>[^\s-]+)\.(?P<arch>[A-Za-z0-9_*]+)"
)
_SEVERITIES: Final[dict[str, Severity]] = {
    "critical": "critical",
    "important": "important",
    "moderate": "moderate",
    "low": "low",
}
_KINDS: Final[dict[str, Kind]] = {
    "security": "security",
    "sec.": "security",
    "bugfix": "bugfix",
    "enhancement": "enhancement",
}
_TYPES: Final = frozenset(["security", "bugfix", "enhancement", "newpackage", "unspecified"])


@dataclass(frozen=True, slots=True)
class Available:
    """One package that a repository has newer."""

    name: str
    evr: str
    arch: str
    repository: str


@dataclass(frozen=True, slots=True)
class Advisory:
    """One line of `updateinfo list`: an advisory and a package that it brings."""

    id: str
    kind: Kind
    severity: Severity
    name: str
    evr: str
    arch: str


def plain_evr(evr: str) -> str:
    """Return epoch:version-release without an epoch of 0, as people and advisories write it."""
    return evr.removeprefix("0:").removeprefix("(none):")


def parse_repoquery(text: str) -> list[Available]:
    """Read `repoquery --qf '%{name}|%{epoch}:%{version}-%{release}|%{arch}|%{repoid}'`."""
    found = []
    for line in text.split("\n"):
        fields = line.strip().split("|")
        if len(fields) == 4 and PACKAGE_NAME.fullmatch(fields[0]) and all(fields):
            found.append(Available(fields[0], plain_evr(fields[1]), fields[2], fields[3]))
    return found


def parse_check_update(text: str) -> list[Available]:
    """Read `check-update`: "NAME.ARCH VERSION REPOSITORY", long names wrapped onto more lines.

    What follows "Obsoleting Packages" or "Security:" is not about updates.
    """
    found = []
    words: list[str] = []
    for line in text.split("\n"):
        if line.startswith(("Obsoleting Packages", "Security:", "Last metadata")):
            words = []
            if line.startswith("Obsoleting"):
                break
            continue
        if not line.strip():
            words = []
            continue
        words = [*words, *line.split()] if line[0].isspace() else line.split()
        if len(words) == 3:
            name, _, arch = words[0].rpartition(".")
            if PACKAGE_NAME.fullmatch(name) and arch:
                found.append(Available(name, plain_evr(words[1]), arch, words[2]))
            words = []
    return found


def parse_advisories(text: str) -> list[Advisory]:
    """Read `updateinfo list`: "ID TYPE-OR-SEVERITY NEVRA" per line.

    dnf 5 has a heading and both columns: "ID TYPE SEVERITY NEVRA DATE TIME".
    """
    found = []
    for line in text.split("\n"):
        fields = line.split()
        if len(fields) == 6 and fields[1].lower() in _TYPES:
            kind_word, label, nevra = fields[1].lower(), fields[2].lower(), fields[3]
        elif len(fields) == 3:
            label, _, kind_word = fields[1].lower().partition("/")
            nevra = fields[2]
        else:
            continue
        if not (package := _NEVRA.fullmatch(nevra)):
            continue
        kind: Kind = _KINDS.get(kind_word) or _KINDS.get(label, "unknown")
        found.append(
            Advisory(
                id=fields[0],
                kind=kind,
                severity=_SEVERITIES.get(label, "unknown"),
                name=package["name"],
                evr=_evr(package),
                arch=package["arch"],
            )
        )
    return found


def parse_versionlock(text: str) -> dict[str, list[str]]:
    """Read `versionlock list`: package name to the versions that it is locked to.

    Entries that start with "!" forbid a version instead of holding one and are left out.  dnf 5
    writes "Package name: NAME" with "evr = VERSION" below.
    """
    locks: dict[str, list[str]] = {}
    name = ""
    for line in text.split("\n"):
        words = line.strip()
        if found := _NEVRA.fullmatch(words):
            locks.setdefault(found["name"], []).append(_evr(found))
        elif words.startswith("Package name: "):
            name = words.removeprefix("Package name: ")
        elif name and words.startswith("evr = "):
            locks.setdefault(name, []).append(plain_evr(words.removeprefix("evr = ")))
    return locks


def parse_removals(text: str) -> list[str]:
    """Read the transaction table of `upgrade --assumeno`: names under its "Removing" headings."""
    names = []
    removing = False
    for line in text.split("\n"):
        if line and not line[0].isspace():
            removing = line.startswith("Removing")
        elif removing and (words := line.split()) and PACKAGE_NAME.fullmatch(words[0]):
            names.append(words[0])
    return names


def _evr(package: re.Match[str]) -> str:
    epoch = package["epoch"]
    version = f"{package['version']}-{package['release']}"
    return f"{epoch}:{version}" if epoch and epoch != "0" else version


_ROWS: Final[tuple[Row, ...]] = (
    (r"superuser privileges|Permission denied|you need to be root", "patch-denied"),
    (
        r"Existing lock|another (?:copy|process) is|Waiting for process with pid|"
        r"Another transaction is in progress|transaction lock",
        "patch-locked",
    ),
    (r"GPG check FAILED|Public key .* is not installed|repomd\.xml GPG", "patch-untrusted"),
    (
        r"No packages marked for (?:up|down)grade|No match for argument|No Match for argument"
        r"|Unable to find a match|Error: No package",
        "patch-unknown-update",
    ),
    (r"Cache-only enabled but no cache", "patch-not-refreshed"),
    (
        r"Failed to download metadata|Cannot (?:download|prepare)|Could not resolve host|"
        r"Curl error|All mirrors were tried|Cannot find a valid baseurl",
        "patch-network",
    ),
    (r"more space needed|Disk Requirements|No space left on device", "patch-disk-full"),
    (
        r"Problem[ :\d]|nothing provides|conflicting requests|cannot install both",
        "patch-unmet-dependencies",
    ),
)
# Only with --setopt=exit_on_lock=1; dnf waits without end otherwise.
_EXITS: Final = {200: "patch-locked"}


def classify(tool: str, exit_code: int, error_text: str) -> ProviderError:
    """Return the error that the exit code and the words stand for; what is not known stays
    `patch-failed`.
    """
    return refusal(tool, exit_code, error_text, _ROWS, _EXITS)
