"""Checks of updates: which wait, how old what is known is, and the package manager's health."""

from __future__ import annotations

import gzip
import re
from datetime import datetime
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
)
from farhand_agent.patches.provider import PatchList
from farhand_protocol.instants import parse_instant

__all__ = [
    "last_apt_upgrade",
    "packages_health",
    "patch_age",
    "updates_pending",
    "updates_refreshed",
    "updates_security",
]

# Those that rule the system itself; what else there is (flatpak, snap, brew, winget) brings
# programs, and pip and npm only tell: developers decide about those.
_SYSTEM: Final = (
    "apt", "dnf", "yum", "zypper", "pacman", "apk", "softwareupdate", "windows-update",
)  # fmt: skip
_TOLD_ONLY: Final = ("pip", "npm")
_REMEDIES: Final = {
    name: f"patch.{name}.apply"
    for name in ("apt", "dnf", "yum", "zypper", "pacman", "apk", "flatpak", "snap", "brew",
                 "windows-update", "winget")
}  # fmt: skip
_PROVIDER_S: Final = 200.0
_NO_MANAGER: Final = "no package manager"
_BLIND: Final = "It could not be found out whether updates are waiting."
_ALONE: Final = "This device does not install updates by a package manager that is known."
_APT_LOGS: Final = ("/var/log/apt/history.log", "/var/log/apt/history.log.1.gz")
_MAX_LOG_BYTES: Final = 16 * 1024 * 1024
_APT_END: Final = re.compile(
    r"^Upgrade: .*\n(?:.+\n)*?End-Date: ([0-9]{4}-[0-9]{2}-[0-9]{2})  ([0-9:]{8})$", re.MULTILINE
)
_PACMAN_END: Final = re.compile(
    r"^\[([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[+-][0-9]{4})\] \[ALPM\] upgraded ", re.MULTILINE
)


@check(
    "updates.security",
    "Security updates that wait",
    unit="count",
    platforms=EVERYWHERE,
    remedies=tuple(_REMEDIES.values()),
    advice="install the security updates; restart where they ask for it",
    risk="R2",
    timeout_s=_PROVIDER_S,
    plain={
        "ok": "No update that closes a security hole is waiting.",
        "warning": "Updates that close security holes are held back on this device.",
        "critical": (
            "{n} update that closes a security hole waits to be installed.",
            "{n} updates that close security holes wait to be installed.",
        ),
        "unknown": _BLIND,
        "unsupported": _ALONE,
    },
)
def updates_security(context: CheckContext) -> Finding:
    """Updates labelled as security; where the system's sources carry no labels, none is unknown."""
    lists = _installing(context)
    if not lists:
        return unsupported(_NO_MANAGER)
    answered = [one for one in lists if one.status == "ok"]
    found = [(one, u) for one in answered for u in one.updates if u.kind == "security"]
    waiting = [(one, update) for one, update in found if not update.held]
    if found:
        names = ", ".join(update.name for _, update in (waiting or found)[:6])
        held = len(found) - len(waiting)
        first = (waiting or found)[0][0].provider
        return Finding(
            state="critical" if waiting else "warning",
            summary=f"{len(found)} security updates ({held} held): {names}",
            value=len(found),
            remedy=_REMEDIES.get(first) if waiting else None,
        )
    ruling = [one for one in lists if one.provider in _SYSTEM] or lists
    blind = [one for one in ruling if one.status != "ok" or not one.security_labelled]
    if blind:
        return unknown(f"{blind[0].provider}: {_why(blind[0])}")
    bare = [one.provider for one in lists if not one.security_labelled]
    words = f"; {', '.join(bare)} carry no labels" if bare else ""
    return Finding(state="ok", summary=f"no security updates pending{words}", value=0)


@check(
    "updates.pending",
    "Updates that wait",
    unit="count",
    platforms=EVERYWHERE,
    limits={"count": Thresholds(1, 10_000)},
    remedies=tuple(_REMEDIES.values()),
    advice="install the updates; restart where they ask for it",
    risk="R2",
    timeout_s=_PROVIDER_S,
    plain={
        "ok": "All programs are up to date, as far as this device knows.",
        "warning": ("{n} update waits to be installed.", "{n} updates wait to be installed."),
        "critical": ("{n} update waits to be installed.", "{n} updates wait to be installed."),
        "unknown": _BLIND,
        "unsupported": _ALONE,
    },
)
def updates_pending(context: CheckContext) -> Finding:
    """All updates that nobody holds back; pip and npm, which only tell, do not count."""
    lists = _installing(context)
    if not lists:
        return unsupported(_NO_MANAGER)
    failed = [one for one in lists if one.status != "ok"]
    if len(failed) == len(lists):
        return unknown(f"{failed[0].provider}: {_why(failed[0])}")
    every = [(one, update) for one in lists for update in one.updates]
    waiting = [(one, u) for one, u in every if not (u.held or u.phased or u.kept_back)]
    state = context.limit("count").state(len(waiting))
    if state == "ok" and failed:
        return unknown(f"{failed[0].provider}: {_why(failed[0])}")
    return Finding(
        state=state,
        summary=f"{len(waiting)} updates pending, {len(every) - len(waiting)} held back",
        value=len(waiting),
        remedy=_REMEDIES.get(waiting[0][0].provider) if waiting else None,
    )


