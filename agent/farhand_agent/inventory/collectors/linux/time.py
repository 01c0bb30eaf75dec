"""Section `time`: whether this clock follows others, which ones, and how far off it is."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.linux.system import timezone_name
from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.json_values import number, whole
from farhand_agent.inventory.registry import section
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_ntpq", "parse_properties", "parse_tracking"]

_OFFSET: Final = re.compile(r"Offset: ([+-]?)(?:([0-9]+)min )?([0-9.]+)(us|ms|s|min)\b")
# Reference ids of a chrony that follows nobody, or only itself (127.127.1.1).
_ALONE: Final = ("00000000", "7F7F0101")
_UNITS_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0}


def parse_properties(output: str) -> dict[str, str]:
    """Return the KEY=VALUE lines of `timedatectl show`."""
    return dict(line.split("=", 1) for line in output.split("\n") if "=" in line)


def parse_tracking(output: str) -> dict[str, Any]:
    """Return source, stratum and offset from `chronyc -c tracking`; {} for anything else.

    Source: chronyc(1): reference id, name or address, stratum, reference time, system time off by
    seconds (positive: chrony's own sign is "slow of NTP time"), ...
    """
    fields = output.strip().split(",")
    off = number(fields[4]) if len(fields) >= 14 else None
    if off is None:
        return {}
    return {
        "source": f"chrony: {fields[1] or fields[0]}",
        "stratum": whole(fields[2]),
        # chronyc prints the correction that is due; the clock is ahead when that is negative.
        "offset_ms": round(-off * 1000, 3) + 0.0,
        "synchronised": fields[13].strip() != "Not synchronised" and fields[0] not in _ALONE,
    }


def parse_ntpq(output: str) -> dict[str, Any]:
    """Return the peer in use from `ntpq -pn`: its line begins with a star; {} without one."""
    for line in output.split("\n"):
        fields = line[1:].split()
        if line.startswith("*") and len(fields) >= 10:
            return {
                "source": f"ntpd: {fields[0]}",
                "stratum": whole(fields[2]),
                "offset_ms": -off if (off := number(fields[8])) is not None else None,
                "synchronised": True,
            }
    return {}


def parse_timesync(output: str) -> dict[str, Any]:
    """Return server, stratum and offset from `timedatectl timesync-status`."""
    found: dict[str, Any] = {}
    for line in output.split("\n"):
        key, _, value = line.strip().partition(": ")
        if key == "Server":
            found["source"] = f"systemd-timesyncd: {value.strip()}"
        elif key == "Stratum":
            found["stratum"] = whole(value)
    offset = _OFFSET.search(output)
    amount = number(offset[3]) if offset else None
    if offset and amount is not None:
        off = amount * _UNITS_MS[offset[4]] + int(offset[2] or 0) * 60_000
        # systemd prints how far the server is ahead of this clock.
        found["offset_ms"] = round(off if offset[1] == "-" else -off, 3)
    return found


@section("time", platform="linux", volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item.

    Raises:
        Unsupported: nothing here tells about the clock.
    """
    item: dict[str, Any] = {
        "timezone": timezone_name(context), "ntp": None, "synchronised": None, "source": None,
        "stratum": None, "offset_ms": None, "rtc_local": _rtc_local(context),
    }  # fmt: skip
    asked = 0
    if context.files.path("/run/systemd/system").is_dir():
        try:
            values = parse_properties(context.run(["timedatectl", "show"]).text)
            asked += bool(values)
            item["ntp"] = {"yes": True, "no": False}.get(values.get("NTP", ""))
            item["synchronised"] = {"yes": True, "no": False}.get(values.get("NTPSynchronized", ""))
            if context.files.path("/run/systemd/timesync").is_dir():
                item |= parse_timesync(context.run(["timedatectl", "timesync-status"]).text)
        except FarhandError as error:
            context.note(error.message)
    for argv, parse in (
        (["chronyc", "-c", "tracking"], parse_tracking),
        (["ntpq", "-pn"], parse_ntpq),
    ):
        if item["source"] is not None:
            break
        try:
            found = parse(context.run(argv, timeout_s=5.0).text)
        except FarhandError:
            continue  # not this one: not installed, or not running
        asked += bool(found)
        item |= found
        item["ntp"] = True if found else item["ntp"]
    if not asked and item["source"] is None:
        raise Unsupported("neither timedatectl nor chronyc nor ntpq answers here")
    return [item]


def _rtc_local(context: Context) -> bool | None:
    """Return whether /etc/adjtime says LOCAL; without the file it is UTC (hwclock(8))."""
    text = context.files.text("/etc/adjtime")
    if text is None:
        return False if context.files.path("/dev/rtc0").exists() else None
    lines = text.split("\n")
    return len(lines) > 2 and lines[2].strip() == "LOCAL"
