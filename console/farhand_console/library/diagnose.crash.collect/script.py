"""List what crashed, and the stacks that the system kept of the newest crashes."""

import json
import os
import sys

from farhand_agent.checks.command import script_parameters
from farhand_agent.platforms.commands import run
from farhand_protocol.errors import FarhandError

FOLDERS = ("/var/crash", "/Library/Logs/DiagnosticReports")
MAX_TEXT = 12_000
MAX_FILE = 256 * 1024
KEPT = ("ProblemType:", "ExecutablePath:", "Date:", "Signal:", "Package:", "Title:", "Stacktrace:")
count = script_parameters().get("count", 5)


def from_coredumps():
    """Return what systemd's own collector knows of the newest crashes."""
    try:
        listed = run(["coredumpctl", "list", "--no-pager", "--no-legend", "--json=short"])
        rows = json.loads(listed.text or "[]")
    except (FarhandError, ValueError):
        return []  # it is not installed, or knows of no crash
    found = []
    for row in rows[-count:][::-1]:
        pid = row.get("pid")
        told = run(["coredumpctl", "info", "--no-pager", str(int(pid))], timeout_s=30)
        kept = {"source": "coredumpctl", "program": row.get("exe"), "signal": row.get("sig")}
        found.append(kept | {"text": told.text[:MAX_TEXT]})
    return found


def from_files():
    """Return the newest reports that lie in the system's folders."""
    paths = []
    for folder in FOLDERS:
        try:
            with os.scandir(folder) as listed:
                paths += [
                    (entry.stat(follow_symlinks=False).st_mtime, entry.path)
                    for entry in listed
                    if entry.is_file(follow_symlinks=False)
                    and entry.name.endswith((".crash", ".ips"))
                ]
        except OSError:
            continue  # there is no such folder, or it is not for us
    found = []
    for _, path in sorted(paths, reverse=True)[:count]:
        try:
            with open(path, "rb") as file:
                text = file.read(MAX_FILE).decode("utf-8", "replace")
        except OSError as error:
            text = str(error)
        if path.endswith(".crash"):
            # apport's reports hold a packed memory image; only the fields named are of use.
            text = "\n".join(line for line in text.splitlines() if line.startswith(KEPT))
        found.append({"source": path, "program": None, "signal": None, "text": text[:MAX_TEXT]})
    return found


crashes = (from_coredumps() + from_files())[:count]
sys.stdout.write(json.dumps({"crashes": crashes}) + "\n")
