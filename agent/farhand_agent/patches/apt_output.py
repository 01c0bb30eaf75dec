"""What apt prints, read: simulations, policy tables, errors.  No process is started here.

Every function takes arbitrary text and skips what it does not know; none raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from farhand_agent.patches.provider import PACKAGE_NAME, ProviderError
from farhand_agent.patches.refusals import Row, refusal

__all__ = [
    "Candidate",
    "Policy",
    "Simulation",
    "classify",
    "is_security_origin",
    "parse_policy",
    "parse_release_labels",
    "parse_simulation",
]

# The origin label decides, never the suite: the same suite name moves from stable-security to
# oldstable-security on release day.  Source: check_apt's default pattern, plus Ubuntu's ESM.
_SECURITY: Final = re.compile(
    r"\ADebian-Security:|\AUbuntu:[^/]*/[^-]*-security\Z|\AUbuntuESM(?:Apps|Infra)?:"
)
_INST: Final = re.compile(
    r"Inst (?P<name>\S+) (?:\[(?P<old>[^\]\s]*)\] )?"
    r"\((?P<new>[^\s)]+)(?: (?P<origins>[^\[]*?))?(?: \[(?P<arch>[^\]\s]+)\])?\)"
)
_REMOVE: Final = re.compile(r"(?:Remv|Purg) (?P<name>\S+)")
_BLOCKS: Final = {
    "The following packages have been kept back:": "kept_back",
    "The following upgrades have been deferred due to phasing:": "phased",
}
_VERSION_LINE: Final = re.compile(
    r" (?P<mark>\*\*\*|   ) (?P<version>\S+) -?\d+(?P<phased> \(phased.*)?\s*"
)
_SOURCE_LINE: Final = re.compile(
    r"\s+-?\d+ (?P<source>\S+ \S+/\S+ \S+ Packages|\S+ \S+ Packages)\s*"
)
_RELEASE: Final = re.compile(r"\s+release (?P<fields>.*)")


def is_security_origin(origin: str) -> bool:
    """Return whether an origin as apt prints it ("LABEL:VERSION/SUITE") is a security archive."""
    return _SECURITY.search(origin) is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One `Inst` line; `installed` is "" for a package that would come in new."""

    name: str
    installed: str
    available: str
    arch: str
    origins: tuple[str, ...]


@dataclass(slots=True)
class Simulation:
    """What `apt-get -s` would do."""

    installs: list[Candidate] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)
    kept_back: list[str] = field(default_factory=list)
    phased: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Policy:
    """One package in `apt-cache policy`; `newer` are the sources of versions above installed.

    `phased` says that the distribution rolls the candidate out to a share of devices at a time.
    """

    installed: str = ""
    candidate: str = ""
    phased: bool = False
    newer: list[str] = field(default_factory=list)
    candidate_sources: list[str] = field(default_factory=list)


def parse_simulation(text: str) -> Simulation:
    """Read the output of `apt-get -s -q ...`."""
    result = Simulation()
    block: list[str] | None = None
    for line in text.split("\n"):
        if line.startswith("  ") and block is not None:
            block.extend(name for name in line.split() if PACKAGE_NAME.fullmatch(name))
            continue
        wanted = _BLOCKS.get(line.strip())
        block = getattr(result, wanted) if wanted else None
        if (found := _INST.match(line)) and PACKAGE_NAME.fullmatch(found["name"]):
            origins = [part.strip() for part in (found["origins"] or "").split(",")]
            result.installs.append(
                Candidate(
                    name=found["name"],
                    installed=found["old"] or "",
                    available=found["new"],
                    arch=found["arch"] or "",
                    origins=tuple(part for part in origins if part),
                )
            )
        elif removed := _REMOVE.match(line):
            result.removals.append(removed["name"])
    return result


def parse_release_labels(text: str) -> dict[str, str]:
    """Read `apt-cache policy` without arguments: which source line has which origin label.

    Returns:
        From "URL SUITE/COMPONENT ARCH Packages" to "LABEL:VERSION/SUITE", as in `Inst` lines.
    """
    labels: dict[str, str] = {}
    source = ""
    for line in text.split("\n"):
        if found := _SOURCE_LINE.fullmatch(line):
            source = found["source"]
        elif source and (release := _RELEASE.fullmatch(line)):
            pairs = dict(p.split("=", 1) for p in release["fields"].split(",") if "=" in p)
            labels[source] = f"{pairs.get('l', '')}:{pairs.get('v', '')}/{pairs.get('a', '')}"
            source = ""
    return labels


def parse_policy(text: str) -> dict[str, Policy]:
    """Read `apt-cache policy NAME...`.

    A version from the main archive may contain an older fix from the security archive, so every
    version above the installed one counts, not only the candidate.
    """
    packages: dict[str, Policy] = {}
    current: Policy | None = None
    version, above = "", False
    for line in text.split("\n"):
        if line and not line[0].isspace():
            current, version, above = Policy(), "", False
            packages[line.rstrip(":")] = current
        elif current is None:
            continue
        elif line.startswith("  Installed: "):
            current.installed = _version(line)
        elif line.startswith("  Candidate: "):
            current.candidate = _version(line)
        elif line.startswith("  Version table:"):
            # The table goes from the highest version down; "***" marks the installed one.
            above = bool(current.installed)
        elif found := _VERSION_LINE.fullmatch(line):
            version = found["version"]
            above = above and found["mark"] != "***"
            if version == current.candidate and found["phased"]:
                current.phased = True
        elif found := _SOURCE_LINE.fullmatch(line):
            if above:
                current.newer.append(found["source"])
            if version and version == current.candidate:
                current.candidate_sources.append(found["source"])
    return packages


def _version(line: str) -> str:
    value = line.split(": ", 1)[1].strip()
    return "" if value == "(none)" else value


_ROWS: Final[tuple[Row, ...]] = (
    (r"13: Permission denied|are you root|Operation not permitted", "patch-denied"),
    (
        r"Could not get lock|Unable to acquire the dpkg frontend lock|is another process using it",
        "patch-locked",
    ),
    (r"dpkg was interrupted", "patch-interrupted"),
    (r"Held packages were changed", "patch-held"),
    (
        r"Unable to locate package|Version '[^']*' for '[^']*' was not found|has no installation"
        r" candidate",
        "patch-unknown-update",
    ),
    (
        r"unmet dependencies|held broken packages|Unable to correct problems|Broken packages",
        "patch-unmet-dependencies",
    ),
    (
        r"NO_PUBKEY|is not signed|couldn't be verified|EXPKEYSIG|not valid yet|no longer valid"
        r"|Hash Sum mismatch|File has unexpected size",
        "patch-untrusted",
    ),
    (r"enough free space|No space left on device", "patch-disk-full"),
    (
        r"Temporary failure resolving|Could not resolve|Could not connect|Failed to fetch|"
        r"Connection (?:refused|timed out|failed)|Unable to connect|Some index files failed",
        "patch-network",
    ),
)


def classify(exit_code: int, error_text: str) -> ProviderError:
    """Return the error that apt's exit code and stderr stand for.

    apt answers 100 to everything that goes wrong, so the words decide; what is not known stays
    `patch-failed`.
    """
    return refusal("apt", exit_code, error_text, _ROWS)
