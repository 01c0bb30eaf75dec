"""Checks of memory: what is left of it, swap, faulty modules, and programs ended for lack of it."""

from __future__ import annotations

import re
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
    worst,
)
from farhand_agent.inventory.collectors.linux.memory import parse_meminfo
from farhand_agent.inventory.collectors.linux.usage import boot_time

__all__ = ["memory_pressure", "oom_kills", "parse_pressure", "parse_vmstat", "swap_usage"]

_MIB: Final = 1024**2
_EDAC: Final = "/sys/devices/system/edac/mc"
_SILENT: Final = "the system does not say"


def parse_pressure(text: str) -> float | None:
    """Return `full avg60` of a file of /proc/pressure in percent, None where it is not there.

    Source: the kernel's Documentation/accounting/psi.rst.
    """
    found = re.search(r"^full .*\bavg60=([0-9]{1,3}(?:\.[0-9]{1,4})?)\b", text, re.MULTILINE)
    return float(found[1]) if found else None


def parse_vmstat(text: str, name: str) -> int | None:
    """Return one counter of /proc/vmstat, None where it is not there."""
    found = re.search(rf"^{re.escape(name)} ([0-9]{{1,19}})$", text, re.MULTILINE)
    return int(found[1]) if found else None


@check(
    "memory.pressure",
    "Free memory",
    unit="percent",
    platforms=EVERYWHERE,
    limits={
        "percent": Thresholds(15, 5, rising=False),
        "stalled_percent": Thresholds(10, 30),
    },
    advice="find the programs that hold most memory; restart the one that leaks; add memory",
    risk="R1",
    plain={
        "ok": "There is enough working memory.",
        "warning": "Working memory is getting short. Closing some programs will make it faster.",
        "critical": "Working memory is used up. The device will be very slow or end programs; "
        "please save your work and close what you do not need.",
    },
)
def memory_pressure(context: CheckContext) -> Finding:
    """Available memory, and the time lost waiting for it where the kernel measures it."""
    total, available = _memory(context)
    if not total or available is None:
        return unknown(_SILENT)
    percent = 100 * available / total
    stalled = None
    if context.platform == "linux":
        stalled = parse_pressure(context.files.text("/proc/pressure/memory") or "")
    state = context.limit("percent").state(percent)
    metrics = [context.metric("available", round(percent, 1), "percent", "percent")]
    words = ""
    if stalled is not None:
        state = worst(state, context.limit("stalled_percent").state(stalled))
        metrics.append(context.metric("stalled", stalled, "percent", "stalled_percent"))
        words = f", tasks stalled {stalled:.1f} % of the last minute"
    return Finding(
        state=state,
        summary=f"{percent:.1f} % available ({available // _MIB} MiB){words}",
        value=round(percent, 1),
        metrics=tuple(metrics),
    )


def _memory(context: CheckContext) -> tuple[int | None, int | None]:
    if context.platform == "linux":
        values = parse_meminfo(context.files.text("/proc/meminfo") or "")
        return values.get("MemTotal"), values.get("MemAvailable")
    totals = [item.get("total_bytes") for item in context.section("memory")]
    free = [item.get("memory_available_bytes") for item in context.section("usage")]
    return next(filter(None, totals), None), next((one for one in free if one is not None), None)


@check(
    "swap.usage",
    "Swap space in use",
    unit="percent",
    platforms=EVERYWHERE,
    limits={"percent": Thresholds(50, 80)},
    advice="find the programs that hold most memory; restart the one that leaks; add memory",
    risk="R1",
    plain={
        "ok": "Little or no memory is moved out to the disk.",
        "warning": "Much memory has been moved out to the disk, which makes the device slow.",
        "critical": "Nearly all overflow memory is used. Programs may soon be ended by the system.",
    },
)
def swap_usage(context: CheckContext) -> Finding:
    """Used swap in percent; no swap at all is well."""
    if context.platform == "linux":
        values = parse_meminfo(context.files.text("/proc/meminfo") or "")
        total, free = values.get("SwapTotal"), values.get("SwapFree")
    else:
        totals = [item.get("swap_total_bytes") for item in context.section("memory")]
        total = next((one for one in totals if one is not None), None)
        frees = [item.get("swap_free_bytes") for item in context.section("usage")]
        free = next((one for one in frees if one is not None), None)
    if total == 0:
        return Finding(state="ok", summary="no swap configured", value=0)
    if total is None or free is None:
        return unknown(_SILENT)
    percent = 100 * (total - free) / total
    return Finding(
        state=context.limit("percent").state(percent),
        summary=f"{percent:.1f} % of {total // _MIB} MiB swap used",
        value=round(percent, 1),
    )


@check(
    "mem.ecc",
    "Errors in memory modules",
    unit="errors per day",
    limits={"per_day": Thresholds(10, 10_000)},
    advice="test the memory, then replace the module in the slot that the kernel names",
    risk="R0",
    plain={
        "ok": "The memory modules work without errors.",
        "warning": "A memory module makes errors that are still corrected. It should be replaced.",
        "critical": "A memory module is faulty. Data may be damaged: please save your work and ask "
        "for help.",
    },
)
def memory_errors(context: CheckContext) -> Finding:
    """Corrected errors per day and uncorrected ones since the start, from the kernel's EDAC."""
    controllers = [name for name in context.files.names(_EDAC) if name.startswith("mc")]
    counts = [
        (context.files.number(f"{_EDAC}/{one}/ce_count"),
         context.files.number(f"{_EDAC}/{one}/ue_count"))
        for one in controllers
    ]  # fmt: skip
    known = [(ce, ue) for ce, ue in counts if ce is not None and ue is not None]
    if not known:
        return unsupported("no memory controller here counts its errors")
    corrected, lost = sum(ce for ce, _ in known), sum(ue for _, ue in known)
    rate = context.daily_rate("mem.ecc", corrected, _booted(context)) or 0.0
    return Finding(
        state="critical" if lost else context.limit("per_day").state(rate),
        summary=f"{corrected} corrected ({rate:.1f} a day), {lost} uncorrected since the start",
        value=round(rate, 1),
    )


@check(
    "oom.kills",
    "Programs ended for lack of memory",
    unit="programs per day",
    limits={"per_day": Thresholds(1, 5)},
    advice="find in the kernel's log which program was ended; limit it or add memory",
    risk="R1",
    plain={
        "ok": "No program had to be ended for lack of memory.",
        "warning": "A program was ended because there was too little memory.",
        "critical": "Programs keep being ended because there is too little memory.",
    },
)
def oom_kills(context: CheckContext) -> Finding:
    """Kills by the kernel's out-of-memory killer, per day."""
    total = parse_vmstat(context.files.text("/proc/vmstat") or "", "oom_kill")
    if total is None:
        return unsupported("this kernel does not count what it ends")
    rate = context.daily_rate("oom.kills", total, _booted(context))
    if rate is None:
        return unknown(_SILENT)
    # Within the first day after the start all of them are of today.
    booted = _booted(context)
    if booted is not None and context.days_since(booted) < 1:
        rate = min(rate, float(total))
    return Finding(
        state=context.limit("per_day").state(rate),
        summary=f"{total} killed since the start, {rate:.1f} a day",
        value=round(rate, 1),
    )


def _booted(context: CheckContext) -> int | None:
    return boot_time(context.files.text("/proc/stat") or "")
