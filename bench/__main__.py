"""`make bench`: figures and ratios, each beside a baseline of the same run.

    python -m bench                     all suites
    python -m bench session agents      some of them
    python -m bench --quick             small sizes, to see that they work; not for quoting

A ratio is worth more than a figure: both its parts were measured on the same machine within the
same minute.  The noise line says how much a fixed piece of work varied meanwhile.  Results are kept
as JSON under bench/results/.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.noise import measure_noise
from bench.report import Figure, show

SUITES = (
    "session",
    "resume",
    "session_beside",
    "session_opening",
    "session_recording",
    "session_resume",
    "session_tunnel",
    "session_weight",
    "splice",
    "agents",
    "campaign",
    "resident",
    "orders",
    "fleet",
    "inventory",
    "desk",
    "screen",
    "web",
)
_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the suites asked for, print and keep what they measured."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(SUITES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, not for quoting")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}")
    before = measure_noise()
    print(f"noise before: {before['words']}", flush=True)
    kept: dict[str, Any] = {}
    failed = []
    for name in options.suites or SUITES:
        print(f"\n{name}", flush=True)
        suite = importlib.import_module(f"bench.{name}")
        try:
            figures: list[Figure] = suite.run(quick=options.quick)
        except Exception as error:  # one suite's failure must not lose what others measured
            print(f"  failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            traceback.print_exc()
            failed.append(name)
            continue
        show(figures)
        kept[name] = [figure.as_json() for figure in figures]
    after = measure_noise()
    print(f"\nnoise after: {after['words']}")
    if kept:
        _keep(kept, before, after, quick=options.quick)
    return 1 if failed else 0


def _keep(
    kept: dict[str, Any], before: dict[str, Any], after: dict[str, Any], *, quick: bool
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    name = "quick" if quick else now.strftime("%Y-%m-%dT%H%M%SZ")
    _RESULTS.mkdir(exist_ok=True)
    file = _RESULTS / f"{name}.json"
    document = {
        "at": now.isoformat(),
        "quick": quick,
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
        },
        "noise": {"before": before, "after": after},
        "suites": kept,
    }
    file.write_text(json.dumps(document, indent=1) + "\n")
    print(f"kept in {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


if __name__ == "__main__":
    sys.exit(main())
