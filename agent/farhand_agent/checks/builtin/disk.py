"""Checks of file systems: space, inodes, and whether they can still be written."""

from __future__ import annotations

from collections.abc import Callable

from farhand_agent.checks.registry import CheckContext, Finding, Thresholds, check, unknown
from farhand_agent.platforms.mounts import Capacity, Mount, capacity, data_mounts

__all__ = ["disk_inodes", "disk_read_only", "disk_space"]

_GIB = 1024**3
_SPACE = Thresholds(warning=85, critical=95)
# Five percent of a very large disk is plenty: below these nothing is wrong whatever the percentage.
_PLENTY_BYTES = 50 * _GIB
_INODES = Thresholds(warning=85, critical=95)
_BLIND = "The storage of this device could not be examined."


@check("disk.space", "Space left on disks", unit="percent")
def disk_space(context: CheckContext) -> Finding:
    """Judge the fullest file system by used percent; plenty of free bytes is always well."""
    thresholds = context.thresholds(_SPACE, "_percent")

    def used(size: Capacity) -> float:
        return 0.0 if size.available_bytes >= _PLENTY_BYTES else size.used_percent

    found = _fullest(context, used)
    if found is None:
        return unknown("no file system answers", _BLIND)
    mount, size = found
    state = thresholds.state(used(size))
    free = size.available_bytes / _GIB
    plain = {
        "ok": "There is enough free space on this device.",
        "warning": f"The disk is getting full: {free:.1f} GB are left. "
        "Some old files or programs should be removed soon.",
        "critical": f"The disk is almost full: only {free:.1f} GB are left. "
        "Programs may stop working until space is freed.",
    }[state]
    return Finding(
        state=state,
        summary=f"{mount.target} {size.used_percent:.1f} % used, {free:.1f} GiB free",
        plain=plain,
        value=round(size.used_percent, 1),
    )


@check("disk.inodes", "File entries left on disks", unit="percent")
def disk_inodes(context: CheckContext) -> Finding:
    """Judge the file system with the largest share of used inodes."""
    thresholds = context.thresholds(_INODES, "_percent")
    found = _fullest(context, lambda size: size.inodes_used_percent)
    if found is None:
        return Finding(
            state="unsupported",
            summary="no file system here counts inodes",
            plain="This device's disks have no limit on the number of files.",
        )
    mount, size = found
    percent = size.inodes_used_percent or 0.0
    state = thresholds.state(percent)
    plain = {
        "ok": "There is room for many more files on this device.",
        "warning": "This device holds very many small files and comes close to a limit.",
        "critical": "This device can hardly store any new file, although there may be free space.",
    }[state]
    return Finding(
        state=state,
        summary=f"{mount.target} {percent:.1f} % of inodes used, {size.inodes_free} free",
        plain=plain,
        value=round(percent, 1),
    )


@check("disk.read-only", "Disks that can no longer be written", unit="count")
def disk_read_only(context: CheckContext) -> Finding:
    """Find local data file systems mounted read-only; Linux does that after disk errors."""
    mounts = [mount for mount in data_mounts(context.files) if not mount.network]
    if not mounts:
        return unknown("no file system found", _BLIND)
    # DVDs and the like are read-only by nature.
    stuck = [m for m in mounts if m.read_only and m.filesystem not in ("udf", "iso9660")]
    if not stuck:
        return Finding(
            state="ok",
            summary=f"{len(mounts)} file systems writable",
            plain="Files can be saved on all disks of this device.",
            value=0,
        )
    names = ", ".join(mount.target for mount in stuck[:5])
    return Finding(
        state="critical" if any(mount.target == "/" for mount in stuck) else "warning",
        summary=f"mounted read-only: {names}",
        plain="A disk can only be read at the moment. It may be damaged: "
        "please save your work elsewhere and ask for help.",
        value=len(stuck),
    )


def _fullest(
    context: CheckContext, measure: Callable[[Capacity], float | None]
) -> tuple[Mount, Capacity] | None:
    best: tuple[float, Mount, Capacity] | None = None
    for mount in data_mounts(context.files):
        # What cannot be written cannot fill up either.
        size = None if mount.read_only else capacity(mount, context.runner)
        value = measure(size) if size else None
        if size is not None and value is not None and (best is None or value > best[0]):
            best = (value, mount, size)
    return (best[1], best[2]) if best else None
