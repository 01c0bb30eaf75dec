"""Checks of what lies beyond the router: the internet, packet sizes, the proxy, the relay.

They open connections by themselves, to a few well-known hosts or to those that parameters name,
send nothing about the device, and give each of them a few seconds.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import tomllib
from typing import Final
from urllib.parse import urlsplit

from farhand_agent.checks.builtin.network import HOST_PATTERN
from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    Word,
    check,
    unknown,
    unsupported,
)

__all__ = ["internet", "packet_size", "proxy_answers", "relay_answers"]

_CONNECT_S: Final = 5.0
# Reserved for such use (RFC 2606), and served.
_HOSTS: Final = "example.com,example.org,example.net"
_HOSTS_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9.,_-]{0,500}$"
_OVERHEAD_BYTES: Final = 28  # IPv4 and ICMP headers
_UNANSWERED: Final = 1  # ping(8): packets were sent and none came back
_SIZES: Final = (1472, 1400, 1372, 1252, 548)
_MAX_CONFIG_BYTES: Final = 64 * 1024


@check(
    "net.internet",
    "The internet can be reached",
    unit="count",
    platforms=EVERYWHERE,
    words={"hosts": Word(_HOSTS, _HOSTS_PATTERN, "Web hosts to ask, with commas between.")},
    advice="open a page by hand to see a sign-in page; look at proxy, firewall and name servers",
    risk="R0",
    timeout_s=25,
    plain={
        "ok": "This device reaches the internet.",
        "warning": "This device reaches the internet only in part.",
        "critical": "This device does not reach the internet.",
        "portal": "This network asks for a sign-in before it lets this device out. "
        "Please open a web page and sign in.",
    },
)
def internet(context: CheckContext) -> Finding:
    """How many of a few web hosts do not answer by HTTPS; a foreign answer is a sign-in page."""
    hosts = context.words("hosts")[:4]
    failed, portal = [], []
    for host in hosts:
        why = _ask(host)
        if why == "portal":
            portal.append(host)
        elif why:
            failed.append(f"{host}: {why}")
    bad = len(failed) + len(portal)
    state = "ok" if not bad else "critical" if bad == len(hosts) else "warning"
    words = "; ".join([*failed, *(f"{host}: somebody else answers" for host in portal)])
    return Finding(
        state=state,  # type: ignore[arg-type]
        summary=words or f"all {len(hosts)} answer",
        value=bad,
        sentence="portal" if portal and state == "critical" else None,
    )


def _ask(host: str) -> str:
    """Return "" when a host answers as itself, "portal" when another does, else why not."""
    connection = http.client.HTTPSConnection(
        host, timeout=_CONNECT_S, context=ssl.create_default_context()
    )
    try:
        connection.request("HEAD", "/", headers={"User-Agent": "farhand-agent"})
        status = connection.getresponse().status
    except ssl.SSLCertVerificationError:
        return "portal"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__ if not isinstance(error, socket.gaierror) else "no such name"
    finally:
        connection.close()
    return "portal" if status == http.client.NETWORK_AUTHENTICATION_REQUIRED else ""


@check(
    "net.mtu",
    "Size of packets that pass",
    unit="bytes",
    limits={"bytes": Thresholds(1399, 1279, rising=False)},
    words={"host": Word("", HOST_PATTERN, "Whom to send packets to; the relay unless told.")},
    advice="lower the MTU of the tunnel or the interface; let ICMP pass the firewalls",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "Packets of usual size pass through the network.",
        "warning": "Only small packets pass through the network; some pages may hang.",
        "critical": "Only very small packets pass through the network; many pages will hang.",
    },
)
def packet_size(context: CheckContext) -> Finding:
    """Largest unfragmented packet that the host answers to."""
    host = context.word("host") or _relay_address(context)[0]
    if not host:
        return unsupported("no relay is known and no host is named")
    for size in _SIZES:
        argv = ["ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size)]
        outcome = context.run([*argv, host], timeout_s=6.0, ok=(0, _UNANSWERED))
        if outcome.exit_code == 0:
            total = size + _OVERHEAD_BYTES
            return Finding(
                state=context.limit("bytes").state(total),
                summary=f"{host}: {total} bytes pass",
                value=total,
            )
    return unknown(f"{host} answers no ping of any size")


@check(
    "net.proxy",
    "The proxy answers",
    unit="count",
    platforms=EVERYWHERE,
    advice="clear the setting where no proxy is wanted; else see why it does not answer",
    risk="R1",
    timeout_s=30,
    plain={
        "ok": "The proxy server that this device uses answers.",
        "critical": "This device is set to go through a proxy server that does not answer, so web "
        "pages will not open.",
        "unsupported": "This device uses no proxy server.",
    },
)
def proxy_answers(context: CheckContext) -> Finding:
    """Proxies that are set and take no connection."""
    found: dict[tuple[str, int], str] = {}
    for one in context.section("proxy"):
        text = str(one.get("address") or "")
        at = re.fullmatch(
            r"(?:[a-z0-9]{1,8}://)?\[?([A-Za-z0-9._:-]{1,253}?)\]?:([0-9]{1,5})/?", text
        )
        if at and 0 < int(at[2]) < 65536:
            found[at[1], int(at[2])] = str(one.get("source"))
    if not found:
        return unsupported("no proxy is set")
    dead = []
    for (host, port), source in list(found.items())[:4]:
        if why := connect(host, port)[1]:
            dead.append(f"{host}:{port} ({source}): {why}")
    return Finding(
        state="critical" if dead else "ok",
        summary="; ".join(dead) or f"{len(found)} proxies answer",
        value=len(dead),
    )


@check(
    "net.relay",
    "The organisation's relay answers",
    unit="milliseconds",
    platforms=EVERYWHERE,
    limits={"ms": Thresholds(300, 1000)},
    advice="look at net.gateway, dns.resolve and net.proxy; then at the relay itself",
    risk="R0",
    plain={
        "ok": "The organisation that looks after this device can be reached.",
        "warning": "The way to the organisation that looks after this device is slow.",
        "critical": "The way to the organisation that looks after this device is very slow.",
        "none": "The organisation that looks after this device cannot be reached at the moment.",
        "unsupported": "No organisation looks after this device.",
    },
)
def relay_answers(context: CheckContext) -> Finding:
    """Time until the relay of this device takes a connection."""
    host, port = _relay_address(context)
    if not host:
        return unsupported("this device is not enrolled, or its home is not known")
    elapsed, why = connect(host, port)
    if why:
        words = f"{host}:{port}: {why}"
        return Finding(state="critical", summary=words, sentence="none")
    return Finding(
        state=context.limit("ms").state(elapsed),
        summary=f"{host}:{port} answers in {elapsed:.0f} ms",
        value=round(elapsed, 1),
    )


def _relay_address(context: CheckContext) -> tuple[str, int]:
    if context.home is None:
        return "", 0
    try:
        with (context.home / "config.toml").open("rb") as file:
            url = tomllib.loads(file.read(_MAX_CONFIG_BYTES).decode()).get("url")
        parts = urlsplit(url if isinstance(url, str) else "")
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except (OSError, ValueError):
        return "", 0


def connect(host: str, port: int) -> tuple[float, str]:
    """Open a TCP connection and close it; return the milliseconds and, if it failed, why."""
    started = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as error:
        words = (
            "no such name" if isinstance(error, socket.gaierror) else error.strerror or "no answer"
        )
        return 0.0, words
    return (time.monotonic() - started) * 1000, ""
