"""Follow the way to the network step by step, and name the first step that fails."""

import json
import socket
import sys
import time

import psutil

from farhand_agent.checks.command import script_parameters

given = script_parameters()
host, port = given.get("host", "example.com"), given.get("port", 443)
PATIENCE_S = 5.0
steps = []


def step(name, works, detail):
    """Note one step; returns whether it works."""
    steps.append({"step": name, "works": works, "detail": detail})
    return works


def links():
    """Return the names of interfaces that are up, without the loopback."""
    up = [name for name, one in psutil.net_if_stats().items() if one.isup]
    return [name for name in up if not name.lower().startswith("lo")]


def addresses(names):
    """Return the addresses of these interfaces that lead anywhere."""
    found = []
    for name, listed in psutil.net_if_addrs().items():
        for one in listed:
            local = one.address.startswith(("fe80", "127.", "169.254.", "::1"))
            if name in names and one.family in (socket.AF_INET, socket.AF_INET6) and not local:
                found.append(one.address)
    return found


def own_address(family, target):
    """Return the address from which a packet would leave; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return probe.getsockname()[0]
    except OSError:
        return None


def follow():
    """Take the steps; stops at the first that fails."""
    names = links()
    if not step("link", bool(names), {"interfaces": names}):
        return
    if not step("address", bool(found := addresses(names)), {"addresses": found}):
        return
    # TEST-NET-1 and the documentation prefix: routed like any other, reached by nobody.
    out = {
        "ipv4": own_address(socket.AF_INET, "192.0.2.1"),
        "ipv6": own_address(socket.AF_INET6, "2001:db8::1"),
    }
    if not step("route", any(out.values()), out):
        return
    began = time.monotonic()
    try:
        listed = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        step("names", False, {"host": host, "error": str(error)})
        return
    targets = list(dict.fromkeys(one[4][0] for one in listed))[:8]
    took_ms = round(1000 * (time.monotonic() - began))
    step("names", True, {"host": host, "addresses": targets, "took_ms": took_ms})
    reached, errors = None, {}
    for target in targets:
        try:
            with socket.create_connection((target, port), PATIENCE_S):
                reached = target
                break
        except OSError as error:
            errors[target] = str(error)
    step("connection", reached is not None, {"port": port, "reached": reached, "errors": errors})


follow()
failed = next((one["step"] for one in steps if not one["works"]), None)
sys.stdout.write(json.dumps({"ends_at": failed, "steps": steps}) + "\n")
