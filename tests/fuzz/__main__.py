"""Fuzz one parser for a while: `python -m tests.fuzz TARGET --seconds N [--seed S]`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from farhand_protocol.errors import FarhandError
from tests.fuzz.mutation import cases
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run, and return 1 when something but a documented error came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*sorted(TARGETS), "all"])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", default=None, help="default: the time, which is printed")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else str(time.time_ns())
    names = sorted(TARGETS) if options.target == "all" else [options.target]
    findings = 0
    for name in names:
        target = TARGETS[name]
        until = time.monotonic() + options.seconds
        count = accepted = 0
        for count, case in enumerate(cases(target.seeds, seed), 1):
            started = time.monotonic()
            try:
                target.run(case)
                accepted += 1
            except FarhandError:
                pass  # what the parser documents
            except Exception:
                findings += 1
                traceback.print_exc()
                print(f"{name}: finding in case {count} of seed {seed}: {case.hex()}")
                break
            if time.monotonic() - started > 5:
                findings += 1
                print(f"{name}: case {count} of seed {seed} took over 5 s: {case.hex()}")
                break
            if time.monotonic() > until:
                break
        print(f"{name}: {count} cases, {accepted} accepted, seed {seed}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
