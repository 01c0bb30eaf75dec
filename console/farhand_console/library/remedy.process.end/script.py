"""End one process by its number, if it has the name that was given."""

import json
import os
import sys

import psutil

from farhand_agent.checks.command import script_parameters

# Without these the machine stops, or nobody can log in.
SPARED = {
    "init", "systemd", "systemd-journald", "systemd-udevd", "systemd-logind", "dbus-daemon",
    "dbus-broker", "launchd", "kernel_task", "WindowServer", "loginwindow", "System", "csrss.exe",
    "smss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe", "Registry",
}  # fmt: skip
given = script_parameters()
pid, name, patience_s = given["pid"], given["name"], given.get("seconds", 10)


def refuse(words):
    """End with words and no change."""
    sys.stderr.write(f"{words}\n")
    sys.stdout.write(json.dumps({"changed": False, "ended": None}) + "\n")
    raise SystemExit(1)


try:
    process = psutil.Process(pid)
    found = process.name()
except psutil.NoSuchProcess:
    sys.stdout.write(json.dumps({"changed": False, "ended": "before"}) + "\n")
    raise SystemExit(0) from None
if found != name:
    refuse("the process of that number has another name")
own = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
if pid in own or found in SPARED or pid <= 2:
    refuse("this process is not ended by script")
how = "kindly"
try:
    process.terminate()
    try:
        process.wait(patience_s)
    except psutil.TimeoutExpired:
        how = "by force"
        process.kill()
        process.wait(patience_s)
except psutil.NoSuchProcess:
    how = "by itself"
except psutil.Error as error:
    refuse(str(error))
sys.stdout.write(json.dumps({"changed": True, "ended": how}) + "\n")
