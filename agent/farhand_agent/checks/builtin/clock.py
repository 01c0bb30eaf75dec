"""Checks of the clock: how far off it is, and whether its time zone is set.

A device cannot know its offset by itself; only a time service that compares with others does.
On Linux chrony is asked first, then systemd-timesyncd; elsewhere the section `time` is judged.
Without any of them the answer is `unknown`.
"""

from __future__ import annotations

import re
import time
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
)
from farhand_agent.inventory.context import CommandFailed
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["clock_offset", "parse_chrony", "parse_timesync", "time_zone"]

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SPAN: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(us|ms|s|min|h)")


def parse_chrony(text: str) -> tuple[float, bool] | None:
    """Return offset in seconds and whether it is synchronised, from `chronyc -c -n tracking`.

    Source: chronyc(1), "tracking": the fifth value is the offset of the system clock, the last
    one the leap status.
    """
    fields = text.strip().split(",")
    if len(fields) < 14 or not re.fullmatch(r"-?[0-9]{1,12}(?:\.[0-9]{1,12})?", fields[4]):
        return None
    return float(fields[4]), fields[13] != "Not synchronised"


def parse_timesync(text: str) -> float | None:
    """Return the offset in seconds that `timedatectl timesync-status` shows, None where none is."""
    found = re.search(r"^\s*Offset: ([+-]?)([0-9a-z. ]{1,60})$", text, re.MULTILINE)
    parts = _SPAN.findall(found[2]) if found else []
    if not found or not parts:
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -seconds if found[1] == "-" else seconds


@check(
    "clock.offset",
    "The clock is right",
    unit="seconds",
    platforms=EVERYWHERE,
    # Kerberos refuses at 300 s; web certificates break long before a day.
    limits={"s": Thresholds(2, 30)},
    remedies=("remedy.clock.sync",),
    advice="force a synchronisation; see that a time service runs and reaches its servers",
    risk="R1",
    plain={
        "ok": "The clock of this device is right.",
        "warning": "The clock of this device may be a little wrong.",
        "critical": "The clock of this device is wrong. Signing in and secure web pages may fail.",
        "not-compared": "The clock of this device is not compared with others and may be wrong.",
        "unknown": "Nobody on this device knows whether its clock is right.",
    },
)
def clock_offset(context: CheckContext) -> Finding:
    """Offset as the device's own time service measured it; unknown without one."""
    if context.platform != "linux":
        return _elsewhere(context)
    try:
        tracking = parse_chrony(context.run(["chronyc", "-c", "-n", "tracking"]).text)
    except (CommandMissing, CommandFailed):
        tracking = None  # chrony is not here, or does not run: another service may
    if tracking is not None:
        return _judged(context, *tracking, "chrony")
    try:
        answer = context.run(["timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP"])
    except CommandMissing:
        return unknown("no time service to ask (chrony, systemd-timesyncd)")
    except CommandFailed as error:
        return unknown(f"no time service answers (chrony, systemd-timesyncd): {error.message}")
    if "NTPSynchronized=" not in answer.text:
        return unknown("no time service answers (chrony, systemd-timesyncd)")
    synchronised = "NTPSynchronized=yes" in answer.text
    try:
        measured = parse_timesync(context.run(["timedatectl", "timesync-status"]).text)
    except CommandFailed as error:
        # The kernel's word for "synchronised" says nothing of how far off the clock is.
        if synchronised:
            return unknown(f"synchronised, but by how much nobody tells: {error.message}")
        measured = None
    return _judged(context, measured, synchronised, "systemd-timesyncd")


def _elsewhere(context: CheckContext) -> Finding:
    for item in context.section("time"):
        synchronised, offset_ms = item.get("synchronised"), item.get("offset_ms")
        if offset_ms is not None or synchronised is not None:
            source = str(item.get("source") or "the time service")
            offset = None if offset_ms is None else float(offset_ms) / 1000
            # Whoever measured an offset and does not say more has compared the clock.
            return _judged(context, offset, synchronised is not False, source)
    return unknown("no time service answers")


def _judged(
    context: CheckContext, offset: float | None, synchronised: bool, source: str
) -> Finding:
    words = "synchronised" if synchronised else "not synchronised"
    if offset is None:
        return Finding(
            state="ok" if synchronised else "warning",
            summary=f"{words}, says {source}; the offset cannot be known here",
            sentence=None if synchronised else "not-compared",
        )
    state = context.limit("s").state(abs(offset))
    if state == "ok" and not synchronised:
        state = "warning"
    return Finding(
        state=state,
        summary=f"{offset:+.6f} s, {words}, says {source}",
        value=round(offset, 6),
    )


@check(
    "time.zone",
    "The time zone is set",
    advice="set the time zone that the device stands in",
    risk="R1",
    plain={
        "ok": "The clock of this device shows the time of {zone}.",
        "warning": "The time zone of this device is set to one that it does not know, so times "
        "may be shown wrongly.",
    },
)
def time_zone(context: CheckContext) -> Finding:
    """Whether the configured time zone exists; it changes nothing about being right."""
    link = context.files.path("/etc/localtime")
    if link.is_symlink() and not link.exists():
        return Finding(state="warning", summary=f"/etc/localtime leads nowhere: {link.readlink()}")
    names = time.strftime("%Z (UTC%z)")
    configured = "set" if link.exists() else "not set, UTC is used"
    return Finding(state="ok", summary=f"time zone {configured}: {names}", fill={"zone": names})
