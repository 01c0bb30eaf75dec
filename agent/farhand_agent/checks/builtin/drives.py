"""Checks of drives: their own verdict, temperature, waiting times, arrays, file system errors."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
    worst,
)

__all__ = [
    "array_state",
    "disk_io",
    "drive_health",
    "drive_temperature",
    "file_system_errors",
    "parse_diskstats",
]

_PAUSE_S: Final = 1.0
# Whole drives, not their partitions, and nothing that lies upon others.
_DRIVE: Final = re.compile(r"(sd[a-z]{1,3}|x?vd[a-z]{1,2}|hd[a-z]|nvme\d+n\d+|mmcblk\d+)")
_WELL: Final = frozenset(
    ["clean", "active", "online", "optimal", "optl", "ok", "healthy", "read-auto", "readonly"]
)
_BUILDING: Final = (
    "recover",
    "resync",
    "check",
    "reshape",
    "rebuild",
    "scrub",
    "repair",
    "initial",
)


def parse_diskstats(text: str) -> dict[str, tuple[int, int, int]]:
    """Return (finished requests, ms that they waited, ms that the drive was busy) by drive.

    Source: the kernel's Documentation/admin-guide/iostats.rst.
    """
    found = {}
    for line in text.split("\n"):
        fields = line.split()
        if len(fields) >= 14 and _DRIVE.fullmatch(fields[2]) and all(map(_is_count, fields[3:14])):
            numbers = [int(field) for field in fields[3:14]]
            found[fields[2]] = (numbers[0] + numbers[4], numbers[3] + numbers[7], numbers[9])
    return found


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


@check(
    "disk.smart",
    "Health of the drives",
    unit="percent worn",
    platforms=EVERYWHERE,
    limits={"wear_percent": Thresholds(80, 95), "spare_percent": Thresholds(20, 10, rising=False)},
    advice="back up now; replace the drive with this serial number",
    risk="R0",
    timeout_s=60,
    plain={
        "ok": "The drives say that they are well.",
        "warning": "A drive of this device shows signs of wear. Please see that there is a backup.",
        "critical": "A drive of this device is failing. Please save your data elsewhere now and "
        "ask for help.",
        "unsupported": "The drives of this device do not tell how well they are.",
    },
)
def drive_health(context: CheckContext) -> Finding:
    """The drives' own verdict, wear, spare blocks, and sectors that went bad."""
    telling = [drive for drive in context.section("disk_health") if _tells(drive)]
    if not telling:
        return unsupported("no drive tells its health")
    judged = [(*_drive_state(context, drive), drive) for drive in telling]
    state = worst(*(one for one, _, _ in judged))
    words = [f"{drive.get('name')}: {why}" for one, why, drive in judged if one == state]
    wear = max(
        (drive["wear_percent"] for drive in telling if _number(drive, "wear_percent") is not None),
        default=None,
    )
    return Finding(
        state=state,
        summary="; ".join(words[:4]) if state != "ok" else f"{len(telling)} drives well",
        value=wear,
        metrics=() if wear is None else (context.metric("wear", wear, "percent", "wear_percent"),),
    )


def _tells(drive: dict[str, Any]) -> bool:
    keys = ("passed", "wear_percent", "reallocated_sectors", "media_errors", "spare_percent")
    return any(drive.get(key) is not None for key in keys)


def _drive_state(context: CheckContext, drive: dict[str, Any]) -> tuple[Any, str]:
    failing = [str(one) for one in drive.get("failing") or ()]
    lost = _number(drive, "uncorrectable_sectors") or 0
    bad = {
        "reallocated": _number(drive, "reallocated_sectors") or 0,
        "pending": _number(drive, "pending_sectors") or 0,
        "media errors": _number(drive, "media_errors") or 0,
    }
    if drive.get("passed") is False:
        return "critical", "says that it is failing"
    if failing:
        return "critical", f"below its threshold: {', '.join(failing[:3])}"
    if lost:
        return "critical", f"{lost:g} sectors cannot be read"
    states = []
    for key, limit in (("wear_percent", "wear_percent"), ("spare_percent", "spare_percent")):
        value = _number(drive, key)
        if value is not None:
            states.append(
                (context.limit(limit).state(value), f"{key.partition('_')[0]} {value:g} %")
            )
    named = [f"{count:g} {what}" for what, count in bad.items() if count]
    if named:
        states.append(("warning", ", ".join(named)))
    state = worst(*(one for one, _ in states))
    return state, ", ".join(why for one, why in states if one == state) or "well"


@check(
    "disk.temp",
    "Temperature of the drives",
    unit="degrees Celsius",
    platforms=EVERYWHERE,
    limits={"celsius": Thresholds(55, 65), "nvme_celsius": Thresholds(70, 80)},
    advice="see to the flow of air around the drives",
    risk="R0",
    timeout_s=60,
    plain={
        "ok": "The drives are not too hot.",
        "warning": "A drive is getting hot ({celsius} °C). Please keep the air inlets free.",
        "critical": "A drive is far too hot ({celsius} °C). Please switch the device off and let "
        "it cool down.",
        "unsupported": "The drives of this device do not tell how hot they are.",
    },
)
def drive_temperature(context: CheckContext) -> Finding:
    """The drive that is hottest for its kind: others than NVMe stand less heat."""
    hottest: tuple[float, float, str, str] | None = None
    for drive in context.section("disk_health"):
        heat = _number(drive, "temperature_celsius")
        # 0 stands for "not measured" on many drives.
        if heat is None or not 0 < heat < 150:
            continue
        name = str(drive.get("name"))
        limit = "nvme_celsius" if "nvme" in name.lower() else "celsius"
        above = heat - context.limit(limit).warning
        if hottest is None or above > hottest[0]:
            hottest = (above, heat, limit, name)
    if hottest is None:
        return unsupported("no drive tells its temperature")
    _, heat, limit, name = hottest
    return Finding(
        state=context.limit(limit).state(heat),
        summary=f"{name} {heat:g} °C",
        value=heat,
        fill={"celsius": round(heat)},
        metrics=(context.metric(name, heat, "degrees Celsius", limit),),
    )


