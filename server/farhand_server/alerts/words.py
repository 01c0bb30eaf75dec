"""What a device says of its checks, read; and what an alert says on its ticket.

Everything in the section `checks` is hostile: what is no check is left out, text becomes one
printable line, and there are at most `MAX_CHECKS` of them.  Whoever shows it escapes it.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any, Final, NamedTuple, cast

from farhand_protocol.inventory import SectionReport
from farhand_server.alerts.steps import Step, Told

__all__ = ["BREAK_GLASS", "MAX_CHECKS", "Said", "fingerprint", "note", "read_checks", "title"]

# What the alert of an emergency order is called; no device reports a check of this name.
BREAK_GLASS: Final = "break-glass"

# As many as policy can schedule on one device.
MAX_CHECKS: Final = 256
_MAX_SUMMARY_CHARS: Final = 200
_MAX_SUBJECT_CHARS: Final = 100
_CHECK: Final = re.compile(r"[a-z][a-z0-9_.-]{0,99}\Z")
_STATES: Final = ("ok", "warning", "critical", "unknown")


class Said(NamedTuple):
    """One check of a report."""

    check: str
    subject: str
    told: Told
    summary: str
    value: float | None
    unit: str | None


def read_checks(report: SectionReport) -> list[Said]:
    """Return the checks of a report, each once; what the device cannot have is left out."""
    found: dict[tuple[str, str], Said] = {}
    for item in report.items:
        said = _read(item)
        if said is not None and len(found) < MAX_CHECKS:
            found.setdefault((said.check, said.subject), said)
    return list(found.values())


def _read(item: dict[str, Any]) -> Said | None:
    check, state = item.get("id"), item.get("state")
    if not isinstance(check, str) or not _CHECK.match(check) or state not in _STATES:
        return None
    if check == BREAK_GLASS:
        return None
    return Said(
        check=check,
        subject=_line(item.get("subject"), _MAX_SUBJECT_CHARS),
        told=cast(Told, state),
        summary=_line(item.get("summary"), _MAX_SUMMARY_CHARS),
        value=_number(item.get("value")),
        unit=_line(item.get("unit"), 32) or None,
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < 1e18 else None


def _line(text: object, max_chars: int) -> str:
    if not isinstance(text, str):
        return ""
    line = "".join(c if c.isprintable() else " " for c in text[: 4 * max_chars])
    return " ".join(line.split())[:max_chars]


def fingerprint(device: str, check: str, subject: str) -> str:
    """Return by what one thing that is wrong is known again."""
    return hashlib.sha256("\0".join((device, check, subject)).encode()).hexdigest()[:32]


def title(check: str, subject: str, device_name: str) -> str:
    """Return the title of the ticket that an alert opens."""
    what = f"{check} {subject}".strip()
    return f"{what} on {_line(device_name, 60) or 'a device'}"[:200]


_WORDS: Final[dict[Step, str]] = {
    "raise": "{severity}: {what}. {summary}",
    "reopen": "{severity} again: {what}. {summary}",
    "worse": "worse, now {severity}: {what}. {summary}",
    "milder": "milder, now {severity}: {what}. {summary}",
    "lost": "{what} cannot be found out any more; whether it still holds is not known. {summary}",
    "found": "{what} can be found out again: {severity}. {summary}",
    "recover": "recovered: {what}. {summary}",
    "withdraw": "{what} is not checked on the device any more; whether it is well is not known.",
}


def note(kind: Step, *, check: str, subject: str, severity: str, summary: str) -> str:
    """Return what the ticket is told of a step."""
    what = f"{check} {subject}".strip()
    return _WORDS[kind].format(severity=severity, what=what, summary=summary).strip()
