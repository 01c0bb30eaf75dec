"""Checks of the network as this device sees it: the way out, names, cables, addresses."""

from __future__ import annotations

import re
import time
from typing import Any, Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    Word,
    check,
    unknown,
    unsupported,
    worst,
)
from farhand_agent.inventory.collectors.linux.network import parse_resolv_conf, parse_routes
from farhand_agent.inventory.context import Context
from farhand_agent.platforms.commands import CommandTimeout

__all__ = [
    "addresses",
    "default_route",
    "dns_resolve",
    "gateway_answers",
    "links",
    "parse_ping",
]

HOST_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$"
_LOOKUP_S: Final = 10.0
_PINGS: Final = 5
# getent(1): one or more of the names could not be found.
_NOT_FOUND: Final = 2
_SENT: Final = re.compile(r"([0-9]{1,6}) packets transmitted, ([0-9]{1,6}) (?:packets )?received")
_TIMES: Final = re.compile(r"= [0-9.]{1,12}/([0-9.]{1,12})/[0-9.]{1,12}")
# A link has to carry this much before a share of errors says anything.
_MIN_PACKETS: Final = 10_000


def parse_ping(text: str) -> tuple[float, float | None] | None:
    """Return (percent lost, mean round trip in ms or None) of what ping prints on Linux or macOS.

    None where it printed something else.
    """
    sent = _SENT.search(text)
    if sent is None or int(sent[1]) == 0:
        return None
    times = _TIMES.search(text)
    try:
        mean = float(times[1]) if times else None
    except ValueError:
        mean = None
    return 100.0 * max(0, int(sent[1]) - int(sent[2])) / int(sent[1]), mean


@check(
    "network.default-route",
    "A way out to other networks",
    unit="count",
    platforms=EVERYWHERE,
    advice="see that the interface is up and gets an address; renew the lease",
    risk="R2",
    plain={
        "ok": "This device knows the way to other networks.",
        "critical": "This device is not connected to a network that leads outside. "
        "Please check the cable or the Wi-Fi connection.",
    },
)
def default_route(context: CheckContext) -> Finding:
    """Default routes for IPv4 and IPv6."""
    routes = _default_routes(context)
    if not routes:
        return Finding(state="critical", summary="no default route", value=0)
    first = routes[0]
    return Finding(
        state="ok",
        summary=f"{len(routes)} default route(s), first by {first['gateway']} on "
        f"{first['interface']}",
        value=len(routes),
    )


def _default_routes(context: CheckContext) -> list[dict[str, Any]]:
    if context.platform != "linux":
        return [one for one in context.section("network") if one.get("record") == "default_route"]
    routes = []
    for option, family in (("-4", "inet"), ("-6", "inet6")):
        answer = context.run(["ip", "-j", option, "route", "show", "default"]).stdout
        # Without a route some versions print nothing at all instead of an empty list.
        document = Context.parse_json(answer, "ip route") if answer.strip() else []
        routes += parse_routes(document, family)
    return routes


@check(
    "dns.resolve",
    "Names on the network can be found",
    unit="milliseconds",
    limits={"ms": Thresholds(2000, 8000)},
    words={"name": Word("example.com", HOST_PATTERN, "The name to look up.")},
    remedies=("remedy.dns.flush",),
    advice="flush the resolver's cache; see that its name servers answer",
    risk="R1",
    plain={
        "ok": "Names on the network are found.",
        "warning": "Finding names on the network takes long; web pages will open slowly.",
        "critical": "Finding names on the network takes very long; many programs will give up.",
        "none": "This device cannot find names on the network, so web pages and mail will not "
        "work.",
    },
)
def dns_resolve(context: CheckContext) -> Finding:
    """Time to look one name up the way programs do."""
    name = context.word("name")
    servers = parse_resolv_conf(context.files.text("/etc/resolv.conf") or "")["servers"]
    started = time.monotonic()
    try:
        # A child, because a lookup inside this process could not be given up.
        outcome = context.run(["getent", "ahosts", name], timeout_s=_LOOKUP_S, ok=(0, _NOT_FOUND))
        words = f"{name} not found"
        answered = outcome.exit_code == 0 and bool(outcome.stdout.strip())
    except CommandTimeout:
        words, answered = f"{name}: no answer in {_LOOKUP_S:g} s", False
    elapsed = round((time.monotonic() - started) * 1000, 1)
    if not answered:
        return Finding(
            state="critical",
            summary=f"{words}; name servers: {', '.join(servers[:4]) or 'none set'}",
            value=elapsed,
            sentence="none",
        )
    return Finding(
        state=context.limit("ms").state(elapsed),
        summary=f"{name} found in {elapsed:.0f} ms",
        value=elapsed,
    )


