"""Name the largest folders and files below a folder, on its own file system."""

import heapq
import json
import os
import sys
import time

from farhand_agent.checks.command import script_parameters

MAX_ENTRIES = 2_000_000
given = script_parameters()
root = os.path.normpath(given.get("folder") or ("C:\\" if os.name == "nt" else "/"))
count = given.get("count", 20)
deadline = time.monotonic() + given.get("seconds", 90)


def size_of(info):
    """Return what a file takes on the disk; a sparse file takes less than it is long."""
    return info.st_blocks * 512 if hasattr(info, "st_blocks") else info.st_size


def look(top):
    """Add up everything below `top`; returns sizes of folders, the largest files, and counts."""
    device = os.lstat(top).st_dev
    sizes, largest, seen = {top: 0}, [], set()
    denied = entries = 0
    waiting = [top]
    order = []
    while waiting:
        if time.monotonic() > deadline or entries > MAX_ENTRIES:
            return sizes, largest, denied, entries, order, False
        folder = waiting.pop()
        order.append(folder)
        try:
            with os.scandir(folder) as listed:
                for entry in listed:
                    entries += 1
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except OSError:
                        denied += 1
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        # On Windows every st_dev of a listing is 0; links were left out above.
                        if info.st_dev in (device, 0):
                            sizes[entry.path] = 0
                            waiting.append(entry.path)
                        continue
                    if info.st_nlink > 1 and info.st_ino:
                        if (info.st_dev, info.st_ino) in seen:
                            continue
                        seen.add((info.st_dev, info.st_ino))
                    size = size_of(info)
                    sizes[folder] += size
                    keep = heapq.heappush if len(largest) < count else heapq.heappushpop
                    keep(largest, (size, entry.path))
        except OSError:
            denied += 1
    return sizes, largest, denied, entries, order, True


if not os.path.isdir(root) or os.path.islink(root):
    sys.stderr.write("there is no such folder\n")
    raise SystemExit(1)
sizes, largest, denied, entries, order, whole = look(root)
for folder in reversed(order):
    if folder != root:
        sizes[os.path.dirname(folder)] += sizes[folder]
# Of two as large as each other, the one that holds the other comes first.
top = heapq.nlargest(
    count,
    ((size, path) for path, size in sizes.items()),
    key=lambda one: (one[0], -len(one[1])),
)


def printable(path):
    """Return a path as text that any reader takes; names need not be UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


answer = {
    "folder": root,
    "bytes": sizes[root],
    "whole": whole,
    "entries": entries,
    "denied": denied,
    "folders": [{"path": printable(path), "bytes": size} for size, path in top],
    "files": [
        {"path": printable(path), "bytes": size} for size, path in sorted(largest, reverse=True)
    ],
}
sys.stdout.write(json.dumps(answer) + "\n")
