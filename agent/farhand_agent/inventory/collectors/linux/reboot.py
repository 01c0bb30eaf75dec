"""Section `reboot`: whether a restart is due, and what runs with libraries that were replaced."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_agent.patches.reboot import linux_reboot

__all__ = ["collect", "replaced_libraries"]

# A mapped file that is gone: an update put another in its place.  Source: proc(5), /proc/PID/maps.
_REPLACED: Final = re.compile(r" (/(?:usr/)?lib\S+\.so[.0-9]*) \(deleted\)$", re.MULTILINE)
_MAX_REASONS: Final = 50


def replaced_libraries(maps: str) -> set[str]:
    """Return the libraries in the text of a /proc/PID/maps that lie no longer on the disk."""
    return set(_REPLACED.findall(maps))


@section("reboot", platform="linux", timeout_s=45.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item; `required` is null where neither marker nor kernels tell."""
    context.need("/proc")
    state = linux_reboot(context.runner, context.files)
    reasons = list(state.reasons)
    programs: set[str] = set()
    hidden = 0
    for pid in context.files.names("/proc"):
        if not pid.isdigit():
            continue
        try:
            if replaced_libraries(context.files.text(f"/proc/{pid}/maps") or ""):
                programs.add(context.files.line(f"/proc/{pid}/comm") or pid)
        except PermissionError:
            hidden += 1
    if hidden:
        context.note(f"{hidden} processes of other users need root")
    reasons += [f"{name} runs with libraries that were replaced" for name in sorted(programs)]
    return [{"required": state.required, "reasons": reasons[:_MAX_REASONS]}]