@check(
    "net.link",
    "Cables and network cards",
    unit="percent of packets with errors",
    platforms=EVERYWHERE,
    limits={"percent": Thresholds(0.1, 1), "mbit_s": Thresholds(100, 10, rising=False)},
    advice="change the cable and the switch's port; set both ends to negotiate",
    risk="R0",
    plain={
        "ok": "The network connection of this device is sound.",
        "warning": "The network connection of this device works badly. "
        "Please try another cable or another socket.",
        "critical": "No network cable is connected and there is no Wi-Fi connection. "
        "Please check both.",
    },
)
def links(context: CheckContext) -> Finding:
    """Speed, duplex and error share of the interfaces with hardware behind them."""
    cards = [
        one
        for one in context.section("network")
        if one.get("record") == "interface" and one.get("virtual") is False
    ]
    if not cards:
        return unsupported("no network card")
    working = [card for card in cards if str(card.get("state")).upper() in ("UP", "UNKNOWN")]
    if not working:
        names = ", ".join(str(card.get("name")) for card in cards[:5])
        return Finding(state="critical", summary=f"no link: {names}")
    states, words, share = [], [], 0.0
    for card in working:
        name, wireless = str(card.get("name")), bool(card.get("wireless"))
        speed = card.get("speed_mbit_s")
        if card.get("duplex") == "half" and not wireless:
            states.append("warning")
            words.append(f"{name} half duplex")
        if isinstance(speed, (int, float)) and not wireless:
            slow = context.limit("mbit_s").state(speed)
            # A slow link is a nuisance, never an outage.
            states.append("ok" if slow == "ok" else "warning")
            words.append(f"{name} {speed:g} Mbit/s")
        errors = _error_share(context, name)
        if errors is not None:
            share = max(share, errors)
            bad = context.limit("percent").state(errors)
            states.append("ok" if bad == "ok" else "warning")
            if bad != "ok":
                words.append(f"{name} {errors:.2f} % errors")
    return Finding(
        state=worst(*states),  # type: ignore[arg-type]
        summary="; ".join(words[:6]) or f"{len(working)} up",
        value=round(share, 3),
        metrics=(context.metric("errors", round(share, 3), "percent", "percent"),),
    )


def _error_share(context: CheckContext, name: str) -> float | None:
    if context.platform != "linux" or "/" in name or name.startswith("."):
        return None
    folder = f"/sys/class/net/{name}/statistics"
    counts = {
        what: context.files.number(f"{folder}/{what}")
        for what in ("rx_packets", "tx_packets", "rx_errors", "tx_errors")
    }
    packets = (counts["rx_packets"] or 0) + (counts["tx_packets"] or 0)
    if packets < _MIN_PACKETS:
        return None
    return 100.0 * ((counts["rx_errors"] or 0) + (counts["tx_errors"] or 0)) / packets


