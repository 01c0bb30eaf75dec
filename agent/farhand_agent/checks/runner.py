"""Runs checks beside each other.  A problem found is a result, not an error.

Each check of a run has a daemon thread and a deadline: one that hangs (a dead file server) costs
its own result only.  A hung thread cannot be ended in Python, so runs belong into short-lived
processes, never into the resident agent.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from farhand_agent.checks.registry import (
    Check,
    CheckContext,
    CheckResult,
    Finding,
    Sentence,
    checks,
    unknown,
    unsupported,
)
from farhand_agent.inventory.context import Unsupported
from farhand_agent.platforms.commands import CommandMissing
from farhand_agent.wording import LANGUAGES, Wording, wording_in
from farhand_protocol.errors import FarhandError

__all__ = ["run_check", "run_checks"]

_log = logging.getLogger(__name__)

_MAX_SUMMARY_CHARS: Final = 200
_MAX_PLAIN_CHARS: Final = 600
_MAX_FILL_CHARS: Final = 80
_PARALLEL: Final = 8
# One PowerShell answers all sections of a run there, and whoever needs one waits for all of it.
_WINDOWS_S: Final = 160.0

Parameters = Mapping[str, Mapping[str, Any]]
Progress = Callable[[int, int], None]


def run_checks(
    ids: Iterable[str] | None = None,
    parameters: Parameters | None = None,
    language: str = "en",
    *,
    context: CheckContext | None = None,
    progress: Progress | None = None,
) -> list[CheckResult]:
    """Run checks and return their results, by id for all, else in the order asked for.

    Args:
        ids: which ones; None for all.
        parameters: by check id, what overrides its thresholds and words.
        language: of the sentence for a layperson, one of `wording.LANGUAGES`.
        context: None for one of this device.
        progress: told after each result: how many there are, of how many.

    Raises:
        FarhandError: `check-unknown` for an id that is no check, `check-parameters` for parameters
            of one that does not run or that it does not have, and for thresholds that make no
            sense, all before any has run.
    """
    known = checks()
    wanted = list(known) if ids is None else list(dict.fromkeys(ids))
    chosen = [_find(one, known) for one in wanted]
    given = parameters or {}
    for name in given:
        _refuse_unusable(_find(name, known), given[name])
    words = _wording(language)
    shared = context or CheckContext()
    findings = _beside(chosen, shared, given, progress or (lambda done, of: None))
    if shared.history is not None:
        try:
            shared.history.save()
        except OSError as error:  # history is a help, never a condition: the results count
            _log.warning("what was measured could not be kept: %s", error)
    return [_result(check, *findings[check.id], words) for check in chosen]


def run_check(
    check_id: str,
    parameters: Mapping[str, Any] | None = None,
    language: str = "en",
    *,
    context: CheckContext | None = None,
) -> CheckResult:
    """Run one check in this thread and return its result.

    What keeps a check from looking (a missing program, a timeout, no permission) is the state
    `unsupported` or `unknown`; a bug in the check goes on as whatever it raised.

    Raises:
        FarhandError: `check-unknown`; `check-parameters` for parameters it cannot use.
    """
    check = _find(check_id, checks())
    _refuse_unusable(check, parameters or {})
    words = _wording(language)
    started = time.monotonic()
    finding = _look(check, context or CheckContext(), parameters)
    return _result(check, finding, started, time.monotonic(), words)


@dataclass(slots=True)
class _Running:
    check: Check
    started: float
    timeout_s: float

    @property
    def deadline(self) -> float:
        return self.started + self.timeout_s


def _beside(
    wanted: list[Check], shared: CheckContext, given: Parameters, progress: Progress
) -> dict[str, tuple[Finding, float, float]]:
    finished: queue.SimpleQueue[tuple[Check, Finding | FarhandError]] = queue.SimpleQueue()
    waiting = list(reversed(wanted))
    running: dict[str, _Running] = {}
    findings: dict[str, tuple[Finding, float, float]] = {}

    def work(check: Check) -> None:
        try:
            finished.put((check, _look(check, shared, given.get(check.id))))
        except FarhandError as error:
            finished.put((check, error))
        except Exception as error:  # a bug in one check must not cost the other results
            words = f"check failed: {type(error).__name__}: {error}"
            finished.put((check, unknown(words)))

    while waiting or running:
        while waiting and len(running) < _PARALLEL:
            check = waiting.pop()
            least = _WINDOWS_S if shared.platform == "windows" else 0.0
            limit = max(check.timeout_s, least)
            running[check.id] = _Running(check, time.monotonic(), limit)
            name = f"check-{check.id}"
            threading.Thread(target=work, args=(check,), name=name, daemon=True).start()
        deadline = min(one.deadline for one in running.values())
        try:
            check, found = finished.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            for late in _late(running):
                words = f"no answer in {late.timeout_s:g} s"
                findings[late.check.id] = (unknown(words), late.started, time.monotonic())
                progress(len(findings), len(wanted))
            continue
        # An answer that comes after its check was given up is dropped: one result per check.
        if one := running.pop(check.id, None):
            if isinstance(found, FarhandError):
                raise found
            findings[check.id] = (found, one.started, time.monotonic())
            progress(len(findings), len(wanted))
    return findings


def _late(running: dict[str, _Running]) -> list[_Running]:
    now = time.monotonic()
    late = [one for one in running.values() if now >= one.deadline]
    for one in late:
        del running[one.check.id]
    return late


def _look(check: Check, shared: CheckContext, parameters: Mapping[str, Any] | None) -> Finding:
    if shared.platform not in check.platforms:
        return unsupported(f"not checked on {shared.platform}")
    view = shared.for_check(check.limits, check.words, parameters)
    try:
        return _measured(check, check.function(view), view)
    except (CommandMissing, Unsupported) as error:
        return unsupported(error.message)
    except PermissionError as error:
        return unknown(f"may not read {error.filename}")
    except FarhandError as error:
        if error.code == "check-parameters":
            raise
        return unknown(error.message)


def _measured(check: Check, finding: Finding, view: CheckContext) -> Finding:
    """Return a finding whose value is also a metric, with the thresholds that counted."""
    if finding.value is None or finding.metrics:
        return finding
    limit = next(iter(check.limits)) if len(check.limits) == 1 else None
    return replace(finding, metrics=(view.metric(check.id, finding.value, check.unit, limit),))


def _find(check_id: str, known: dict[str, Check]) -> Check:
    if check_id not in known:
        raise FarhandError(
            "check-unknown",
            f"there is no check {check_id[:60]!r}",
            hint=f"known are: {', '.join(known)}",
        )
    return known[check_id]


def _refuse_unusable(check: Check, parameters: Mapping[str, Any]) -> None:
    own = {f"{level}_{name}" for name in check.limits for level in ("warning", "critical")}
    for name in parameters:
        if name not in own and name not in check.words:
            raise FarhandError("check-parameters", f"{check.id} has no parameter {name[:40]!r}")
    # Whether or not this device, or what it measures today, would ever ask for them.
    view = CheckContext().for_check(check.limits, check.words, parameters)
    for name in check.limits:
        view.limit(name)


def _wording(language: str) -> Wording:
    return wording_in(language if language in LANGUAGES else "en")


def _result(
    check: Check, finding: Finding, started: float, ended: float, words: Wording
) -> CheckResult:
    troubled = finding.state in ("warning", "critical")
    usual = check.remedies[0] if len(check.remedies) == 1 else None
    return CheckResult(
        id=check.id,
        state=finding.state,
        summary=_clip(finding.summary, _MAX_SUMMARY_CHARS),
        plain=_clip(_say(check.sentence(finding), finding, words), _MAX_PLAIN_CHARS),
        value=finding.value,
        unit=check.unit if finding.value is not None else None,
        remedy=(finding.remedy or usual) if troubled else None,
        risk=check.risk if troubled else None,
        advice=check.advice if troubled else None,
        language=words.language,
        metrics=finding.metrics,
        duration_ms=int((ended - started) * 1000),
    )


def _say(sentence: Sentence, finding: Finding, words: Wording) -> str:
    filled = {name: _shown(value, words) for name, value in finding.fill.items()}
    if isinstance(sentence, str):
        return words(sentence, **filled)
    number = finding.fill.get("n", finding.value)
    filled.pop("n", None)
    count = int(number) if isinstance(number, (int, float)) else 0
    return words.count(*sentence, count, **filled)


def _shown(value: object, words: Wording) -> str:
    if isinstance(value, bool | int):
        return words.number(value)
    if isinstance(value, date):
        return words.day(value)
    if isinstance(value, float):
        return words.decimal(value)
    return _clip(str(value), _MAX_FILL_CHARS)


def _clip(text: str, limit: int) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
