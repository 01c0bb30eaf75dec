"""Checks of pending updates, of the age of what is known, and of the package manager's health."""

from __future__ import annotations

from datetime import UTC, datetime

from farhand_agent.checks.registry import (
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
)
from farhand_agent.patches.provider import PatchList
from farhand_protocol.instants import parse_instant

__all__ = ["packages_health", "updates_pending", "updates_refreshed", "updates_security"]

_PENDING = Thresholds(warning=1, critical=10_000)
_AGE_DAYS = Thresholds(warning=3, critical=14)
_REMEDIES = {"apt": "patch.apt.apply", "dnf": "patch.dnf.apply"}
_BLIND = "It could not be found out whether updates are waiting."
_NO_MANAGER = "This device does not install updates by a package manager that is known."


@check("updates.security", "Security updates that wait", unit="count")
def updates_security(context: CheckContext) -> Finding:
    """Count updates labelled as security; sources without labels make a zero unknown."""
    lists = context.patches()
    if not lists:
        return unsupported("no package manager", _NO_MANAGER)
    answered = [one for one in lists if one.status == "ok"]
    found = [(one, u) for one in answered for u in one.updates if u.kind == "security"]
    waiting = [(one, update) for one, update in found if not update.held]
    blind = [one for one in lists if one.status != "ok" or not one.security_labelled]
    if found:
        names = ", ".join(update.name for _, update in (waiting or found)[:6])
        held = len(found) - len(waiting)
        first = (waiting or found)[0][0].provider
        return Finding(
            state="critical" if waiting else "warning",
            summary=f"{len(found)} security updates ({held} held): {names}",
            plain=f"{len(found)} update(s) that close security holes wait to be installed.",
            value=len(found),
            remedy=_REMEDIES.get(first) if waiting else None,
        )
    if blind:
        return unknown(f"{blind[0].provider}: {_why(blind[0])}", _BLIND)
    return Finding(
        state="ok",
        summary="no security updates pending",
        plain="No update that closes a security hole is waiting.",
        value=0,
    )


@check("updates.pending", "Updates that wait", unit="count")
def updates_pending(context: CheckContext) -> Finding:
    """Count all updates that are neither held nor kept back by the distribution."""
    lists = context.patches()
    if not lists:
        return unsupported("no package manager", _NO_MANAGER)
    failed = [one for one in lists if one.status != "ok"]
    if len(failed) == len(lists):
        return unknown(f"{failed[0].provider}: {_why(failed[0])}", _BLIND)
    every = [(one, update) for one in lists for update in one.updates]
    waiting = [(one, u) for one, u in every if not (u.held or u.phased or u.kept_back)]
    state = context.thresholds(_PENDING, "_count").state(len(waiting))
    if state == "ok" and failed:
        return unknown(f"{failed[0].provider}: {_why(failed[0])}", _BLIND)
    remedy = _REMEDIES.get(waiting[0][0].provider) if waiting and state != "ok" else None
    return Finding(
        state=state,
        summary=f"{len(waiting)} updates pending, {len(every) - len(waiting)} held back",
        plain=f"{len(waiting)} update(s) wait to be installed."
        if waiting
        else "All programs are up to date, as far as this device knows.",
        value=len(waiting),
        remedy=remedy,
    )


@check("updates.refreshed", "Age of what is known about updates", unit="days")
def updates_refreshed(context: CheckContext) -> Finding:
    """Judge the age of the repositories' indexes: old ones hide new updates."""
    lists = [one for one in context.patches() if one.status == "ok"]
    if not context.patches():
        return unsupported("no package manager", _NO_MANAGER)
    times = [parse_instant(one.refreshed_at) for one in lists if one.refreshed_at]
    if not times:
        return unknown("nobody knows when the indexes were fetched", _BLIND)
    days = max(0.0, (datetime.now(UTC) - min(times)).total_seconds() / 86400)
    state = context.thresholds(_AGE_DAYS, "_days").state(days)
    plain = {
        "ok": "This device has recently asked which updates there are.",
        "warning": "This device has not asked for new updates for some days.",
        "critical": "This device has not asked for new updates for weeks; it may lack important "
        "ones without knowing.",
    }[state]
    return Finding(
        state=state, summary=f"indexes are {days:.1f} days old", plain=plain, value=round(days, 1)
    )


@check("packages.health", "The package manager is sound", unit="count")
def packages_health(context: CheckContext) -> Finding:
    """Ask dpkg for packages that are half installed or half configured."""
    outcome = context.run(["dpkg", "--audit"], timeout_s=30.0)
    lines = [line for line in outcome.text.split("\n") if line.startswith(" ")]
    if outcome.exit_code != 0 and not lines:
        words = outcome.error_text.strip()[:120] or f"dpkg --audit ended with {outcome.exit_code}"
        return unknown(words, "The installed programs could not be examined.")
    if not lines:
        return Finding(
            state="ok",
            summary="dpkg --audit finds nothing",
            plain="All installed programs are complete.",
            value=0,
        )
    names = ", ".join(line.split()[0] for line in lines[:6] if line.split())
    return Finding(
        state="critical",
        summary=f"{len(lines)} broken packages: {names}",
        plain="Installing a program was interrupted. Until that is repaired, no update can be "
        "installed.",
        value=len(lines),
    )


def _why(found: PatchList) -> str:
    if found.status != "ok":
        return f"{found.status}: {found.reason}"
    return found.reason or "updates carry no security label"
