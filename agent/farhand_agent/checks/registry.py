"""What a check is, and which there are: every module in `builtin` that registers a function.

Adding a check is one function in a module there, its sentences in `agent/words/*.po`, its row in
the tests, and `make wrappers` (which makes its shipped script and its row in docs/checks.md).  A
check takes a `CheckContext`, returns one `Finding`, and changes nothing.  What it cannot know is
`unknown` (ask again, or as root), what this system does not have is `unsupported`; neither is ever
`ok`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import farhand_agent.checks.builtin
from farhand_agent.checks.context import CheckContext, Word
from farhand_agent.checks.finding import (
    RISKS,
    CheckResult,
    Finding,
    Metric,
    Risk,
    State,
    Thresholds,
    unknown,
    unsupported,
    worst,
)

__all__ = [
    "EVERYWHERE",
    "UNKNOWN",
    "UNSUPPORTED",
    "Check",
    "CheckContext",
    "CheckResult",
    "Finding",
    "Metric",
    "Sentence",
    "State",
    "Thresholds",
    "Word",
    "check",
    "checks",
    "unknown",
    "unsupported",
    "worst",
]

EVERYWHERE: Final = ("linux", "windows", "macos")
UNKNOWN: Final = "This could not be checked on this device."
UNSUPPORTED: Final = "There is nothing of this kind to check on this device."
_ID = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*")

# One text, or two for a number {n}: of one, and of many.
Sentence = str | tuple[str, str]
Function = Callable[[CheckContext], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One registered check.

    Attributes:
        id: dotted lower-case name; the shipped script is `check.` and this.
        title: what is checked, for technicians.
        unit: of the finding's value.
        platforms: where it can work; elsewhere the runner answers `unsupported`.
        plain: its sentences for a layperson by state, or by what `Finding.sentence` names.
        limits: default thresholds; `percent` is overridden by `warning_percent` and
            `critical_percent`.
        words: its text parameters.
        advice: what a technician does about it.
        risk: the risk class of that.
        remedies: ids of shipped scripts that may do it; the first is the usual one.
        timeout_s: seconds until the runner answers `unknown` in its place.
        function: the check itself; its docstring says what it measures.
    """

    id: str
    title: str
    unit: str | None
    platforms: tuple[str, ...]
    plain: Mapping[str, Sentence] = field(hash=False)
    limits: Mapping[str, Thresholds] = field(hash=False)
    words: Mapping[str, Word] = field(hash=False)
    advice: str
    risk: Risk
    remedies: tuple[str, ...]
    timeout_s: float
    function: Function

    def sentence(self, finding: Finding) -> Sentence:
        """Return the English sentence that says a finding."""
        standard = UNSUPPORTED if finding.state == "unsupported" else UNKNOWN
        return self.plain.get(finding.sentence or finding.state, standard)


_registered: dict[str, Check] = {}


def check(
    check_id: str,
    title: str,
    *,
    plain: Mapping[str, Sentence],
    advice: str,
    risk: Risk,
    unit: str | None = None,
    platforms: Iterable[str] = ("linux",),
    limits: Mapping[str, Thresholds] | None = None,
    words: Mapping[str, Word] | None = None,
    remedies: Iterable[str] = (),
    timeout_s: float = 20.0,
) -> Callable[[Function], Function]:
    """Register the decorated function as a check; the arguments are the fields of `Check`.

    Raises:
        ValueError: the id is not allowed or taken, or there is no sentence for `ok`.
    """
    if not _ID.fullmatch(check_id) or check_id in _registered:
        raise ValueError(f"check id {check_id!r} is not allowed or taken")
    if "ok" not in plain or risk not in RISKS:
        raise ValueError(f"check {check_id!r} lacks a sentence or has no such risk")

    def register(function: Function) -> Function:
        _registered[check_id] = Check(
            id=check_id,
            title=title,
            unit=unit,
            platforms=tuple(platforms),
            plain=dict(plain),
            limits=dict(limits or {}),
            words=dict(words or {}),
            advice=advice,
            risk=risk,
            remedies=tuple(remedies),
            timeout_s=timeout_s,
            function=function,
        )
        return function

    return register


def checks() -> dict[str, Check]:
    """Return all checks by id, sorted, after importing every module of `builtin`."""
    package = farhand_agent.checks.builtin
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{info.name}")
    return dict(sorted(_registered.items()))
