"""What a check is, and which there are: every module in `builtin` that registers a function.

Adding a check is one function in a module there and its test.  A check takes a `CheckContext`,
returns one `Finding`, and changes nothing.  What it cannot know is `unknown` (ask again, or as
root), what this system does not have is `unsupported`; neither is ever `ok`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

import farhand_agent.checks.builtin
from farhand_agent.patches.command import list_all
from farhand_agent.patches.provider import PatchList
from farhand_agent.platforms.commands import Outcome, Runner, run
from farhand_agent.platforms.current import platform_name
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError

__all__ = [
    "Check",
    "CheckContext",
    "CheckResult",
    "Finding",
    "State",
    "Thresholds",
    "check",
    "checks",
    "unknown",
    "unsupported",
]

State = Literal["ok", "warning", "critical", "unknown", "unsupported"]
_ID = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found.

    Attributes:
        state: ok, warning, critical, unknown or unsupported.
        summary: one technical line.
        plain: one or two sentences that a layperson understands.
        value: the measured number, None where there is none; its unit is the check's.
        remedy: id of a shipped script that may help, None where none does.
    """

    state: State
    summary: str
    plain: str
    value: float | None = None
    remedy: str | None = None


class CheckResult(msgspec.Struct, frozen=True):
    """One line of `farhand-agent checks --json`.  Set by the device, seen by the relay."""

    id: str
    state: State
    summary: str
    plain: str
    value: float | None
    unit: str | None
    remedy: str | None


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


class CheckContext:
    """What a check may use: files, commands, parameters, and what the package managers say.

    Args:
        root: the folder that stands for "/".
        runner: starts commands.
        parameters: numbers and words that override a check's defaults.
        patches: asks the patch providers; called once for all checks that share this context.
    """

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        runner: Runner = run,
        parameters: Mapping[str, Any] | None = None,
        patches: Callable[[], list[PatchList]] = list_all,
        platform: str | None = None,
    ) -> None:
        self.files = SystemFiles(root)
        self.runner = runner
        self.platform = platform or platform_name()
        self.parameters = dict(parameters or {})
        self._patches = patches
        self._patch_lists: list[PatchList] | None = None

    def run(self, argv: list[str], *, timeout_s: float = 10.0) -> Outcome:
        """Run a command.

        Raises:
            CommandMissing, CommandDenied, CommandTimeout, CommandOverflow: as `commands.run`.
        """
        return self.runner(argv, timeout_s=timeout_s)

    def patches(self) -> list[PatchList]:
        """Return what the patch providers say, asked once: it takes seconds."""
        if self._patch_lists is None:
            self._patch_lists = self._patches()
        return self._patch_lists

    def thresholds(self, default: Thresholds, suffix: str = "") -> Thresholds:
        """Return thresholds with the parameters `warning<suffix>` and `critical<suffix>` applied.

        Raises:
            FarhandError: `check-parameters` when one of them is no number.
        """
        values = []
        for name, standard in (("warning", default.warning), ("critical", default.critical)):
            value = self.parameters.get(name + suffix, standard)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise FarhandError("check-parameters", f"{name}{suffix} is not a number")
            values.append(float(value))
        return Thresholds(values[0], values[1], rising=default.rising)

    def word(self, name: str, default: str) -> str:
        """Return a text parameter.

        Raises:
            FarhandError: `check-parameters` when it is not a short text that starts with a letter
                or digit.
        """
        value = self.parameters.get(name, default)
        if not isinstance(value, str) or not re.fullmatch(
            r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", value
        ):
            raise FarhandError("check-parameters", f"{name} is not a text that is allowed here")
        return value


Function = Callable[[CheckContext], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """One registered check."""

    id: str
    title: str
    unit: str | None
    platforms: tuple[str, ...]
    function: Function


_registered: dict[str, Check] = {}


def check(
    check_id: str, title: str, *, unit: str | None = None, platforms: Iterable[str] = ("linux",)
) -> Callable[[Function], Function]:
    """Register the decorated function as a check.

    Args:
        check_id: dotted lower-case name; the shipped script is `check.` and this.
        title: what is checked, for people.
        unit: of the finding's value.
        platforms: where it can work; elsewhere the runner answers `unsupported`.
    """
    if not _ID.fullmatch(check_id) or check_id in _registered:
        raise ValueError(f"check id {check_id!r} is not allowed or taken")

    def register(function: Function) -> Function:
        _registered[check_id] = Check(check_id, title, unit, tuple(platforms), function)
        return function

    return register


def checks() -> dict[str, Check]:
    """Return all checks by id, sorted, after importing every module of `builtin`."""
    package = farhand_agent.checks.builtin
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{info.name}")
    return dict(sorted(_registered.items()))


def unknown(summary: str, plain: str) -> Finding:
    """Return a finding that says honestly: it could not be found out."""
    return Finding(state="unknown", summary=summary, plain=plain)


def unsupported(summary: str, plain: str) -> Finding:
    """Return a finding that says: this device has no such thing."""
    return Finding(state="unsupported", summary=summary, plain=plain)
