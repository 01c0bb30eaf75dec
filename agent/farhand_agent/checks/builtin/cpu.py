"""Check of the processor's load."""

from __future__ import annotations

import os
import re

from farhand_agent.checks.registry import CheckContext, Finding, Thresholds, check, unknown

__all__ = ["cpu_load", "parse_loadavg"]

_PER_PROCESSOR = Thresholds(warning=1.5, critical=4)


def parse_loadavg(text: str) -> float | None:
    """Return the 15 minute load of /proc/loadavg, None when it is not there.

    Source: proc(5).
    """
    found = re.match(r"\S+ \S+ ([0-9]{1,9}\.[0-9]{1,4}) ", text)
    return float(found[1]) if found else None


@check("cpu.load", "Load of the processor", unit="load per processor")
def cpu_load(context: CheckContext) -> Finding:
    """Judge the 15 minute load per processor."""
    load = parse_loadavg(context.files.text("/proc/loadavg") or "")
    if load is None:
        return unknown("the kernel does not say", "The processor could not be examined.")
    processors = os.cpu_count() or 1
    share = load / processors
    state = context.thresholds(_PER_PROCESSOR, "_per_processor").state(share)
    plain = {
        "ok": "The processor has time to spare.",
        "warning": "The processor has been busy for a while; the device may feel slow.",
        "critical": "The processor has been overloaded for a while. Some program keeps it busy.",
    }[state]
    return Finding(
        state=state,
        summary=f"15 min load {load:.2f} on {processors} processors",
        plain=plain,
        value=round(share, 2),
    )
