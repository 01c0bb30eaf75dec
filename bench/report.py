"""One measured figure, its baseline and the bound it is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Figure", "percentile", "show"]


@dataclass(frozen=True)
class Figure:
    """A measurement.

    Attributes:
        name: what was measured.
        value, unit: the figure.
        baseline_name, baseline: what it is compared with, measured in the same run.
        at_most, at_least: bound on the ratio to the baseline, or on the value where there is none.
    """

    name: str
    value: float
    unit: str
    baseline_name: str = ""
    baseline: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return value / baseline."""
        return self.value / self.baseline if self.baseline else None

    @property
    def holds(self) -> bool | None:
        """Tell whether the bound holds; None without one."""
        measured = self.value if self.baseline is None else self.ratio
        if measured is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or measured <= self.at_most) and (
            self.at_least is None or measured >= self.at_least
        )

    def as_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "baseline_name": self.baseline_name or None,
            "baseline": self.baseline,
            "ratio": self.ratio,
            "at_most": self.at_most,
            "at_least": self.at_least,
            "holds": self.holds,
        }


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` (0 to 1) of the sorted values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def show(figures: list[Figure]) -> None:
    """Print figures as aligned lines."""
    for figure in figures:
        line = f"  {figure.name:<46} {figure.value:>12,.2f} {figure.unit:<10}"
        if figure.ratio is not None:
            line += f" {figure.ratio:>6.2f}x of {figure.baseline_name} {figure.baseline:,.2f}"
        bound = []
        if figure.at_most is not None:
            bound.append(f"at most {figure.at_most:g}")
        if figure.at_least is not None:
            bound.append(f"at least {figure.at_least:g}")
        if bound:
            line += f"  ({', '.join(bound)}: {'holds' if figure.holds else 'MISSED'})"
        print(line, flush=True)
