"""Checks of memory and swap."""

from __future__ import annotations

import re

from farhand_agent.checks.registry import CheckContext, Finding, Thresholds, check, unknown
from farhand_agent.inventory.collectors.linux.memory import parse_meminfo

__all__ = ["memory_pressure", "parse_pressure", "swap_usage"]

_AVAILABLE = Thresholds(warning=15, critical=5, rising=False)
# Share of the last minute in which every task waited for memory at once.
_STALLED = Thresholds(warning=10, critical=30)
_SWAP = Thresholds(warning=50, critical=80)


def parse_pressure(text: str) -> float | None:
    """Return `full avg60` of /proc/pressure/memory in percent, None where it is not there.

    Source: the kernel's Documentation/accounting/psi.rst.
    """
    found = re.search(r"^full .*\bavg60=([0-9]{1,3}(?:\.[0-9]{1,4})?)\b", text, re.MULTILINE)
    return float(found[1]) if found else None


@check("memory.pressure", "Free memory", unit="percent")
def memory_pressure(context: CheckContext) -> Finding:
    """Judge available memory, and the time lost waiting for it where the kernel measures it."""
    values = parse_meminfo(context.files.text("/proc/meminfo") or "")
    total, available = values.get("MemTotal"), values.get("MemAvailable")
    if not total or available is None:
        return unknown(
            "the kernel does not say", "The memory of this device could not be examined."
        )
    percent = 100 * available / total
    stalled = parse_pressure(context.files.text("/proc/pressure/memory") or "")
    states = [context.thresholds(_AVAILABLE, "_percent").state(percent)]
    if stalled is not None:
        states.append(_STALLED.state(stalled))
    state = max(states, key=("ok", "warning", "critical").index)
    words = f", tasks stalled {stalled:.1f} % of the last minute" if stalled is not None else ""
    plain = {
        "ok": "There is enough working memory.",
        "warning": "Working memory is getting short. Closing some programs will make it faster.",
        "critical": "Working memory is used up. The device will be very slow or end programs; "
        "please save your work and close what you do not need.",
    }[state]
    return Finding(
        state=state,
        summary=f"{percent:.1f} % available ({available // 1024**2} MiB){words}",
        plain=plain,
        value=round(percent, 1),
    )


@check("swap.usage", "Swap space in use", unit="percent")
def swap_usage(context: CheckContext) -> Finding:
    """Judge used swap; a device without any swap is well."""
    values = parse_meminfo(context.files.text("/proc/meminfo") or "")
    if "SwapTotal" not in values or "SwapFree" not in values:
        return unknown(
            "the kernel does not say", "The memory of this device could not be examined."
        )
    total = values["SwapTotal"]
    if total == 0:
        return Finding(
            state="ok",
            summary="no swap configured",
            plain="This device works without overflow memory on disk.",
            value=0,
        )
    percent = 100 * (total - values["SwapFree"]) / total
    state = context.thresholds(_SWAP, "_percent").state(percent)
    plain = {
        "ok": "Little or no memory is moved out to the disk.",
        "warning": "Much memory has been moved out to the disk, which makes the device slow.",
        "critical": "Nearly all overflow memory is used. Programs may soon be ended by the system.",
    }[state]
    return Finding(
        state=state,
        summary=f"{percent:.1f} % of {total // 1024**2} MiB swap used",
        plain=plain,
        value=round(percent, 1),
    )
