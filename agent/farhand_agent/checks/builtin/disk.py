"""Checks of file systems: space, inodes, how soon they are full, whether they can be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
)
from farhand_agent.platforms.mounts import Capacity, Mount, capacity, data_mounts

__all__ = ["days_until_full", "disk_growth", "disk_inodes", "disk_read_only", "disk_space"]

_GIB: Final = 1024**3
# Five percent of a very large disk is plenty: from here on nothing is wrong at any percentage.
_PLENTY_BYTES: Final = 50 * _GIB
_DAY_S: Final = 86400.0
_MIN_SAMPLES: Final = 6
_SYSTEMS_OWN: Final = ("\\\\?\\", "/System/Volumes/")
# DVDs and the like are read-only by nature.
_READ_ONLY_BY_NATURE: Final = ("udf", "iso9660")


@check(
    "disk.space",
    "Space left on disks",
    unit="percent",
    platforms=EVERYWHERE,
    limits={"percent": Thresholds(85, 95)},
    remedies=("remedy.packages.clean", "remedy.journal.vacuum"),
    advice="remove old files, package caches and journals; enlarge the volume",
    risk="R1",
    timeout_s=30,
    plain={
        "ok": "There is enough free space on this device.",
        "warning": "The disk is getting full: {free} GB are left. "
        "Some old files or programs should be removed soon.",
        "critical": "The disk is almost full: only {free} GB are left. "
        "Programs may stop working until space is freed.",
    },
)
def disk_space(context: CheckContext) -> Finding:
    """Fullest file system by used percent; 50 GiB or more free is always well."""
    full = max(_volumes(context), default=None)
    if full is None:
        return unknown("no file system answers")
    judged, used, target, free = full
    return Finding(
        state=context.limit("percent").state(judged),
        summary=f"{target} {used:.1f} % used, {free / _GIB:.1f} GiB free",
        value=round(used, 1),
        fill={"free": free / _GIB},
        remedy="remedy.packages.clean" if context.platform == "linux" else None,
    )


def _volumes(context: CheckContext) -> list[tuple[float, float, str, int]]:
    """Return (percent that is judged, used percent, mount point, free bytes) of each volume."""
    found = []
    if context.platform == "linux":
        for mount, size in _sizes(context):
            found.append((size.used_percent, mount.target, size.available_bytes))
    else:
        for item in context.section("usage"):
            used, free = item.get("used_percent"), item.get("available_bytes")
            target = item.get("mount")
            # What has no drive letter, or is the system's own, nobody can make room on.
            own = str(target).startswith(_SYSTEMS_OWN) and target != "/System/Volumes/Data"
            if used is not None and free is not None and not own:
                found.append((float(used), str(target), int(free)))
    return [
        (0.0 if free >= _PLENTY_BYTES else used, used, target, free) for used, target, free in found
    ]


@check(
    "disk.inodes",
    "File entries left on disks",
    unit="percent",
    limits={"percent": Thresholds(85, 95)},
    advice="find the folders with most files and remove what piles up there",
    risk="R0",
    timeout_s=30,
    plain={
        "ok": "There is room for many more files on this device.",
        "warning": "This device holds very many small files and comes close to a limit.",
        "critical": "This device can hardly store any new file, although there may be free space.",
        "unsupported": "This device's disks have no limit on the number of files.",
    },
)
def disk_inodes(context: CheckContext) -> Finding:
    """File system with the largest share of used inodes."""

    def share(found: tuple[Mount, Capacity]) -> float:
        percent = found[1].inodes_used_percent
        return -1.0 if percent is None else percent

    fullest = max(_sizes(context), key=share, default=None)
    if fullest is None or share(fullest) < 0:
        return unsupported("no file system here counts inodes")
    mount, size = fullest
    percent = share(fullest)
    return Finding(
        state=context.limit("percent").state(percent),
        summary=f"{mount.target} {percent:.1f} % of inodes used, {size.inodes_free} free",
        value=round(percent, 1),
    )


@check(
    "disk.read-only",
    "Disks that can no longer be written",
    unit="count",
    advice="look at the kernel's log, save the data, then check the file system offline",
    risk="R2",
    plain={
        "ok": "Files can be saved on all disks of this device.",
        "warning": "A disk can only be read at the moment. It may be damaged: "
        "please save your work elsewhere and ask for help.",
        "critical": "The main disk can only be read at the moment. It may be damaged: "
        "please save your work elsewhere and ask for help.",
    },
)
def disk_read_only(context: CheckContext) -> Finding:
    """Local data file systems mounted read-only, as Linux does after disk errors."""
    mounts = [mount for mount in data_mounts(context.files) if not mount.network]
    if not mounts:
        return unknown("no file system found")
    stuck = [m for m in mounts if m.read_only and m.filesystem not in _READ_ONLY_BY_NATURE]
    if not stuck:
        return Finding(state="ok", summary=f"{len(mounts)} file systems writable", value=0)
    names = ", ".join(mount.target for mount in stuck[:5])
    return Finding(
        state="critical" if any(mount.target == "/" for mount in stuck) else "warning",
        summary=f"mounted read-only: {names}",
        value=len(stuck),
    )


@check(
    "disk.growth",
    "Days until a disk is full",
    unit="days",
    limits={"days": Thresholds(14, 3, rising=False)},
    advice="find what grows; remove it, rotate it, or enlarge the volume",
    risk="R1",
    timeout_s=30,
    plain={
        "ok": "At the present pace the disks will not fill up soon.",
        "warning": (
            "At the present pace a disk will be full in about {n} day.",
            "At the present pace a disk will be full in about {n} days.",
        ),
        "critical": "At the present pace a disk will be full in a few days.",
        "unknown": "It takes some days of measuring to say when the disks will be full.",
    },
)
def disk_growth(context: CheckContext) -> Finding:
    """Linear fit of the used bytes of the last seven days; needs the agent's own history."""
    soonest: tuple[float, str] | None = None
    measured = 0
    for mount, size in _sizes(context):
        if mount.network:
            continue
        earlier = context.remembered(f"disk.growth {mount.target}", size.used_bytes)
        recent = [one for one in earlier if context.now() - one[0] <= 7 * _DAY_S]
        days = days_until_full([*recent, (context.now(), size.used_bytes)], size.available_bytes)
        if days is None:
            continue
        measured += 1
        if soonest is None or days < soonest[0]:
            soonest = (days, mount.target)
    if soonest is None:
        return unknown("less than a day of history")
    days, target = soonest
    if days == float("inf"):
        return Finding(state="ok", summary=f"none of {measured} file systems grows")
    return Finding(
        state=context.limit("days").state(days),
        summary=f"{target} is full in {days:.1f} days at this pace",
        value=round(days, 1),
        fill={"n": round(days)},
    )


def days_until_full(samples: Sequence[tuple[float, float]], free_bytes: float) -> float | None:
    """Return in how many days a file system is full, by the straight line through its samples.

    Args:
        samples: (Unix seconds, used bytes), oldest first.
        free_bytes: what is left.

    Returns:
        Infinity where it does not grow; None for fewer than six samples or less than a day.
    """
    if len(samples) < _MIN_SAMPLES or samples[-1][0] - samples[0][0] < _DAY_S:
        return None
    times = [(at - samples[0][0]) / _DAY_S for at, _ in samples]
    used = [value for _, value in samples]
    mean_time, mean_used = sum(times) / len(times), sum(used) / len(used)
    spread = sum((time - mean_time) ** 2 for time in times)
    together = sum(
        (time - mean_time) * (value - mean_used) for time, value in zip(times, used, strict=True)
    )
    if spread <= 0 or together <= 0:
        return float("inf")
    return free_bytes / (together / spread)


def _sizes(context: CheckContext) -> list[tuple[Mount, Capacity]]:
    # What cannot be written cannot fill up either.
    mounts = [mount for mount in data_mounts(context.files) if not mount.read_only]
    return [(mount, size) for mount in mounts if (size := capacity(mount, context.runner))]
