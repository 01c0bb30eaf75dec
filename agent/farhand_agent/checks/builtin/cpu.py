"""Checks of the processor: its load, its temperature, slowing down, and known weaknesses."""

from __future__ import annotations

import os
import re
from typing import Final

from farhand_agent.checks.registry import (
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.collectors.linux.usage import boot_time

__all__ = ["cpu_load", "cpu_temperature", "cpu_throttle", "cpu_weaknesses", "parse_loadavg"]

_CPUS: Final = "/sys/devices/system/cpu"
_HWMON: Final = "/sys/class/hwmon"
# hwmon drivers that measure the processor itself.
_CHIPS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "scpi_sensors")
# Where the chip does not name its own limit.
_USUAL_LIMIT: Final = 100.0
_SILENT: Final = "the kernel does not say"


def parse_loadavg(text: str) -> float | None:
    """Return the 15 minute load of /proc/loadavg, None when it is not there.

    Source: proc(5).
    """
    found = re.match(r"\S+ \S+ ([0-9]{1,9}\.[0-9]{1,4}) ", text)
    return float(found[1]) if found else None


@check(
    "cpu.load",
    "Load of the processor",
    unit="load per processor",
    limits={"per_processor": Thresholds(1.5, 4)},
    advice="find the busiest programs; lower their priority or end them",
    risk="R1",
    plain={
        "ok": "The processor has time to spare.",
        "warning": "The processor has been busy for a while; the device may feel slow.",
        "critical": "The processor has been overloaded for a while. Some program keeps it busy.",
    },
)
def cpu_load(context: CheckContext) -> Finding:
    """Load of the last 15 minutes per processor."""
    load = parse_loadavg(context.files.text("/proc/loadavg") or "")
    if load is None:
        return unknown(_SILENT)
    processors = os.cpu_count() or 1
    share = load / processors
    return Finding(
        state=context.limit("per_processor").state(share),
        summary=f"15 min load {load:.2f} on {processors} processors",
        value=round(share, 2),
    )


@check(
    "cpu.temp",
    "Temperature of the processor",
    unit="degrees below its limit",
    limits={"below": Thresholds(15, 5, rising=False)},
    advice="clean the fans and the air inlets; renew the thermal paste",
    risk="R0",
    plain={
        "ok": "The processor is not too hot.",
        "warning": "The processor is getting hot ({celsius} °C). Please keep the air inlets free.",
        "critical": "The processor is far too hot ({celsius} °C). Please switch the device off and "
        "let it cool down.",
        "unsupported": "This device does not tell how hot its processor is.",
    },
)
def cpu_temperature(context: CheckContext) -> Finding:
    """Degrees between the hottest sensor of the processor and that sensor's own limit."""
    found: list[tuple[float, float, float]] = []
    for chip in context.files.names(_HWMON):
        folder = f"{_HWMON}/{chip}"
        if context.files.line(f"{folder}/name") not in _CHIPS:
            continue
        for name in context.files.names(folder):
            reading = _milli(context, f"{folder}/{name}") if _is_temperature(name) else None
            # Sensors that are not wired answer with nonsense.
            if reading is None or not -40 < reading < 150:
                continue
            limit = _milli(context, f"{folder}/{name.removesuffix('input')}crit")
            limit = limit if limit and 40 < limit < 150 else _USUAL_LIMIT
            found.append((limit - reading, reading, limit))
    if not found:
        return unsupported("no temperature sensor of the processor")
    below, reading, limit = min(found)
    return Finding(
        state=context.limit("below").state(below),
        summary=f"{reading:.0f} °C, limit {limit:.0f} °C",
        value=round(below, 1),
        fill={"celsius": round(reading)},
    )


def _is_temperature(name: str) -> bool:
    return re.fullmatch(r"temp[0-9]{1,3}_input", name) is not None


def _milli(context: CheckContext, name: str) -> float | None:
    number = context.files.number(name)
    return None if number is None else number / 1000


@check(
    "cpu.throttle",
    "Slowing down because of heat",
    unit="times per day",
    limits={"per_day": Thresholds(24, 5000)},
    advice="clean the fans and the air inlets; look at the power plan and the power supply",
    risk="R0",
    plain={
        "ok": "The processor runs at full speed.",
        "warning": "The processor sometimes slows down because it gets too hot.",
        "critical": "The processor slows down all the time because it is too hot. Please keep the "
        "air inlets free.",
        "unsupported": "This device does not tell whether its processor slows down.",
    },
)
def cpu_throttle(context: CheckContext) -> Finding:
    """How often a day a processor package was slowed down because of heat."""
    counts = []
    for name in context.files.names(_CPUS):
        if re.fullmatch(r"cpu[0-9]{1,5}", name):
            for what in ("package", "core"):
                file = f"{_CPUS}/{name}/thermal_throttle/{what}_throttle_count"
                counts.append(context.files.number(file))
    known = [count for count in counts if count is not None]
    if not known:
        return unsupported("this kernel does not count thermal throttling")
    # Every core repeats its package's count, so that the largest one is the package's.
    total = max(known)
    started = boot_time(context.files.text("/proc/stat") or "")
    rate = context.daily_rate("cpu.throttle", total, started)
    if rate is None:
        return unknown(_SILENT)
    return Finding(
        state=context.limit("per_day").state(rate),
        summary=f"{total} times since the start, {rate:.1f} a day",
        value=round(rate, 1),
    )


@check(
    "cpu.microcode-vuln",
    "Known weaknesses of the processor",
    unit="count",
    advice="update firmware, microcode and kernel; switch the mitigations on",
    risk="R2",
    plain={
        "ok": "The known weaknesses of this processor are guarded against.",
        "warning": "The processor has known weaknesses that are not guarded against yet.",
    },
)
def cpu_weaknesses(context: CheckContext) -> Finding:
    """Hardware vulnerabilities that the kernel calls vulnerable."""
    folder = f"{_CPUS}/vulnerabilities"
    names = context.files.names(folder)
    if not names:
        return unsupported("this kernel does not list the processor's vulnerabilities")
    bare = [
        name
        for name in names
        if (context.files.line(f"{folder}/{name}") or "").lower().startswith("vulnerable")
    ]
    if bare:
        words = f"vulnerable: {', '.join(bare[:8])}"
        return Finding(state="warning", summary=words, value=len(bare))
    return Finding(state="ok", summary=f"{len(names)} known, all mitigated", value=0)
