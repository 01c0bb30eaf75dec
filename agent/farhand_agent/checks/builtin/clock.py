"""Checks of the clock: how far off it is, and whether its time zone is set.

A device cannot know its offset by itself; only a time service that compares with others does.
chrony is asked first, then systemd-timesyncd; without either the answer is `unknown`.
"""

from __future__ import annotations

import re
import time

from farhand_agent.checks.registry import CheckContext, Finding, Thresholds, check, unknown
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["clock_offset", "parse_chrony", "parse_timesync", "time_zone"]

# Kerberos refuses at 300 s; web certificates break long before a day.
_OFFSET = Thresholds(warning=2, critical=30)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SPAN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(us|ms|s|min|h)")
_BLIND = "Nobody on this device knows whether its clock is right."


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


@check("clock.offset", "The clock is right", unit="seconds")
def clock_offset(context: CheckContext) -> Finding:
    """Judge the clock's offset as the time service of this device measured it."""
    try:
        tracking = parse_chrony(context.run(["chronyc", "-c", "-n", "tracking"]).text)
    except CommandMissing:
        tracking = None
    if tracking is not None:
        offset, synchronised = tracking
        return _judged(context, offset, synchronised, "chrony")
    try:
        answer = context.run(["timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP"])
    except CommandMissing:
        return unknown("no time service to ask (chrony, systemd-timesyncd)", _BLIND)
    if answer.exit_code != 0 or "NTPSynchronized=" not in answer.text:
        return unknown("no time service answers (chrony, systemd-timesyncd)", _BLIND)
    synchronised = "NTPSynchronized=yes" in answer.text
    measured = parse_timesync(context.run(["timedatectl", "timesync-status"]).text)
    if measured is not None:
        return _judged(context, measured, synchronised, "systemd-timesyncd")
    if synchronised:
        return Finding(
            state="ok",
            summary="synchronised, says the kernel; nobody tells the offset",
            plain="The clock of this device is kept right from the network.",
        )
    return Finding(
        state="warning",
        summary="not synchronised; the offset cannot be known here",
        plain="The clock of this device is not compared with others and may be wrong.",
    )


@check("time.zone", "The time zone is set")
def time_zone(context: CheckContext) -> Finding:
    """Look whether the configured time zone exists; it changes nothing about being right."""
    link = context.files.path("/etc/localtime")
    if link.is_symlink() and not link.exists():
        return Finding(
            state="warning",
            summary=f"/etc/localtime leads nowhere: {link.readlink()}",
            plain="The time zone of this device is set to one that it does not know, so times "
            "may be shown wrongly.",
        )
    names = time.strftime("%Z (UTC%z)")
    configured = "set" if link.exists() else "not set, UTC is used"
    return Finding(
        state="ok",
        summary=f"time zone {configured}: {names}",
        plain=f"The clock of this device shows the time of {names}.",
    )


def _judged(context: CheckContext, offset: float, synchronised: bool, source: str) -> Finding:
    state = context.thresholds(_OFFSET, "_s").state(abs(offset))
    if state == "ok" and not synchronised:
        state = "warning"
    plain = {
        "ok": "The clock of this device is right.",
        "warning": "The clock of this device may be a little wrong.",
        "critical": "The clock of this device is wrong. Signing in and secure web pages may fail.",
    }[state]
    words = "synchronised" if synchronised else "not synchronised"
    return Finding(
        state=state,
        summary=f"{offset:+.6f} s, {words}, says {source}",
        plain=plain,
        value=round(offset, 6),
    )
