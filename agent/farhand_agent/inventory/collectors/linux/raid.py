"""Section `raid`: arrays of the kernel, and of controllers whose tool is installed."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text, whole
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_mdstat", "parse_storcli"]

_ARRAY: Final = re.compile(r"(md\S{1,60}) : (active|inactive)(?: \(\S+\))*(?: (\S+))? (.+)")
_MEMBER: Final = re.compile(r"([^\s\[]+)\[[0-9]+\]((?:\([A-Z]\))*)")
_COUNTS: Final = re.compile(r"\s+([0-9]{1,15}) blocks.* \[([0-9]{1,4})/([0-9]{1,4})\] \[[U_]+\]")
_BLOCKS: Final = re.compile(r"\s+([0-9]{1,15}) blocks")
_REBUILD: Final = re.compile(r"\s+\[[=>.]+\]\s+(resync|recovery|reshape|check) =")
_STORCLI_STATES: Final = {
    "Optl": "clean", "Dgrd": "degraded", "Pdgd": "degraded", "OfLn": "failed", "Rec": "recovering",
}  # fmt: skip


def parse_mdstat(output: str) -> list[dict[str, Any]]:
    """Return one item per array in the text of /proc/mdstat.

    Source: md(4); drivers/md/md.c, md_seq_show: a block is 1 KiB, [n/m] wanted and working.
    """
    items: list[dict[str, Any]] = []
    for line in output.split("\n"):
        if found := _ARRAY.fullmatch(line):
            words = f"{found[3] or ''} {found[4]}"
            members = _MEMBER.findall(words)
            level = found[3] if found[3] and "[" not in found[3] else None
            items.append(
                {
                    "name": found[1],
                    "level": level,
                    "state": "clean" if found[2] == "active" else "inactive",
                    "size_bytes": None,
                    "devices": len(members),
                    "failed": sum("(F)" in flags for _, flags in members),
                    "members": sorted(name for name, _ in members),
                    "controller": "md",
                }
            )
        elif items and (counts := _COUNTS.match(line)):
            wanted, working = int(counts[2]), int(counts[3])
            items[-1]["size_bytes"] = int(counts[1]) * 1024
            items[-1]["devices"] = wanted
            items[-1]["failed"] = max(0, wanted - working)
            if working < wanted:
                items[-1]["state"] = "degraded"
        elif items and (blocks := _BLOCKS.match(line)):
            items[-1]["size_bytes"] = int(blocks[1]) * 1024
        elif items and (rebuild := _REBUILD.match(line)):
            items[-1]["state"] = "recovering" if rebuild[1] == "recovery" else rebuild[1]
    return items


def parse_storcli(document: Any) -> list[dict[str, Any]]:
    """Return one item per virtual drive in what `storcli64 /call/vall show J` printed.

    Entries of another shape are skipped.
    """
    items: list[dict[str, Any]] = []
    for controller in rows(document.get("Controllers") if isinstance(document, dict) else None):
        data = controller.get("Response Data")
        drives = data.get("Virtual Drives") if isinstance(data, dict) else None
        for drive in rows(drives):
            state = text(drive.get("State")) or ""
            items.append(
                {
                    "name": text(drive.get("Name")) or text(drive.get("DG/VD")),
                    "level": (text(drive.get("TYPE")) or "").lower() or None,
                    "state": _STORCLI_STATES.get(state, state.lower() or None),
                    "size_bytes": None,
                    "devices": whole(drive.get("Drives")),
                    "failed": None,
                    "members": [],
                    "controller": "storcli",
                }
            )
    return items


@section("raid", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per array.  A kernel that lists no personalities has none."""
    context.need("/proc")
    items = parse_mdstat(context.files.text("/proc/mdstat") or "")
    for program in ("storcli64", "perccli64"):
        try:
            items += parse_storcli(context.run_json([program, "/call/vall", "show", "J"]))
        except CommandMissing:
            continue
    return items
