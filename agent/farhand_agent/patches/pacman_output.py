"""What pacman prints, read.  No process is started here.

Source: pacman(8) and what pacman 6.0 was seen to print.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from farhand_agent.patches.provider import PACKAGE_NAME, ProviderError
from farhand_agent.patches.refusals import Row, refusal

__all__ = ["Available", "classify", "parse_plan", "parse_updates", "parse_versions"]

_UPDATE: Final = re.compile(r"(?P<name>\S+) (?P<old>\S+) -> (?P<new>\S+)(?P<ignored> \[ignored\])?")


@dataclass(frozen=True, slots=True)
class Available:
    """One package that a repository has newer; `ignored` where a person said IgnorePkg."""

    name: str
    installed: str
    available: str
    ignored: bool


def parse_updates(text: str) -> list[Available]:
    """Read `pacman -Qu`: "NAME OLD -> NEW", with "[ignored]" behind what is held."""
    found = []
    for line in text.split("\n"):
        match = _UPDATE.fullmatch(line.strip())
        if match and PACKAGE_NAME.fullmatch(match["name"]):
            found.append(
                Available(match["name"], match["old"], match["new"], bool(match["ignored"]))
            )
    return found


def parse_plan(text: str) -> list[tuple[str, str, str]]:
    """Read `pacman -Sup --print-format '%n %v %r'`: name, version, repository."""
    found = []
    for line in text.split("\n"):
        fields = line.split(" ")
        if len(fields) == 3 and PACKAGE_NAME.fullmatch(fields[0]):
            found.append((fields[0], fields[1], fields[2]))
    return found


def parse_versions(text: str) -> dict[str, str]:
    """Read `pacman -Q`: "NAME VERSION" per line."""
    pairs = [line.split(" ") for line in text.split("\n")]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


_ROWS: Final[tuple[Row, ...]] = (
    (r"could not lock database: File exists|unable to lock database", "patch-locked"),
    (r"unless you are root|Permission denied|could not lock database", "patch-denied"),
    (
        r"invalid or corrupted (?:package|database)|signature from .* is|unknown trust|"
        r"PGP signature|required key missing",
        "patch-untrusted",
    ),
    (r"target not found|could not find or read package", "patch-unknown-update"),
    (r"not enough free disk space|No space left on device", "patch-disk-full"),
    (
        r"failed retrieving file|failed to (?:retrieve|synchronize|update)|"
        r"Could not resolve host|Connection timed out|no servers configured",
        "patch-network",
    ),
    (r"database file for '[^']*' does not exist|database .* is not (?:valid|found)",
     "patch-not-refreshed"),
    (
        r"could not satisfy dependencies|breaks dependency|conflicting (?:dependencies|files)|"
        r"unable to satisfy dependency|exists in filesystem",
        "patch-unmet-dependencies",
    ),
)  # fmt: skip


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that pacman's words stand for; its exit code is 1 for everything."""
    return refusal("pacman", exit_code, text, _ROWS)
