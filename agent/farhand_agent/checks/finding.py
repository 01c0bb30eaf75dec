"""What a check answers: a state, a technical line, a number, and the sentence for a layperson.

Nothing here looks at a device.  A `Finding` is what a check's function returns; a `CheckResult` is
what becomes of it once its sentence is said in a language: one line of `farhand-agent checks
--json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

__all__ = [
    "RISKS",
    "STATES",
    "CheckResult",
    "Finding",
    "Metric",
    "Risk",
    "State",
    "Thresholds",
    "unknown",
    "unsupported",
    "worst",
]

State = Literal["ok", "warning", "critical", "unknown", "unsupported"]
STATES: Final[tuple[State, ...]] = ("ok", "warning", "critical", "unknown", "unsupported")
# R0 only reads, R1 can be undone, R2 changes the device, R3 destroys or restarts.
Risk = Literal["R0", "R1", "R2", "R3"]
RISKS: Final[tuple[Risk, ...]] = ("R0", "R1", "R2", "R3")


class Metric(msgspec.Struct, frozen=True):
    """One measured number with its unit and, where there are any, its thresholds."""

    name: str
    value: float
    unit: str | None = None
    warning: float | None = None
    critical: float | None = None
    rising: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found.

    Attributes:
        state: ok, warning, critical, unknown or unsupported.
        summary: one technical line.
        value: the measured number, None where there is none; its unit is the check's.
        fill: what stands for the `{names}` in the check's sentence.
        sentence: which of the check's sentences is said; None for the one of the state.
        remedy: id of the shipped script that may help here; None for the check's own.
        metrics: more numbers than `value`.
    """

    state: State
    summary: str
    value: float | None = None
    fill: Mapping[str, object] = field(default_factory=dict)
    sentence: str | None = None
    remedy: str | None = None
    metrics: tuple[Metric, ...] = ()


class CheckResult(msgspec.Struct, frozen=True):
    """One line of `farhand-agent checks --json`.  Set by the device, seen by the relay.

    `remedy` names a shipped script that may help, `advice` says in a technician's words what does,
    and `risk` is the risk class of doing it; all three are None where nothing is wrong.
    """

    id: str
    state: State
    summary: str
    plain: str
    value: float | None
    unit: str | None
    remedy: str | None
    risk: Risk | None = None
    advice: str | None = None
    language: str = "en"
    metrics: tuple[Metric, ...] = ()
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which value on a finding is a warning, and critical.

    `rising` says whether more is worse.
    """

    warning: float
    critical: float
    rising: bool = True

    def state(self, value: float) -> State:
        """Return the state of a value; the thresholds themselves already count as reached."""
        if self.rising:
            return _state(value >= self.critical, value >= self.warning)
        return _state(value <= self.critical, value <= self.warning)


def _state(critical: bool, warning: bool) -> State:
    return "critical" if critical else "warning" if warning else "ok"


def worst(*states: State) -> State:
    """Return the worst of some states that are ok, warning or critical."""
    return max(states, key=("ok", "warning", "critical").index, default="ok")


def unknown(summary: str) -> Finding:
    """Return a finding that says honestly: it could not be found out."""
    return Finding(state="unknown", summary=summary)


def unsupported(summary: str) -> Finding:
    """Return a finding that says: this device has no such thing."""
    return Finding(state="unsupported", summary=summary)
