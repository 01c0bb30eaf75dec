"""What apk prints and keeps, read.  No process is started here.

Source: apk-version(8), apk-upgrade(8) and the format of /lib/apk/db/installed.
"""

from __future__ import annotations

import re
from typing import Final

from farhand_agent.patches.provider import PACKAGE_NAME, ProviderError
from farhand_agent.patches.refusals import Row, refusal

__all__ = [
    "classify",
    "parse_installed",
    "parse_pins",
    "parse_upgrades",
    "parse_versions",
]

# NAME-VERSION-rN: the version begins with a digit, names may hold hyphens.
_PACKAGE: Final = r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*?)-(?P<old>[0-9][^\s-]*-r[0-9]+)"
_VERSION: Final = re.compile(_PACKAGE + r"\s+<\s+(?P<new>\S+).*")
_STEP: Final = re.compile(
    r"\([0-9]+/[0-9]+\) (?P<verb>Upgrading|Installing|Purging|Downgrading|Replacing|Reinstalling) "
    r"(?P<name>\S+) \((?P<old>\S+)(?: -> (?P<new>\S+))?\)"
)
_PIN: Final = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*)(?:=|~|<|>~?)\S*")


def parse_versions(text: str) -> list[tuple[str, str, str]]:
    """Read `apk version -v -l '<'`: name, installed, available."""
    found = []
    for line in text.split("\n"):
        if (match := _VERSION.fullmatch(line.strip())) and PACKAGE_NAME.fullmatch(match["name"]):
            found.append((match["name"], match["old"], match["new"]))
    return found


def parse_upgrades(text: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Read `apk upgrade --simulate`.

    Returns:
        Name, old and new version ("" for a package that comes in new) of what would be
        installed, and the names of what would be removed.
    """
    changes, removals = [], []
    for line in text.split("\n"):
        found = _STEP.match(line.strip())
        if not found or not PACKAGE_NAME.fullmatch(found["name"]):
            continue
        if found["verb"] == "Purging":
            removals.append(found["name"])
        elif found["new"]:
            changes.append((found["name"], found["old"], found["new"]))
        else:
            changes.append((found["name"], "", found["old"]))
    return changes, removals


def parse_installed(text: str) -> dict[str, str]:
    """Read /lib/apk/db/installed: name to version, from its "P:" and "V:" lines."""
    versions: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if line.startswith("P:"):
            name = line[2:]
        elif line.startswith("V:") and name:
            versions[name] = line[2:]
        elif not line:
            name = ""
    return versions


def parse_pins(text: str) -> set[str]:
    """Read /etc/apk/world: the names that a person bound to a version."""
    return {found["name"] for word in text.split() if (found := _PIN.fullmatch(word))}


_ROWS: Final[tuple[Row, ...]] = (
    (r"Unable to lock database: Permission denied|Permission denied", "patch-denied"),
    (r"Unable to lock database|temporarily unavailable", "patch-locked"),
    (r"UNTRUSTED signature|BAD (?:signature|archive)|untrusted", "patch-untrusted"),
    (r"no such package|not found in|required by: .*masked", "patch-unknown-update"),
    (r"No space left on device", "patch-disk-full"),
    (
        r"temporary error|could not (?:resolve|connect)|DNS lookup error|network error|"
        r"Connection (?:refused|timed out|reset)|remote server returned error|"
        r"unable to (?:fetch|connect)|fetching .*: (?:IO ERROR|network)",
        "patch-network",
    ),
    (r"opening .*APKINDEX.*: No such file", "patch-not-refreshed"),
    (r"unable to select packages|unsatisfiable constraints|breaks: ", "patch-unmet-dependencies"),
)


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that apk's words stand for; its exit code is a number of errors."""
    return refusal("apk", exit_code, text, _ROWS)
