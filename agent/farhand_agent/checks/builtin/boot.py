"""Checks around starting: how long the device runs, and whether it waits for a restart."""

from __future__ import annotations

import time

from farhand_agent.checks.registry import (
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.collectors.linux.usage import boot_time

__all__ = ["reboot_required", "uptime"]

_DAYS = Thresholds(warning=30, critical=90)


@check("uptime", "Days since the last start", unit="days")
def uptime(context: CheckContext) -> Finding:
    """Judge the days since the last start: long ones hide updates that never took effect."""
    started = boot_time(context.files.text("/proc/stat") or "")
    if started is None:
        return unknown("the kernel does not say", "When this device was started is not known.")
    days = max(0.0, (time.time() - started) / 86400)
    state = context.thresholds(_DAYS, "_days").state(days)
    plain = {
        "ok": "This device was started recently enough.",
        "warning": "This device has been running for weeks. A restart would do it good.",
        "critical": "This device has been running for months. Some updates only work after a "
        "restart.",
    }[state]
    return Finding(state=state, summary=f"up {days:.1f} days", plain=plain, value=round(days, 1))


@check("reboot.required", "A restart is waiting")
def reboot_required(context: CheckContext) -> Finding:
    """Ask the patch providers whether the system waits for a restart."""
    lists = context.patches()
    if not lists:
        return unsupported(
            "no package manager", "This device has nobody to ask whether it should be restarted."
        )
    waiting = [one for one in lists if one.reboot.required]
    if waiting:
        reasons = ", ".join(waiting[0].reboot.reasons[:6]) or "no reason given"
        return Finding(
            state="warning",
            summary=f"restart required: {reasons}",
            plain="This device has to be restarted before its updates take effect.",
        )
    if any(one.reboot.required is None for one in lists):
        return unknown(
            "no marker, no needrestart, no kernel on disk to compare",
            "It could not be found out whether this device waits for a restart.",
        )
    return Finding(
        state="ok", summary="no restart required", plain="This device does not need a restart."
    )
