"""Name the processes that take most CPU time, memory and open files right now."""

import json
import sys
import time

import psutil

from farhand_agent.checks.command import script_parameters

given = script_parameters()
count, seconds = given.get("count", 10), given.get("seconds", 3)
FIELDS = ("pid", "name", "username", "memory_info", "num_threads", "create_time")


def cpu_times():
    """Return the CPU seconds of each process by id and start."""
    found = {}
    for process in psutil.process_iter(("pid", "create_time", "cpu_times")):
        times = process.info["cpu_times"]
        if times is not None:
            found[process.info["pid"], process.info["create_time"]] = times.user + times.system
    return found


before, began = cpu_times(), time.monotonic()
time.sleep(seconds)
after, passed = cpu_times(), time.monotonic() - began

rows = []
for process in psutil.process_iter(FIELDS):
    info = process.info
    key = info["pid"], info["create_time"]
    used = after.get(key, 0.0) - before.get(key, 0.0)
    opened = None
    if hasattr(process, "num_fds"):
        try:
            opened = process.num_fds()
        except psutil.Error:
            opened = None  # another's process, which we may not look into
    rows.append(
        {
            "pid": info["pid"],
            "name": info["name"] or "",
            "user": info["username"],
            "cpu_percent": round(100 * max(used, 0.0) / passed, 1),
            "memory_bytes": info["memory_info"].rss if info["memory_info"] else None,
            "threads": info["num_threads"],
            "open_files": opened,
        }
    )


def most(name):
    """Return the rows with the highest value of one field."""
    known = [row for row in rows if row[name] is not None]
    return sorted(known, key=lambda row: row[name], reverse=True)[:count]


answer = {
    "processes": len(rows),
    "cpu_count": psutil.cpu_count() or 1,
    "by_cpu": most("cpu_percent"),
    "by_memory": most("memory_bytes"),
    "by_open_files": most("open_files"),
}
sys.stdout.write(json.dumps(answer) + "\n")
