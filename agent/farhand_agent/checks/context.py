"""What a check may use: files, commands, sections of the inventory, parameters, history, a clock.

All checks of one run share what is expensive (what the package managers say, a section of the
inventory): it is asked once, whoever comes first, and the others wait for that answer.
"""

from __future__ import annotations

import copy
import re
import sys
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from farhand_agent.checks.finding import Metric, Thresholds
from farhand_agent.checks.history import History
from farhand_agent.inventory.context import CommandFailed, Context, Denied, Unsupported
from farhand_agent.inventory.registry import sections
from farhand_agent.inventory.runner import collect_section
from farhand_agent.patches.command import list_all
from farhand_agent.patches.provider import PatchList
from farhand_agent.platforms.commands import Outcome, Runner, run
from farhand_agent.platforms.current import platform_name
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import SectionReport

__all__ = ["CheckContext", "SectionReader", "Word"]

SectionReader = Callable[[str], SectionReport]
_T = TypeVar("_T")
_DAY_S: Final = 86400.0
_MAX_WORDS: Final = 120


@dataclass(frozen=True, slots=True)
class Word:
    """A text parameter of a check: its default, the pattern it matches whole, and its meaning.

    The pattern is of the kind that manifests allow (farhand_protocol.patterns) and begins with
    `^`, ends with `$` and admits no leading hyphen.  A default of "" means: none.
    """

    default: str
    pattern: str
    description: str


