"""Renew one interface's address, and put everything back where the network is gone afterwards.

The timer is this process itself: it waits for the gateway until the deadline, and it puts back what
was there before also when it is told to end.
"""

import json
import signal
import sys
import time

from farhand_agent.checks.command import script_parameters
from farhand_agent.platforms.commands import installed, run

given = script_parameters()
interface, patience_s = given["interface"], given.get("seconds", 45)


class Ended(Exception):
    """Somebody ends this script."""


def end(*_):
    raise Ended


def state():
    """Return the addresses and routes of the interface, as `ip` takes them back."""
    addresses = json.loads(run(["ip", "-j", "-4", "address", "show", "dev", interface]).text)
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "dev", interface]).text or "[]")
    return (
        [f"{one['local']}/{one['prefixlen']}" for one in addresses[0].get("addr_info", [])],
        [(one["dst"], one.get("gateway"), one.get("metric")) for one in routes],
    )


def gateway(routes):
    """Return the gateway of the default route."""
    return next((via for target, via, _ in routes if target == "default" and via), None)


def answers(address):
    """Tell whether a neighbour answers one ping."""
    return run(["ping", "-c", "1", "-W", "1", address], timeout_s=5).exit_code == 0


WAYS = (
    ("systemd-networkd", ["networkctl", "renew", interface]),
    ("NetworkManager", ["nmcli", "device", "reapply", interface]),
    ("dhclient", ["dhclient", "-1", interface]),
)


def renew():
    """Renew by whoever rules the interface; returns its name."""
    for by, words in WAYS:
        if installed(words[0]) and run(words, timeout_s=60).exit_code == 0:
            return by
    return None


def put_back(addresses, routes):
    """Put addresses and routes back; those on the link itself first."""
    for address in addresses:
        run(["ip", "address", "replace", address, "dev", interface])
    for target, via, metric in sorted(routes, key=lambda one: one[1] is not None):
        words = ["ip", "route", "replace", target, *(["via", via] if via else [])]
        words += ["dev", interface, *(["metric", str(metric)] if metric else [])]
        run(words)


def is_reached(needs_answer):
    """Wait until the interface has a gateway that answers, or the time is over."""
    deadline = time.monotonic() + patience_s
    while True:
        via = gateway(state()[1])
        if via and (answers(via) or not needs_answer):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(1)


if run(["ip", "link", "show", "dev", interface]).exit_code != 0:
    sys.stderr.write("there is no such interface\n")
    raise SystemExit(1)
before = state()
old = gateway(before[1])
# A gateway that answered no ping before need not answer one now.
needs_answer = old is not None and answers(old)
signal.signal(signal.SIGTERM, end)
by, is_well = None, False
try:
    by = renew()
    is_well = by is not None and is_reached(needs_answer)
except Ended:
    sys.stderr.write("ended before the gateway answered\n")
finally:
    if not is_well:
        put_back(*before)
after = state()
answer = {
    "changed": after != before,
    "by": by,
    "reverted": not is_well,
    "before": before[0],
    "after": after[0],
    "gateway": gateway(after[1]),
}
sys.stdout.write(json.dumps(answer) + "\n")
raise SystemExit(0 if is_well else 1)