@check(
    "disk.io",
    "Waiting for disks",
    unit="milliseconds",
    limits={"ms": Thresholds(50, 200)},
    advice="find the programs that read and write most; see whether the drive is failing",
    risk="R0",
    plain={
        "ok": "The disks answer quickly.",
        "warning": "A disk answers slowly, so programs have to wait.",
        "critical": "A disk answers very slowly. It is overloaded or may be failing.",
    },
)
def disk_io(context: CheckContext) -> Finding:
    """Mean wait of a request during one second, of the drive where it is longest."""
    before = parse_diskstats(context.files.text("/proc/diskstats") or "")
    if not before:
        return unsupported("the kernel lists no drive")
    context.pause(_PAUSE_S)
    after = parse_diskstats(context.files.text("/proc/diskstats") or "")
    wait, busy, name = 0.0, 0.0, ""
    for drive, (done, waited, busy_ms) in after.items():
        earlier = before.get(drive)
        if earlier is None or done <= earlier[0]:
            continue
        mean = max(0, waited - earlier[1]) / (done - earlier[0])
        if mean >= wait:
            wait, name = mean, drive
            busy = min(100.0, (busy_ms - earlier[2]) / (10 * _PAUSE_S))
    words = f"{name} {wait:.1f} ms a request, busy {busy:.0f} %" if name else "no requests"
    return Finding(
        state=context.limit("ms").state(wait),
        summary=f"{words} during {_PAUSE_S:g} s",
        value=round(wait, 1),
    )


@check(
    "raid.state",
    "Arrays of disks",
    unit="count",
    platforms=EVERYWHERE,
    advice="replace the failed disk, add the new one to the array, watch it build",
    risk="R2",
    timeout_s=45,
    plain={
        "ok": "The disks that work together are all there.",
        "warning": "Disks that work together are being put in order again. "
        "The device may be slow meanwhile.",
        "critical": "A disk has failed. The data is still there, but not safe any more: "
        "please ask for help soon.",
    },
)
def array_state(context: CheckContext) -> Finding:
    """Arrays that lack a disk, or that are being built."""
    arrays = context.section("raid")
    if not arrays:
        return unsupported("no arrays")
    broken, building, silent = [], [], 0
    for array in arrays:
        name, state = str(array.get("name")), str(array.get("state") or "unknown").lower()
        if (_number(array, "failed") or 0) > 0:
            broken.append(f"{name} {state}")
        elif any(word in state for word in _BUILDING):
            building.append(f"{name} {state}")
        elif state == "unknown":
            silent += 1
        elif state not in _WELL:
            broken.append(f"{name} {state}")
    if silent and not broken and not building:
        return unknown(f"{silent} of {len(arrays)} arrays do not tell their state")
    words = "; ".join((broken + building)[:5]) or f"{len(arrays)} arrays whole"
    state_now = "critical" if broken else "warning" if building else "ok"
    return Finding(state=state_now, summary=words, value=len(broken))  # type: ignore[arg-type]


@check(
    "fs.errors",
    "Errors of file systems",
    unit="count",
    advice="save the data; check the file system offline at the next start; look at the drive",
    risk="R2",
    plain={
        "ok": "The file systems have no errors written down.",
        "warning": "Errors were found in how files are stored on this device. "
        "Please see that there is a backup.",
        "critical": "The disk lost data or cannot store it any more. "
        "Please save your work elsewhere and ask for help.",
        "unsupported": "The file systems of this device do not keep count of their errors.",
    },
)
def file_system_errors(context: CheckContext) -> Finding:
    """Errors that ext4 and btrfs have counted; of btrfs, those that lost data are critical."""
    found: list[tuple[str, int]] = []
    lost = 0
    for name in context.files.names("/sys/fs/ext4"):
        count = context.files.number(f"/sys/fs/ext4/{name}/errors_count")
        if count is not None:
            found.append((f"ext4 {name}", count))
    for name in context.files.names("/sys/fs/btrfs"):
        folder = f"/sys/fs/btrfs/{name}/devinfo"
        for device in context.files.names(folder):
            counts = _error_stats(context.files.text(f"{folder}/{device}/error_stats") or "")
            if counts:
                found.append((f"btrfs {name[:8]}", sum(counts.values())))
                lost += counts.get("corruption_errs", 0) + counts.get("write_errs", 0)
    if not found:
        return unsupported("no file system here counts its errors")
    bad = [f"{name}: {count}" for name, count in found if count]
    if not bad:
        return Finding(state="ok", summary=f"{len(found)} file systems, no errors", value=0)
    return Finding(
        state="critical" if lost else "warning",
        summary="; ".join(bad[:5]),
        value=sum(count for _, count in found),
    )


def _error_stats(text: str) -> dict[str, int]:
    pairs = [line.split() for line in text.split("\n")]
    return {one[0]: int(one[1]) for one in pairs if len(one) == 2 and _is_count(one[1])}


def _number(item: dict[str, Any], key: str) -> float | None:
    value = item.get(key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
