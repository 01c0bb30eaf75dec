"""Remove temporary files that nobody read or wrote for some days.

Every step goes by descriptor and follows no link, because anybody may write in these folders and
exchange what lies there while we look.
"""

import json
import os
import stat
import sys
import time

from farhand_agent.checks.command import script_parameters

ROOTS = ("/tmp", "/var/tmp")  # noqa: S108 - they are what is cleaned
# Sockets of desktops, and folders that systemd and snap mount for services.
SPARED = (".X", ".ICE-", ".font-", ".Test-", "systemd-private-", "snap-private-", "com.apple.")
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_DEPTH = 40
oldest = time.time() - 86_400 * script_parameters().get("days", 10)
counts = {"files": 0, "folders": 0, "bytes": 0, "failed": 0}


def is_old(info):
    """Tell whether nobody read, wrote or changed it since then."""
    return max(info.st_atime, info.st_mtime, info.st_ctime) < oldest


def clean(folder, device, depth):
    """Remove what is old below an open folder; returns whether it is empty then."""
    left = 0
    for name in os.listdir(folder):
        if depth == 0 and name.startswith(SPARED):
            left += 1
            continue
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if info.st_dev != device:
                left += 1
            elif stat.S_ISDIR(info.st_mode):
                left += 0 if clean_folder(folder, name, info, depth) else 1
            elif (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)) and is_old(info):
                os.unlink(name, dir_fd=folder)
                counts["files"] += 1
                counts["bytes"] += info.st_blocks * 512 if info.st_nlink == 1 else 0
            else:
                left += 1
        except FileNotFoundError:
            continue  # somebody else was quicker
        except OSError:
            counts["failed"] += 1
            left += 1
    return left == 0


def clean_folder(parent, name, info, depth):
    """Clean one folder below another; returns whether it is gone."""
    if depth >= MAX_DEPTH:
        return False
    folder = os.open(name, FOLDER, dir_fd=parent)
    try:
        if os.fstat(folder).st_dev != info.st_dev:
            return False
        is_empty = clean(folder, info.st_dev, depth + 1)
    finally:
        os.close(folder)
    # Its own times say when something in it was made or removed, by us as well.
    if not (is_empty and info.st_mtime < oldest):
        return False
    os.rmdir(name, dir_fd=parent)
    counts["folders"] += 1
    return True


for root in ROOTS:
    try:
        opened = os.open(os.path.realpath(root), FOLDER)
    except OSError:
        continue  # there is no such folder
    try:
        clean(opened, os.fstat(opened).st_dev, 0)
    finally:
        os.close(opened)
changed = counts["files"] + counts["folders"] > 0
sys.stdout.write(json.dumps({"changed": changed, **counts}) + "\n")