class _Slot:
    """One expensive answer: nobody asks twice, whoever comes later waits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answers: list[Any] = []


class CheckContext:
    """Handed to checks; `for_check` makes the view that one check gets.

    Args:
        root: the folder that stands for "/".
        runner: starts commands.
        parameters: numbers and words that override a check's defaults.
        patches: asks the patch providers.
        platform: as `platform_name` says.
        sections: collects a section of the inventory; None for this device's collectors.
        history: what was measured before; None where nobody keeps it.
        now: tells Unix seconds.
        pause: waits some seconds, between two looks at a counter.
        home: the agent's home folder, None where it is not known.
        may_probe: whether policy lets this device look at another machine (`probe_to`).
    """

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        runner: Runner = run,
        parameters: Mapping[str, Any] | None = None,
        patches: Callable[[], list[PatchList]] = list_all,
        platform: str | None = None,
        sections: SectionReader | None = None,
        history: History | None = None,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        home: Path | None = None,
        may_probe: Callable[[str], bool] = lambda target: True,
    ) -> None:
        self.files = SystemFiles(root)
        self.runner = runner
        self.platform = platform or platform_name()
        self.parameters = dict(parameters or {})
        self.history = history
        self.now = now
        self.pause = pause
        self.home = home
        self.may_probe = may_probe
        self._patches = patches
        self._read_section = sections or self._collect
        self._slots: dict[str, _Slot] = {}
        self._slots_lock = threading.Lock()
        self._limits: Mapping[str, Thresholds] = {}
        self._words: Mapping[str, Word] = {}

    def for_check(
        self,
        limits: Mapping[str, Thresholds],
        words: Mapping[str, Word],
        parameters: Mapping[str, Any] | None = None,
    ) -> CheckContext:
        """Return a view with one check's defaults and parameters; what is expensive is shared."""
        view = copy.copy(self)
        view.parameters = self.parameters | dict(parameters or {})
        view._limits, view._words = limits, words
        return view

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 10.0, ok: Container[int] | None = (0,)
    ) -> Outcome:
        """Run a command; one that fails makes a check `unknown`, unless the check judges it.

        Args:
            argv: the command.
            timeout_s: the most it may take.
            ok: the exit codes with which it answers; None for a check that judges them itself.

        Raises:
            CommandFailed: it ended with another code.
            CommandMissing, CommandDenied, CommandTimeout, CommandOverflow: as `commands.run`.
        """
        outcome = self.runner(argv, timeout_s=timeout_s)
        if ok is not None and outcome.exit_code not in ok:
            words = (outcome.error_text.strip() or outcome.text.strip()).split("\n")[0]
            raise CommandFailed(argv[0], outcome.exit_code, words[:_MAX_WORDS])
        return outcome

    def run_json(self, argv: Sequence[str], *, timeout_s: float = 10.0) -> Any:
        """Run a command that prints JSON and return its value.

        Raises:
            Malformed: it printed something else; and as `run`.
        """
        return Context.parse_json(self.run(argv, timeout_s=timeout_s).stdout, argv[0])

    def patches(self) -> list[PatchList]:
        """Return what the patch providers say, asked once: it takes seconds."""
        return self._once("patches", self._patches)

    def section(self, name: str) -> list[dict[str, Any]]:
        """Return the items of a section of the inventory, collected once.

        Raises:
            Unsupported: this device has no such thing.
            Denied: it could not be found out, whatever the cause.
        """
        report = self._once(f"section {name}", lambda: self._read_section(name))
        if report.status == "unsupported":
            raise Unsupported(report.reason or f"no {name} here")
        if report.status != "ok":
            raise Denied(f"{name}: {report.status}: {report.reason}")
        return report.items

    def limit(self, name: str) -> Thresholds:
        """Return a check's thresholds with the parameters `warning_NAME`, `critical_NAME` applied.

        Raises:
            FarhandError: `check-parameters` when one of them is no finite number, or when what is
                critical would not even be a warning.
        """
        default = self._limits[name]
        limit = Thresholds(
            self._number(f"warning_{name}", default.warning),
            self._number(f"critical_{name}", default.critical),
            rising=default.rising,
        )
        first, then = limit.warning, limit.critical
        if (first > then) if limit.rising else (first < then):
            raise FarhandError(
                "check-parameters",
                f"warning_{name} {first:g} lies beyond critical_{name} {then:g}",
                hint="give both: what is critical lies at the warning or beyond it",
            )
        return limit

    def metric(self, name: str, value: float, unit: str | None, limit: str | None = None) -> Metric:
        """Return a metric with the thresholds `limit` of this check."""
        chosen = self.limit(limit) if limit else None
        return Metric(
            name,
            value,
            unit,
            chosen.warning if chosen else None,
            chosen.critical if chosen else None,
            chosen.rising if chosen else True,
        )

    def word(self, name: str) -> str:
        """Return a text parameter.

        Raises:
            FarhandError: `check-parameters` when it does not match its pattern.
        """
        rule = self._words[name]
        value = self.parameters.get(name, rule.default)
        fits = isinstance(value, str) and len(value) <= 1024
        if not fits or (value and not re.fullmatch(rule.pattern[1:-1], value)):
            raise FarhandError("check-parameters", f"{name} is not a text that is allowed here")
        return str(value)

    def words(self, name: str) -> list[str]:
        """Return a text parameter's parts between commas.

        Raises:
            FarhandError: `check-parameters` as `word`.
        """
        return [part for part in self.word(name).split(",") if part]

    def days_since(self, at: float) -> float:
        """Return the days since Unix seconds, 0 for what lies in the future."""
        return max(0.0, (self.now() - at) / _DAY_S)

    def daily_rate(self, series: str, total: float, since: float | None) -> float | None:
        """Return how much a counter grows in a day.

        Compared with the history's oldest sample of the last day (the counter may start again
        with the system), else with zero at `since`.

        Args:
            series: its name in the history.
            total: what it counts now.
            since: Unix seconds at which it was zero; None where that is not known.

        Returns:
            Counts per day, measured over at least an hour; None where nothing can be compared.
        """
        now = self.now()
        earlier = self._remember(series, now, total)
        # What was counted before the counter began anew says nothing.
        began = max(now - _DAY_S, since if since is not None else 0.0)
        recent = [one for one in earlier if one[0] >= began and one[1] <= total]
        start = recent[0] if recent else (since, 0.0) if since is not None else None
        if start is None:
            return None
        span = max(now - float(start[0] or 0), 3600.0)
        return (total - start[1]) * _DAY_S / span

    def remembered(self, series: str, value: float) -> list[tuple[float, float]]:
        """Remember a value and return the earlier ones, as (Unix seconds, value)."""
        return self._remember(series, self.now(), value)

    def _remember(self, series: str, at: float, value: float) -> list[tuple[float, float]]:
        if self.history is None:
            return []
        earlier = self.history.samples(series)
        self.history.add(series, at, value)
        return earlier

    def _number(self, name: str, default: float) -> float:
        value = self.parameters.get(name, default)
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        # Neither nan, nor the infinities, nor an integer that no float can hold.
        if not fits or not abs(value) <= sys.float_info.max:
            raise FarhandError("check-parameters", f"{name} is not a finite number")
        return float(value)

    def _collect(self, name: str) -> SectionReport:
        section = sections(self.platform)[name]
        context = Context(
            root=self.files.root,
            runner=self.runner,
            platform=self.platform,
            timeout_s=section.timeout_s,
        )
        return collect_section(section, context)

    def _once(self, key: str, ask: Callable[[], _T]) -> _T:
        with self._slots_lock:
            slot = self._slots.setdefault(key, _Slot())
        with slot.lock:
            if not slot.answers:
                slot.answers.append(ask())
            answer: _T = slot.answers[0]
            return answer
