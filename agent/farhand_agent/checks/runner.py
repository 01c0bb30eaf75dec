"""Runs checks.  A problem found is a result; only a check that breaks is an error."""

from __future__ import annotations

from collections.abc import Iterable

from farhand_agent.checks.registry import Check, CheckContext, CheckResult, Finding, checks, unknown
from farhand_agent.platforms.commands import CommandMissing
from farhand_protocol.errors import FarhandError

__all__ = ["run_check", "run_checks"]

_MAX_SUMMARY_CHARS = 200
_MAX_PLAIN_CHARS = 600
_NOBODY_KNOWS = "This could not be checked on this device."


def run_checks(
    ids: Iterable[str] | None = None, context: CheckContext | None = None
) -> list[CheckResult]:
    """Run checks and return their results, by id for all, else in the order asked for.

    Args:
        ids: which ones; None for all.
        context: None for one of this device.

    Raises:
        FarhandError: `check-unknown` for an id that is no check, before any has run.
    """
    known = checks()
    wanted = list(known) if ids is None else list(dict.fromkeys(ids))
    for one in wanted:
        _find(one, known)
    shared = context or CheckContext()
    results = []
    for one in wanted:
        try:
            results.append(run_check(one, shared))
        except Exception as error:  # a bug in one check must not cost the other results
            finding = unknown(f"check failed: {type(error).__name__}: {error}", _NOBODY_KNOWS)
            results.append(_result(known[one], finding))
    return results


def run_check(check_id: str, context: CheckContext | None = None) -> CheckResult:
    """Run one check and return its result.

    What keeps a check from looking (a missing program, a timeout, no permission) is the state
    `unsupported` or `unknown`; a bug in the check goes on as whatever it raised.

    Raises:
        FarhandError: `check-unknown`; `check-parameters` for parameters it cannot use.
    """
    check = _find(check_id, checks())
    shared = context or CheckContext()
    if shared.platform not in check.platforms:
        return _result(
            check,
            Finding(
                state="unsupported",
                summary=f"not checked on {shared.platform}",
                plain="This kind of device is not checked for this.",
            ),
        )
    try:
        finding = check.function(shared)
    except CommandMissing as error:
        finding = Finding(state="unsupported", summary=error.message, plain=_NOBODY_KNOWS)
    except PermissionError as error:
        finding = unknown(f"may not read {error.filename}", _NOBODY_KNOWS)
    except FarhandError as error:
        if error.code == "check-parameters":
            raise
        finding = unknown(str(error), _NOBODY_KNOWS)
    return _result(check, finding)


def _find(check_id: str, known: dict[str, Check]) -> Check:
    if check_id not in known:
        raise FarhandError(
            "check-unknown",
            f"there is no check {check_id[:60]!r}",
            hint=f"known are: {', '.join(known)}",
        )
    return known[check_id]


def _result(check: Check, finding: Finding) -> CheckResult:
    return CheckResult(
        id=check.id,
        state=finding.state,
        summary=_clip(finding.summary, _MAX_SUMMARY_CHARS),
        plain=_clip(finding.plain, _MAX_PLAIN_CHARS),
        value=finding.value,
        unit=check.unit if finding.value is not None else None,
        remedy=finding.remedy,
    )


def _clip(text: str, limit: int) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
