"""Checks of the network as this device sees it: a way out, and names that resolve."""

from __future__ import annotations

import time

from farhand_agent.checks.registry import CheckContext, Finding, Thresholds, check
from farhand_agent.inventory.collectors.linux.network import parse_resolv_conf, parse_routes
from farhand_agent.inventory.context import Context
from farhand_agent.platforms.commands import CommandTimeout

__all__ = ["default_route", "dns_resolve"]

_LOOKUP = Thresholds(warning=2000, critical=8000)
_TIMEOUT_S = 10.0
_REMEDY = "remedy.dns.flush"


@check("network.default-route", "A way out to other networks", unit="count")
def default_route(context: CheckContext) -> Finding:
    """Look for a default route of either family."""
    routes = []
    for option, family in (("-4", "inet"), ("-6", "inet6")):
        answer = context.run(["ip", "-j", option, "route", "show", "default"]).stdout
        document = Context.parse_json(answer, "ip route") if answer.strip() else []
        routes += parse_routes(document, family)
    if not routes:
        return Finding(
            state="critical",
            summary="no default route",
            plain="This device is not connected to a network that leads outside. "
            "Please check the cable or the Wi-Fi connection.",
            value=0,
        )
    first = routes[0]
    return Finding(
        state="ok",
        summary=f"{len(routes)} default route(s), first by {first['gateway']} on "
        f"{first['interface']}",
        plain="This device knows the way to other networks.",
        value=len(routes),
    )


@check("dns.resolve", "Names on the network can be found", unit="milliseconds")
def dns_resolve(context: CheckContext) -> Finding:
    """Look a name up the way programs do.  Parameter `name`; example.com unless told."""
    name = context.word("name", "example.com")
    servers = parse_resolv_conf(context.files.text("/etc/resolv.conf") or "")["servers"]
    started = time.monotonic()
    try:
        # A child, because a lookup inside this process could not be given up.
        outcome = context.run(["getent", "ahosts", name], timeout_s=_TIMEOUT_S)
        words = f"{name} not found"
        answered = outcome.exit_code == 0 and bool(outcome.stdout.strip())
    except CommandTimeout:
        words, answered = f"{name}: no answer in {_TIMEOUT_S:g} s", False
    elapsed = round((time.monotonic() - started) * 1000, 1)
    if not answered:
        return Finding(
            state="critical",
            summary=f"{words}; name servers: {', '.join(servers[:4]) or 'none set'}",
            plain="This device cannot find names on the network, so web pages and mail will not "
            "work.",
            value=elapsed,
            remedy=_REMEDY,
        )
    state = context.thresholds(_LOOKUP, "_ms").state(elapsed)
    plain = {
        "ok": "Names on the network are found.",
        "warning": "Finding names on the network takes long; web pages will open slowly.",
        "critical": "Finding names on the network takes very long; many programs will give up.",
    }[state]
    return Finding(
        state=state,
        summary=f"{name} found in {elapsed:.0f} ms",
        plain=plain,
        value=elapsed,
        remedy=None if state == "ok" else _REMEDY,
    )
