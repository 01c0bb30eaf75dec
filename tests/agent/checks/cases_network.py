"""Made-up systems for the checks of networks, ports and certificates."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from farhand_agent.platforms.commands import CommandTimeout, Outcome
from farhand_protocol.instants import format_instant, from_unix
from tests.agent.checks.systems import NOW, Case

Commands = dict[str, str | Outcome | Exception]
ROUTE = '[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[]}]'
ROUTE6 = '[{"dst":"default","gateway":"fe80::1","dev":"eth0","flags":[]}]'
DEFAULT = {"record": "default_route", "gateway": "192.0.2.1", "interface": "en0"}
INTERNET = "farhand_agent.checks.builtin.reach._ask"
CONNECT = "farhand_agent.checks.builtin.reach.connect"


def case(check: str, state: str, **changes: Any) -> Case:
    return Case(check=check, state=state, **changes)


def ping(received: int, mean: float = 1.0) -> Commands:
    lost = 100 - 20 * received
    text = f"5 packets transmitted, {received} received, {lost}% packet loss, time 8ms\n"
    if received:
        text += f"rtt min/avg/max/mdev = 0.1/{mean}/9.9/0.1 ms\n"
    return {"ip": ROUTE, "ping": Outcome(0 if received else 1, text.encode(), b"")}


MAC_PING = (
    "5 packets transmitted, 5 packets received, 0.0% packet loss\n"
    "round-trip min/avg/max/stddev = 1.1/70.5/99.1/0.4 ms\n"
)


def card(**changes: Any) -> dict[str, Any]:
    return {
        "record": "interface", "name": "eth0", "kind": "ether", "state": "UP", "virtual": False,
        "speed_mbit_s": 1000, "duplex": "full", "wireless": False, "addresses": ["192.0.2.7/24"],
    } | changes  # fmt: skip


def counters(errors: int) -> dict[str, str]:
    folder = "/sys/class/net/eth0/statistics"
    return {
        f"{folder}/rx_packets": "20000\n", f"{folder}/tx_packets": "0\n",
        f"{folder}/rx_errors": f"{errors}\n", f"{folder}/tx_errors": "0\n",
    }  # fmt: skip


def duplicate(failed: bool) -> Commands:
    info = {"local": "192.0.2.7", "prefixlen": 24} | ({"dadfailed": True} if failed else {})
    return {"ip -j addr": json.dumps([{"ifname": "eth0", "addr_info": [info]}])}


def asking(*whys: str) -> dict[str, object]:
    """Answer the hosts asked in turn; the last answer goes for those that follow."""
    hosts = ("example.com", "example.org", "example.net")
    answers = dict(zip(hosts, (*whys, *[whys[-1]] * 3), strict=False))
    return {INTERNET: answers.__getitem__}


def connecting(elapsed: float, why: str = "") -> dict[str, object]:
    return {CONNECT: lambda host, port: (elapsed, why)}


ENROLLED = {"config.toml": 'url = "https://relay.example.org:8443"\ndevice = "d-x"\n'}


def largest(size: int) -> Callable[..., Any]:
    """Return a patched runner for `ping -s N` that answers up to a size."""

    def answer(argv: list[str], **_: Any) -> Outcome:
        return Outcome(0 if int(argv[argv.index("-s") + 1]) <= size else 1, b"", b"")

    return answer


class Sizes:
    """Stands for CheckContext.run: a path on which packets up to a size pass."""

    def __init__(self, size: int) -> None:
        self.answer = largest(size)

    def __call__(self, argv: list[str], **_: Any) -> Outcome:
        outcome: Outcome = self.answer(argv)
        return outcome


def passing(size: int) -> dict[str, object]:
    return {"farhand_agent.checks.context.CheckContext.run": Sizes(size)}


def listening(port: int, address: str = "0.0.0.0", protocol: str = "tcp") -> dict[str, Any]:
    return {"protocol": protocol, "address": address, "port": port, "program": "thing"}


def certificate(days: float, **changes: Any) -> dict[str, Any]:
    return {
        "subject": "CN=desk", "issuer": "CN=ca", "sha256": "ab" * 32, "authority": False,
        "self_signed": False, "has_private_key": True, "store": "/etc/ssl/desk.pem",
        "not_after": format_instant(from_unix(int(NOW + days * 86_400))),
    } | changes  # fmt: skip


CASES = [
    case("network.default-route", "ok", commands={"ip": ROUTE}),
    case("network.default-route", "critical", commands={"ip": "[]"}, value=0),
    case("network.default-route", "critical", commands={"ip": ""}),
    case("network.default-route", "unknown", commands={"ip": "{"}),
    case("network.default-route", "unsupported"),
    case("network.default-route", "ok", platform="macos", sections={"network": [DEFAULT]}),
    case("network.default-route", "critical", platform="windows", sections={"network": [card()]}),
    case("dns.resolve", "ok", commands={"getent": "192.0.2.1 STREAM example.com\n"}),
    case("dns.resolve", "critical", said="none", commands={"getent": Outcome(2, b"", b"")}),
    case("dns.resolve", "critical", said="none", commands={"getent": CommandTimeout("getent", 10)}),
    case("dns.resolve", "warning", commands={"getent": "192.0.2.1 STREAM x\n"},
         parameters={"warning_ms": 0}),
    case("dns.resolve", "critical", commands={"getent": "192.0.2.1 STREAM x\n"},
         parameters={"warning_ms": 0, "critical_ms": 0}),
    case("dns.resolve", "unsupported"),
    case("net.link", "ok", sections={"network": [card()]}, files=counters(0)),
    case("net.link", "warning", sections={"network": [card(duplex="half")]}),
    case("net.link", "warning", sections={"network": [card(speed_mbit_s=100)]}),
    case("net.link", "warning", sections={"network": [card(speed_mbit_s=10)]}),
    case("net.link", "ok", sections={"network": [card(speed_mbit_s=10, wireless=True)]}),
    case("net.link", "warning", sections={"network": [card()]}, files=counters(400), value=2),
    case("net.link", "critical", sections={"network": [card(state="DOWN")]}),
    case("net.link", "unsupported", sections={"network": [card(virtual=True)]}),
    case("net.ipconf", "ok", commands=duplicate(False), sections={"network": [card()]}),
    case("net.ipconf", "critical", commands=duplicate(False),
         sections={"network": [card(addresses=["169.254.3.4/16", "fe80::1/64"])]}),
    case("net.ipconf", "critical", said="duplicate", commands=duplicate(True)),
    case("net.ipconf", "critical", platform="windows", sections={"network": [card(addresses=[])]}),
    case("net.ipconf", "unsupported", platform="macos", sections={"network": []}),
    case("net.gateway", "ok", commands=ping(5), value=1.0),
    case("net.gateway", "warning", commands=ping(5, 60)),
    case("net.gateway", "critical", commands=ping(5, 500)),
    case("net.gateway", "critical", commands=ping(2)),
    case("net.gateway", "critical", commands=ping(0)),
    case("net.gateway", "unknown", commands={"ip": ROUTE6, "ping": Outcome(2, b"", b"ping: no\n")}),
    case("net.gateway", "unsupported", commands={"ip": "[]"}),
    case("net.gateway", "warning", platform="macos", sections={"network": [DEFAULT]},
         commands={"ping": MAC_PING}, value=70.5),
    case("net.internet", "ok", patches=asking(""), value=0),
    case("net.internet", "warning", patches=asking("timed out", ""), value=1),
    case("net.internet", "critical", patches=asking("no such name"), value=3),
    case("net.internet", "critical", said="portal", patches=asking("portal")),
    case("net.mtu", "ok", home=ENROLLED, patches=passing(1472), value=1500),
    case("net.mtu", "warning", home=ENROLLED, patches=passing(1260), value=1280),
    case("net.mtu", "critical", parameters={"host": "192.0.2.9"}, patches=passing(600), value=576),
    case("net.mtu", "unknown", home=ENROLLED, patches=passing(10)),
    case("net.mtu", "unsupported"),
    case("net.proxy", "ok", patches=connecting(3.0),
         sections={"proxy": [{"source": "apt", "address": "http://proxy.example.org:3128/"}]}),
    case("net.proxy", "critical", patches=connecting(0.0, "no answer"), value=1,
         sections={"proxy": [{"source": "apt", "address": "proxy.example.org:3128"}]}),
    case("net.proxy", "unsupported", sections={"proxy": []}),
    case("net.relay", "ok", home=ENROLLED, patches=connecting(20.0), value=20),
    case("net.relay", "warning", home=ENROLLED, patches=connecting(400.0)),
    case("net.relay", "critical", home=ENROLLED, patches=connecting(2000.0)),
    # No ephemeral port, so that no other test can come to listen there.
    case("net.relay", "critical", said="none", home={
        "config.toml": 'url = "http://127.0.0.1:1"\n'}),
    case("net.relay", "unsupported"),
    case("net.relay", "unsupported", home={"config.toml": "url = ["}),
    case("net.wifi", "ok", sections={"wifi": [{"interface": "w", "signal_dbm": -50}]}, value=-50),
    case("net.wifi", "warning", sections={"wifi": [{"interface": "w", "signal_dbm": -72}]}),
    case("net.wifi", "critical", sections={"wifi": [{"interface": "w", "signal_dbm": -85}]}),
    case("net.wifi", "warning", said="open", sections={"wifi": [
        {"interface": "w", "signal_dbm": -50, "security": "open", "frequency_mhz": 5180,
         "rate_mbit_s": 72.2}]}),
    case("net.wifi", "unsupported", sections={"wifi": [{"interface": "w", "signal_dbm": None}]}),
    case("net.vpn", "ok", sections={"vpn": [{"name": "wg0", "state": "up"}]},
         commands={"wg show": f"wg0\tPEER=\t{int(NOW) - 30}\n"}),
    case("net.vpn", "warning", sections={"vpn": [{"name": "wg0", "state": "up"}]},
         commands={"wg show": f"wg0\tPEER=\t{int(NOW) - 900}\n"}, value=1),
    case("net.vpn", "warning", sections={"vpn": [{"name": "wg0", "state": "up"}]},
         commands={"wg show": "wg0\tPEER=\t0\n"}),
    case("net.vpn", "critical", sections={"vpn": [{"name": "office", "state": "down"}]},
         parameters={"wanted": "office"}, platform="windows"),
    case("net.vpn", "unsupported", sections={"vpn": [{"name": "office", "state": "down"}]}),
    case("net.vpn", "unsupported", sections={"vpn": []}),
    case("net.ports", "ok", sections={"listening_ports": [listening(22), listening(6379, "::1")]}),
    case("net.ports", "warning", sections={"listening_ports": [listening(3306)]}, value=1),
    case("net.ports", "critical", sections={"listening_ports": [listening(6379, "*")]}),
    case("net.ports", "ok", sections={"listening_ports": [listening(3306)]},
         parameters={"expected": "3306"}),
    case("net.ports", "warning", sections={"listening_ports": [listening(8080)]},
         parameters={"only": "22,443"}),
    case("net.ports", "ok", sections={"listening_ports": [listening(5353, protocol="udp")]},
         parameters={"only": "22"}),
    case("net.ports", "unknown", sections={"listening_ports": "denied"}),
    case("cert.expiry", "unknown",
         sections={"certificates": [certificate(90), certificate(0) | {"not_after": None}]}),
    case("cert.expiry", "unknown",
         sections={"certificates": [certificate(0) | {"not_after": "soon"}]}),
    case("cert.expiry", "critical",
         sections={"certificates": [certificate(1), certificate(0) | {"not_after": None}]}),
    case("network.default-route", "unknown", commands={"ip": Outcome(255, ROUTE.encode(), b"x")}),
    case("dns.resolve", "unknown", commands={"getent": Outcome(3, b"192.0.2.1 STREAM x", b"")}),
    case("net.ipconf", "unknown", commands={"ip -j addr": Outcome(1, b"[]", b"no netlink")},
         sections={"network": [card()]}),
    case("net.vpn", "unknown", sections={"vpn": [{"name": "wg0", "state": "up"}]},
         commands={"wg show": Outcome(1, b"", b"Operation not permitted")}),
    case("cert.expiry", "ok", sections={"certificates": [certificate(90)]}, value=90),
    case("cert.expiry", "warning", sections={"certificates": [certificate(90), certificate(20)]}),
    case("cert.expiry", "critical", sections={"certificates": [certificate(-3)]}, value=-3),
    case("cert.expiry", "unsupported", sections={"certificates": [
        certificate(1, authority=True), certificate(1, has_private_key=False)]}),
    case("cert.root", "ok", sections={"certificates": [certificate(90)]}),
    case("cert.root", "warning", value=1, sections={"certificates": [
        certificate(90, authority=True, self_signed=True)]}),
    case("cert.root", "ok", parameters={"expected": "AB" * 32}, sections={"certificates": [
        certificate(90, authority=True, self_signed=True)]}),
    case("cert.root", "critical", platform="windows", sections={"certificates": [
        certificate(90, subject="CN=Superfish, Inc.", store="Root")]}),
    case("cert.root", "unknown", sections={"certificates": "denied"}),
]  # fmt: skip
