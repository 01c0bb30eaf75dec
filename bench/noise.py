"""How steady the machine is: one fixed piece of work, many times."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from typing import Any

__all__ = ["measure_noise"]

_ROUNDS = 30
_DATA = bytes(4 * 1024 * 1024)


def measure_noise() -> dict[str, Any]:
    """Hash 4 MiB thirty times; return median and spread in milliseconds, and the load average."""
    took = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        hashlib.sha256(_DATA).digest()
        took.append((time.perf_counter() - start) * 1000)
    median = statistics.median(took)
    spread = (max(took) - min(took)) / median
    load = os.getloadavg()[0]
    return {
        "median_ms": median,
        "min_ms": min(took),
        "max_ms": max(took),
        "load_average_1m": load,
        "words": (
            f"fixed work {median:.2f} ms, spread {spread * 100:.0f} %, load average {load:.2f}"
        ),
    }