@check(
    "net.ipconf",
    "Addresses of this device",
    unit="count",
    platforms=EVERYWHERE,
    advice="renew the lease; look for the other device with this address",
    risk="R2",
    plain={
        "ok": "This device has an address in its network.",
        "critical": "This device got no usable address from its network, so it reaches nothing. "
        "Please unplug the network cable or switch Wi-Fi off and on again.",
        "duplicate": "Another device in the network has the same address as this one, so both are "
        "disturbed.",
    },
)
def addresses(context: CheckContext) -> Finding:
    """Interfaces that are up with a self-assigned address (169.254), none, or a duplicate one."""
    if context.platform == "linux":
        duplicate = _duplicates(context)
        if duplicate:
            words = f"duplicate address: {', '.join(duplicate[:4])}"
            return Finding(
                state="critical", summary=words, value=len(duplicate), sentence="duplicate"
            )
    good, bad = [], []
    for one in context.section("network"):
        up = str(one.get("state")).upper() in ("UP", "UNKNOWN")
        if one.get("record") != "interface" or not up or one.get("kind") == "loopback":
            continue
        held = [str(address) for address in one.get("addresses") or ()]
        real = [a for a in held if not a.startswith(("169.254.", "fe80:"))]
        if real:
            good.append(str(one.get("name")))
        elif one.get("virtual") is False:
            selfmade = any(a.startswith("169.254.") for a in held)
            bad.append(f"{one.get('name')} {'169.254.x.x' if selfmade else 'no address'}")
    if not good and not bad:
        return unsupported("no interface is up")
    # One interface without an address is well as long as another one has its own.
    state = "ok" if good else "critical"
    words = f"{len(good)} interfaces with an address" + (f"; {'; '.join(bad[:4])}" if bad else "")
    return Finding(state=state, summary=words, value=len(good))  # type: ignore[arg-type]


def _duplicates(context: CheckContext) -> list[str]:
    document = context.run_json(["ip", "-j", "addr"])
    found = []
    for link in document if isinstance(document, list) else []:
        infos = link.get("addr_info") if isinstance(link, dict) else None
        for info in infos if isinstance(infos, list) else []:
            if isinstance(info, dict) and info.get("dadfailed") is True:
                found.append(f"{info.get('local')} on {link.get('ifname')}")
    return found


@check(
    "net.gateway",
    "The way out answers",
    unit="milliseconds",
    platforms=("linux", "macos"),
    limits={"ms": Thresholds(50, 200), "loss_percent": Thresholds(5, 20)},
    advice="look at the link, the Wi-Fi signal and the router; renew the lease",
    risk="R2",
    plain={
        "ok": "The router answers quickly.",
        "warning": "The connection to the router is poor, so everything on the network is slow.",
        "critical": "The router hardly answers. Please check the cable or the Wi-Fi connection, or "
        "restart the router.",
    },
)
def gateway_answers(context: CheckContext) -> Finding:
    """Loss and mean round trip of five pings to the first default gateway."""
    routes = [route for route in _default_routes(context) if route.get("gateway")]
    if not routes:
        return unsupported("no gateway to ask")
    gateway, interface = str(routes[0]["gateway"]), str(routes[0].get("interface") or "")
    target = f"{gateway}%{interface}" if gateway.lower().startswith("fe80") else gateway
    argv = ["ping", "-n", "-q", "-c", str(_PINGS), "-i", "0.2"]
    argv += ["-W", "1" if context.platform == "linux" else "1000", target]
    outcome = context.run(argv, timeout_s=15.0, ok=None)  # its statistics are judged
    answer = parse_ping(outcome.text)
    if answer is None:
        return unknown(outcome.error_text.strip().split("\n")[0][:120] or "ping says nothing")
    loss, mean = answer
    state = context.limit("loss_percent").state(loss)
    if mean is not None:
        state = worst(state, context.limit("ms").state(mean))
    words = f", {mean:.1f} ms" if mean is not None else ""
    metrics = [context.metric("loss", round(loss, 1), "percent", "loss_percent")]
    if mean is not None:
        metrics.append(context.metric("round trip", mean, "milliseconds", "ms"))
    return Finding(
        state=state,
        summary=f"{target}: {loss:.0f} % of {_PINGS} lost{words}",
        value=mean,
        metrics=tuple(metrics),
    )
