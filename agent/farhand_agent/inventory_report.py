"""Collects inventory for the relay: a short-lived child that sends only what changed.

    parent -> {"known": {name: hash}, "leave_out": [name]}
    child  -> {"section": {"name", "hash", "blob"}}    for each section that the relay lacks
    child  -> {"done": {"hashes": {name: hash}}}       every section of the report

A section too large for one message is left out and named in `{"skipped": {"name", "bytes"}}`.
Run as `python -m farhand_agent.inventory_report`.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from farhand_agent.frames import error_fields, read_frame, write_frame
from farhand_agent.inventory.runner import collect_all
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import encode_section

__all__ = ["MAX_SENT_BYTES", "main"]

MAX_SENT_BYTES: Final = 900 * 1024


def main() -> int:
    """Collect and answer; returns the exit status."""
    # Nobody waits for the inventory; whatever the device is for goes first.
    os.nice(10)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        request = read_frame(sys.stdin.buffer) or {}
        known = dict(request.get("known", {}))
        hashes = {}
        for name, report in collect_all(leave_out=request.get("leave_out", ())).items():
            blob = encode_section(report) if known.get(name) != report.hash else b""
            if len(blob) > MAX_SENT_BYTES:
                write_frame(sink, {"skipped": {"name": name, "bytes": len(blob)}})
                continue
            hashes[name] = report.hash
            if blob:
                section = {"name": name, "hash": report.hash, "blob": blob}
                write_frame(sink, {"section": section})
        write_frame(sink, {"done": {"hashes": hashes}})
    except FarhandError as error:
        write_frame(sink, {"error": error_fields(error)})
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # A collector that hangs in the kernel must not keep this process; everything is written.
    os._exit(status)
