"""Count the errors in the system's log by who wrote them, with one line of each."""

import json
import re
import sys

from farhand_agent.checks.command import script_parameters
from farhand_agent.platforms.commands import run
from farhand_protocol.errors import FarhandError

MAX_LINE = 400
MAX_BYTES = 16 * 1024 * 1024
given = script_parameters()
hours, count = given.get("hours", 24), given.get("count", 20)


def from_journal():
    """Yield who wrote and what, from systemd's journal."""
    words = ["journalctl", "--priority=err", f"--since=-{hours}h", "--no-pager", "--output=json"]
    fields = "--output-fields=SYSLOG_IDENTIFIER,MESSAGE,_COMM"
    answer = run([*words, fields], timeout_s=60, max_bytes=MAX_BYTES, overflow="tail")
    for line in answer.text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the first one, where the beginning was left out
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # bytes that are no text
            message = bytes(message).decode("utf-8", "replace")
        yield entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM") or "?", str(message)


def from_unified_log():
    """Yield who wrote and what, from macOS's unified log."""
    words = ["log", "show", "--style", "ndjson", "--last", f"{hours}h"]
    wanted = ["--predicate", "messageType == error OR messageType == fault"]
    answer = run([*words, *wanted], timeout_s=150, max_bytes=MAX_BYTES, overflow="tail")
    for line in answer.text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the first one, where the beginning was left out
        path = str(entry.get("processImagePath", "?"))
        yield path.rpartition("/")[2], str(entry.get("eventMessage", ""))


groups = {}
try:
    for source, message in from_unified_log() if sys.platform == "darwin" else from_journal():
        # The same error with other numbers is the same error.
        key = source, re.sub(r"0x[0-9a-f]+|\d+", "#", message)[:200]
        times, _ = groups.get(key, (0, ""))
        groups[key] = times + 1, message[:MAX_LINE]
except FarhandError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(1) from error
found = sorted(groups.items(), key=lambda item: item[1][0], reverse=True)
answer = {
    "hours": hours,
    "errors": sum(times for times, _ in groups.values()),
    "kinds": len(groups),
    "most": [
        {"source": key[0], "times": times, "example": message}
        for key, (times, message) in found[:count]
    ],
}
sys.stdout.write(json.dumps(answer) + "\n")