@check(
    "updates.refreshed",
    "Age of what is known about updates",
    unit="days",
    platforms=EVERYWHERE,
    limits={"days": Thresholds(3, 14)},
    advice="fetch the package lists; see why the timer that does it failed",
    risk="R1",
    timeout_s=_PROVIDER_S,
    plain={
        "ok": "This device has recently asked which updates there are.",
        "warning": "This device has not asked for new updates for some days.",
        "critical": "This device has not asked for new updates for weeks; it may lack important "
        "ones without knowing.",
        "unknown": _BLIND,
        "unsupported": _ALONE,
    },
)
def updates_refreshed(context: CheckContext) -> Finding:
    """Age of the repositories' indexes: old ones hide new updates."""
    known = _installing(context)
    if not known:
        return unsupported(_NO_MANAGER)
    lists = [one for one in known if one.status == "ok"]
    times = [parse_instant(one.refreshed_at) for one in lists if one.refreshed_at]
    if not times:
        return unknown("nobody knows when the indexes were fetched")
    days = context.days_since(min(times).timestamp())
    return Finding(
        state=context.limit("days").state(days),
        summary=f"indexes are {days:.1f} days old",
        value=round(days, 1),
    )


@check(
    "packages.health",
    "The package manager is sound",
    unit="count",
    remedies=("remedy.packages.repair",),
    advice="let the package manager finish what was interrupted (dpkg --configure -a, apt -f)",
    risk="R2",
    timeout_s=45,
    plain={
        "ok": "All installed programs are complete.",
        "critical": "Installing a program was interrupted. Until that is repaired, no update can "
        "be installed.",
        "unknown": "The installed programs could not be examined.",
    },
)
def packages_health(context: CheckContext) -> Finding:
    """Packages that dpkg reports half installed or half configured, or rpm's own database."""
    if (
        context.files.path("/var/lib/rpm").is_dir()
        and not context.files.path("/var/lib/dpkg/status").exists()
    ):
        return _rpm_health(context)
    outcome = context.run(["dpkg", "--audit"], timeout_s=30.0, ok=None)
    lines = [line for line in outcome.text.split("\n") if line.startswith(" ")]
    if outcome.exit_code != 0 and not lines:
        words = outcome.error_text.strip()[:120] or f"dpkg --audit ended with {outcome.exit_code}"
        return unknown(words)
    if not lines:
        return Finding(state="ok", summary="dpkg --audit finds nothing", value=0)
    names = ", ".join(line.split()[0] for line in lines[:6] if line.split())
    return Finding(
        state="critical", summary=f"{len(lines)} broken packages: {names}", value=len(lines)
    )


def _rpm_health(context: CheckContext) -> Finding:
    outcome = context.run(["rpmdb", "--verifydb"], timeout_s=30.0, ok=None)
    if outcome.exit_code == 0:
        return Finding(state="ok", summary="rpmdb --verifydb finds nothing", value=0)
    words = outcome.error_text.strip().split("\n")[0][:120]
    if "ermission" in words or outcome.exit_code < 0:
        return unknown(words or f"rpmdb ended with {outcome.exit_code}")
    return Finding(state="critical", summary=f"rpm's database is broken: {words}", value=1)


@check(
    "patch.age",
    "Days since updates were installed",
    unit="days",
    limits={"days": Thresholds(14, 45)},
    remedies=tuple(_REMEDIES.values()),
    advice="see which updates wait and why nobody installs them; run a campaign",
    risk="R2",
    plain={
        "ok": "Updates were installed on this device not long ago.",
        "warning": "No updates have been installed on this device for weeks.",
        "critical": (
            "No updates have been installed on this device for {n} day.",
            "No updates have been installed on this device for {n} days.",
        ),
    },
)
def patch_age(context: CheckContext) -> Finding:
    """Days since packages were last upgraded, from the package manager's own log."""
    last = None
    for name in _APT_LOGS:
        last = last or last_apt_upgrade(_log_text(context, name))
    last = last or _last_pacman_upgrade(_log_text(context, "/var/log/pacman.log"))
    remedy = "patch.apt.apply"
    if last is None and context.files.path("/var/lib/rpm").is_dir():
        last, remedy = _newest_rpm(context), "patch.dnf.apply"
    if last is None:
        return unknown("no log of a package manager names an upgrade")
    days = context.days_since(last)
    return Finding(
        state=context.limit("days").state(days),
        summary=f"last upgrade {days:.1f} days ago",
        value=round(days, 1),
        fill={"n": round(days)},
        remedy=remedy,
    )


def last_apt_upgrade(text: str) -> float | None:
    """Return the Unix seconds of the last upgrade in apt's history.log, None without one."""
    ends = _APT_END.findall(text)
    if not ends:
        return None
    try:
        # apt writes the device's local time.
        return datetime.strptime(" ".join(ends[-1]), "%Y-%m-%d %H:%M:%S").timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _last_pacman_upgrade(text: str) -> float | None:
    times = _PACMAN_END.findall(text)
    try:
        return datetime.strptime(times[-1], "%Y-%m-%dT%H:%M:%S%z").timestamp() if times else None
    except ValueError:
        return None


def _newest_rpm(context: CheckContext) -> float | None:
    outcome = context.run(["rpm", "-qa", "--qf", "%{INSTALLTIME}\\n"])
    times = [int(word) for word in outcome.text.split() if word.isdigit() and len(word) < 12]
    return float(max(times)) if times else None


def _log_text(context: CheckContext, name: str) -> str:
    if not name.endswith(".gz"):
        return context.files.text(name) or ""
    try:
        with gzip.open(context.files.path(name), "rb") as file:
            return file.read(_MAX_LOG_BYTES).decode("utf-8", "replace")
    except (OSError, EOFError):
        return ""  # not rotated yet, or damaged: the newer log has been read already


def _installing(context: CheckContext) -> list[PatchList]:
    return [one for one in context.patches() if one.provider not in _TOLD_ONLY]


def _why(found: PatchList) -> str:
    if found.status != "ok":
        return f"{found.status}: {found.reason}"
    return found.reason or "updates carry no security label"
