"""What flatpak prints, read.  No process is started here.

Source: flatpak-remote-ls(1), flatpak-list(1), flatpak-mask(1); where standard output is no
terminal, columns are parted by tabs and there is no heading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from farhand_agent.patches.provider import ProviderError
from farhand_agent.patches.refusals import Row, refusal

__all__ = ["COLUMNS", "Application", "classify", "parse_applications", "parse_masks"]

# In this order; the last differs: "commit" of a remote, "active" of what is installed.
COLUMNS: Final = ("application", "arch", "branch", "origin", "version")
_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_COMMIT: Final = re.compile(r"[0-9a-f]{8,64}")
_SHORT: Final = 12


@dataclass(frozen=True, slots=True)
class Application:
    """One application or runtime; `version` is shown with its commit, which alone is exact."""

    id: str
    name: str
    arch: str
    origin: str
    version: str


def parse_applications(text: str) -> list[Application]:
    """Read the columns application, arch, branch, origin, version and a commit."""
    found = []
    for line in text.split("\n"):
        fields = line.split("\t")
        if len(fields) != len(COLUMNS) + 1:
            continue
        name, arch, branch, origin, version, commit = (field.strip() for field in fields)
        if not (_REF.fullmatch(name) and _REF.fullmatch(arch) and _REF.fullmatch(branch)):
            continue
        if not _COMMIT.fullmatch(commit):
            continue
        short = commit[:_SHORT]
        found.append(
            Application(
                id=f"{name}/{arch}/{branch}",
                name=name,
                arch=arch,
                origin=origin,
                version=f"{version} ({short})" if version else short,
            )
        )
    return found


def parse_masks(text: str) -> list[str]:
    """Read `flatpak mask`: the indented patterns; none where it says that there are none."""
    return [line.strip() for line in text.split("\n") if line.startswith((" ", "\t"))]


_ROWS: Final[tuple[Row, ...]] = (
    (r"[Nn]ot allowed for user|Permission denied|requires authentication|polkit", "patch-denied"),
    (r"Unable to lock|is locked|Timeout .* lock", "patch-locked"),
    (r"GPG (?:verification|signatures)|Can't check signature|no GPG key", "patch-untrusted"),
    (r"not installed|No (?:remote )?ref|Nothing matches|Can't find ref", "patch-unknown-update"),
    (r"No space left|not enough disk space|min-free-space", "patch-disk-full"),
    (
        r"Could(?:n't| not) (?:resolve|connect)|Unable to (?:load|connect)|While fetching|"
        r"Can't load uri|Failed to connect|timed out",
        "patch-network",
    ),
)


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that flatpak's words stand for."""
    return refusal("flatpak", exit_code, text, _ROWS)
