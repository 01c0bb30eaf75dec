"""Collects inventory for the relay: a short-lived child that sends only what changed.

    parent -> {"home": path, "names": [name], "known": {name: hash}}
    child  -> {"section": {"name", "hash", "blob"}}    for each section that the relay lacks
    child  -> {"done": {"hashes": {name: hash}}}       every section that was looked at

What the device keeps to itself, which opt-in sections it tells and whether it tells what is
personal is read from the home here, so that a change of policy counts from the next look on.
A section too large for one message is left out and named in `{"skipped": {"name", "bytes"}}`.
Run as `python -m farhand_agent.inventory_report`.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from farhand_agent.config import Home, Settings, load_settings
from farhand_agent.frames import error_fields, read_frame, write_frame
from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.runner import collect_all
from farhand_agent.policy import effective_policy, load_own, merge
from farhand_agent.trust.verified import current_group, load_verified
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import encode_section
from farhand_protocol.trust import GroupPolicy

__all__ = ["MAX_SENT_BYTES", "inventory_policy", "main"]

MAX_SENT_BYTES: Final = 900 * 1024


def inventory_policy(home: Home, settings: Settings) -> GroupPolicy:
    """Return the rules of which the inventory's fields count.

    Unlike a session, inventory needs no verified trust: a device of an organisation without a root
    reports too, by its own policy.  One whose policy.toml cannot be read tells nothing personal.
    """
    trust = load_verified(home)
    if trust is not None:
        return effective_policy(home, current_group(settings, trust), trust)
    try:
        return merge(GroupPolicy(), load_own(home))
    except FarhandError:
        return GroupPolicy(inventory_personal=False)


def main() -> int:
    """Collect and answer; returns the exit status."""
    # Nobody waits for the inventory; whatever the device is for goes first.
    os.nice(10)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        request = read_frame(sys.stdin.buffer)
        if not request:
            return 1  # the agent was killed before it had asked
        home = Home.at(str(request["home"]))
        settings = load_settings(home)
        rules = inventory_policy(home, settings)
        known = dict(request.get("known", {}))
        # The relay may ask again for a section of another kind, or of another version of this.
        names = [str(name) for name in request.get("names", ()) if name in CATALOGUE]
        reports = collect_all(
            names,
            leave_out=settings.inventory_leave_out,
            switched_on=rules.inventory_sections,
            personal=rules.inventory_personal,
        )
        hashes = {}
        for name, report in reports.items():
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
