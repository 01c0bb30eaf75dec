"""What npm prints, read.  No process is started here.

Source: npm's documentation of `npm outdated --json` and `npm audit --json`.  npm ends with 1 for
findings and for failures alike, and prints JSON for both: the document decides.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from farhand_agent.patches.provider import ProviderError, Severity
from farhand_agent.patches.refusals import Row, refusal, unreadable

__all__ = ["Outdated", "Vulnerable", "classify", "parse_audit", "parse_outdated"]

# Source: validate-npm-package-name, with an optional scope.
_NAME: Final = re.compile(
    r"(?:@[a-z0-9~-][a-z0-9._~-]{0,100}/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]{0,213}"
)
_SEVERITIES: Final[dict[str, Severity]] = {
    "critical": "critical",
    "high": "important",
    "moderate": "moderate",
    "low": "low",
}
_MAX_PACKAGES: Final = 5000


@dataclass(frozen=True, slots=True)
class Outdated:
    """One package of which the registry has a newer version."""

    name: str
    installed: str
    available: str


@dataclass(frozen=True, slots=True)
class Vulnerable:
    """One package with known vulnerabilities."""

    severity: Severity
    advisories: tuple[str, ...]


def parse_outdated(text: str) -> list[Outdated]:
    """Read `npm outdated --json`; an empty object is "nothing".

    Raises:
        ProviderError: `patch-unreadable`, or as classified where the document is an error.
    """
    found = []
    for name, one in _report("npm outdated", text).items():
        # A package that is installed twice comes as a list.
        first = one[0] if isinstance(one, list) and one else one
        if not (isinstance(first, dict) and _NAME.fullmatch(name)):
            continue
        installed, latest = first.get("current"), first.get("latest")
        if isinstance(latest, str) and latest and latest != installed:
            found.append(Outdated(name, str(installed or "")[:100], latest[:100]))
    return found[:_MAX_PACKAGES]


def parse_audit(text: str) -> dict[str, Vulnerable]:
    """Read `npm audit --json`: package name to what is known against it.

    Raises:
        ProviderError: `patch-unreadable` where there is neither a report nor an error, or as
            classified where the document is an error ("405 Method Not Allowed" of a registry
            that has no audit is one, with the same exit code as findings).
    """
    listed = _report("npm audit", text).get("vulnerabilities")
    if not isinstance(listed, dict):
        raise unreadable("npm audit", text)
    found = {}
    for name, one in list(listed.items())[:_MAX_PACKAGES]:
        if isinstance(one, dict):
            via = one.get("via")
            sources = [v for v in (via if isinstance(via, list) else []) if isinstance(v, dict)]
            found[name] = Vulnerable(
                _SEVERITIES.get(str(one.get("severity")), "unknown"),
                tuple(str(v.get("url") or v.get("source") or "")[:200] for v in sources[:50]),
            )
    return found


def _report(tool: str, text: str) -> dict[str, Any]:
    start = text.find("{")
    try:
        found = json.JSONDecoder().raw_decode(text, start)[0] if start >= 0 else {}
    except (ValueError, RecursionError) as error:
        raise unreadable(tool, text) from error
    if start < 0 and text.strip():
        raise unreadable(tool, text)
    if not isinstance(found, dict):
        return {}
    said = found.get("error")
    if isinstance(said, dict):
        words = f"{said.get('code', '')} {said.get('summary', '')} {said.get('detail', '')}"
        raise classify(1, words)
    if isinstance(found.get("message"), str):
        raise classify(1, found["message"])
    return found


_ROWS: Final[tuple[Row, ...]] = (
    (r"EAUDITGLOBAL|ENOLOCK|EAUDITNOLOCK", "patch-unknown-update"),
    (r"EACCES|EPERM|permission denied", "patch-denied"),
    (r"EINTEGRITY", "patch-untrusted"),
    (r"ENOSPC", "patch-disk-full"),
    (
        r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|E40[0-9]|E50[0-9]|"
        r"40[0-9] |50[0-9] |network|audit endpoint",
        "patch-network",
    ),
)


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that npm's words stand for."""
    return refusal("npm", exit_code, text, _ROWS)
