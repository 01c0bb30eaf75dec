"""The way monitoring plugins answer: findings as such an answer, and such answers as findings.

The first line is `TEXT | 'label'=value[UOM];warn;crit;min;max`, the exit code 0 (ok), 1 (warning),
2 (critical) or 3 (unknown); more lines may follow.  Any other exit code is unknown.
Source: the monitoring plugins' development guidelines, "Plugin output for Nagios" and
"Performance data".  A threshold of ours counts as reached, one of theirs as passed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Final

from farhand_agent.checks.finding import CheckResult, Metric, State
from farhand_agent.platforms.commands import CommandTimeout, Runner, run
from farhand_agent.terminal import printable

__all__ = ["EXIT_CODES", "parse_plugin", "plugin_answer", "plugin_failure", "run_plugin"]

EXIT_CODES: Final[dict[State, int]] = {
    "ok": 0, "warning": 1, "critical": 2, "unknown": 3, "unsupported": 3,
}  # fmt: skip
_STATES: Final[tuple[State, ...]] = ("ok", "warning", "critical", "unknown")
# The worst comes last; what a device does not have says nothing among others.
_ORDER: Final[tuple[State, ...]] = ("unsupported", "ok", "unknown", "warning", "critical")
_UOMS: Final = {
    "percent": "%", "seconds": "s", "milliseconds": "ms", "bytes": "B", "minutes": "",
}  # fmt: skip
_UNITS: Final = {
    "%": "percent", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "B": "bytes",
    "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes", "c": "count",
}  # fmt: skip
_PERFORMANCE: Final = re.compile(
    r"(?:'((?:[^'=]|'')+)'|([^\s'=]+))="
    r"(-?[0-9]{1,18}(?:\.[0-9]{1,12})?)(%|[A-Za-z]{0,3})"
    r"(?:;([^\s;]*))?(?:;([^\s;]*))?(?:;[^\s;]*)?(?:;[^\s;]*)?(?=\s|$)"
)
_LIMIT: Final = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,12})?)(:?)")
_MAX_SUMMARY_CHARS: Final = 200
_MAX_METRICS: Final = 64


def plugin_answer(results: Sequence[CheckResult]) -> tuple[str, int]:
    """Return what a monitoring plugin would print for some results, and its exit code."""
    states = [result.state for result in results]
    state: State = max(states, key=_ORDER.index, default="unknown")
    word = "UNKNOWN" if state == "unsupported" else state.upper()
    if len(results) == 1:
        head = f"{results[0].id.upper()} {word} - {_clean(results[0].summary)}"
    else:
        named = [result.id for result in results if result.state == state]
        told = f"{len(named)} of {len(results)}: {', '.join(named[:8])}"
        head = f"CHECKS {word} - {told if state != 'ok' else f'{len(results)} checks'}"
    performance = " ".join(_performance(result) for result in results if result.metrics)
    lines = [f"{head} | {performance}" if performance else head]
    if len(results) > 1:
        lines += [f"[{one.state.upper()}] {one.id}: {_clean(one.summary)}" for one in results]
    return "\n".join(lines), EXIT_CODES[state]


def plugin_failure(reason: str) -> str:
    """Return the one line of a plugin that could not look at all, in ASCII: any output takes it."""
    shown = printable(reason, _MAX_SUMMARY_CHARS).encode("ascii", "backslashreplace").decode()
    return f"CHECKS UNKNOWN - {_clean(shown[:_MAX_SUMMARY_CHARS])}"


def _clean(text: str) -> str:
    # A bar would begin the numbers.
    return "".join(c if c.isprintable() and c != "|" else " " for c in text)


def _performance(result: CheckResult) -> str:
    several = len(result.metrics) > 1
    return " ".join(
        _one(f"{result.id} {metric.name}" if several else result.id, metric)
        for metric in result.metrics
    )


def _one(label: str, metric: Metric) -> str:
    unit = _UOMS.get(metric.unit or "", "")
    least, most = ("0", "100") if unit == "%" else ("", "")
    limits = [_limit(limit, metric.rising) for limit in (metric.warning, metric.critical)]
    parts = [f"{metric.value:.10g}{unit}", *limits, least, most]
    return f"'{_clean(label).replace(chr(39), '')}'=" + ";".join(parts).rstrip(";")


def _limit(limit: float | None, rising: bool) -> str:
    return "" if limit is None else f"{limit:.10g}" if rising else f"{limit:.10g}:"


def parse_plugin(name: str, output: str, exit_code: int, *, duration_ms: int = 0) -> CheckResult:
    """Return what a monitoring plugin said as a result.

    Args:
        name: what it is called; the result's id.
        output: its standard output.
        exit_code: its exit code.
        duration_ms: how long it took.
    """
    first, *more = output.split("\n")
    text, _, numbers = first.partition("|")
    # Numbers may go on behind a bar in the lines that follow.
    rest = "\n".join(more).partition("|")[2]
    state: State = _STATES[exit_code] if exit_code in range(4) else "unknown"
    summary = text.strip()[:_MAX_SUMMARY_CHARS] or f"no output, exit code {exit_code}"
    metrics = tuple(_metric(found) for found in _PERFORMANCE.finditer(f"{numbers} {rest}"))
    return CheckResult(
        id=name,
        state=state,
        summary=summary,
        plain=summary,
        value=metrics[0].value if metrics else None,
        unit=metrics[0].unit if metrics else None,
        remedy=None,
        metrics=metrics[:_MAX_METRICS],
        duration_ms=duration_ms,
    )


def _metric(found: re.Match[str]) -> Metric:
    warning, critical = (_LIMIT.fullmatch(found[at] or "") for at in (5, 6))
    falling = any(one is not None and one[2] for one in (warning, critical))
    return Metric(
        name=(found[1] or found[2]).replace("''", "'")[:100],
        value=float(found[3]),
        unit=_UNITS.get(found[4]),
        warning=float(warning[1]) if warning else None,
        critical=float(critical[1]) if critical else None,
        rising=not falling,
    )


def run_plugin(
    argv: Sequence[str], *, runner: Runner = run, timeout_s: float = 30.0
) -> CheckResult:
    """Run somebody's monitoring plugin and return what it said.

    Args:
        argv: its absolute path and its arguments.
        runner: starts it: fixed PATH, C locale, bounded output.
        timeout_s: seconds until it is ended, which is `unknown`.

    Raises:
        CommandMissing, CommandDenied: it is not there, or may not be started.
        CommandOverflow: it printed too much.
    """
    name = argv[0].rpartition("/")[2][:100]
    started = time.monotonic()
    try:
        outcome = runner(argv, timeout_s=timeout_s, max_bytes=256 * 1024)
    except CommandTimeout as error:
        return parse_plugin(name, error.message, 3)
    elapsed = int((time.monotonic() - started) * 1000)
    return parse_plugin(name, outcome.text, outcome.exit_code, duration_ms=elapsed)
