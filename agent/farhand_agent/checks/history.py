"""What was measured before: a small file of samples, for checks that judge change over days.

One JSON object: series name -> list of [Unix seconds, value], oldest first.  At most one sample an
hour and nine days of each series are kept, so the file stays below a few hundred kilobytes.  A file
that cannot be read counts as empty: history is a help, never a condition.  It belongs to the
process that runs checks; two of them at once lose samples, not the file.
"""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from typing import Final

__all__ = ["History"]

_MAX_SERIES: Final = 256
_MAX_BYTES: Final = 4 * 1024 * 1024
_HOUR_S: Final = 3600
_KEPT_S: Final = 9 * 24 * _HOUR_S


class History:
    """Samples by series.

    Args:
        path: the file; None keeps them in memory only.
        read_only: whether the file is only read.
    """

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._lock = threading.Lock()
        self._series: dict[str, list[tuple[float, float]]] = _read(path) if path else {}
        self._changed = False

    def samples(self, series: str) -> list[tuple[float, float]]:
        """Return what was measured, as (Unix seconds, value), oldest first."""
        with self._lock:
            return list(self._series.get(series, ()))

    def add(self, series: str, at: float, value: float) -> None:
        """Add a sample unless the last one is less than an hour old."""
        with self._lock:
            known = self._series.get(series, [])
            # After the clock was set back, what lies in the future says nothing any more.
            known = [one for one in known if at - _KEPT_S <= one[0] <= at]
            if not known and series not in self._series and len(self._series) >= _MAX_SERIES:
                return
            if not known or at - known[-1][0] >= _HOUR_S:
                known.append((at, value))
            self._series[series] = known
            self._changed = True

    def save(self) -> None:
        """Write the file whole, or leave the old one.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            if self._path is None or self._read_only or not self._changed:
                return
            text = json.dumps(self._series)
            beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            beside.write_text(text, "utf-8")
            os.replace(beside, self._path)
            self._changed = False


def _read(path: Path) -> dict[str, list[tuple[float, float]]]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    series = {}
    for name, samples in list(document.items())[:_MAX_SERIES]:
        if isinstance(samples, list):
            series[name] = sorted(
                (float(one[0]), float(one[1]))
                for one in samples
                if isinstance(one, list) and len(one) == 2 and all(map(_is_number, one))
            )
    return series


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1e18
