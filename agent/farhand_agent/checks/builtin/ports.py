"""Check of what listens on the network: services that should not be open to everybody."""

from __future__ import annotations

import ipaddress
from typing import Final

from farhand_agent.checks.registry import EVERYWHERE, CheckContext, Finding, Word, check

__all__ = ["listening"]

# What asks for no password at all, or sends it in the clear, unless somebody changed that.
_OPEN: Final = {23: "telnet", 512: "rexec", 513: "rlogin", 514: "rsh", 2375: "docker",
                6379: "redis", 9200: "elasticsearch", 11211: "memcached", 27017: "mongodb",
                6000: "x11", 69: "tftp"}  # fmt: skip
# What belongs behind a firewall all the same.
_RISKY: Final = {21: "ftp", 111: "rpcbind", 445: "smb", 1433: "mssql", 1521: "oracle",
                 2049: "nfs", 3306: "mysql", 3389: "rdp", 5432: "postgresql", 5900: "vnc",
                 5901: "vnc", 5984: "couchdb", 5985: "winrm", 8086: "influxdb"}  # fmt: skip
_PORTS: Final = "^[0-9][0-9,]{0,500}$"


@check(
    "net.ports",
    "Services open to the network",
    unit="count",
    platforms=EVERYWHERE,
    words={
        "expected": Word("", _PORTS, "Ports, with commas between, that may be open."),
        "only": Word("", _PORTS, "Ports, with commas between, beside which none may be open."),
    },
    advice="bind the service to this device alone, or close the port in the firewall",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "No service of this device is open to the network that should not be.",
        "warning": "A service of this device can be reached from the network and perhaps should "
        "not be ({name}).",
        "critical": "A service of this device can be used from the network without a password "
        "({name}).",
    },
)
def listening(context: CheckContext) -> Finding:
    """Risky ports, or those beyond an agreed list, that are bound to more than this device."""
    expected = {int(port) for port in context.words("expected") if len(port) < 6}
    only = {int(port) for port in context.words("only") if len(port) < 6} | expected
    agreed = bool(context.word("only"))
    found: dict[tuple[int, str], str] = {}
    for one in context.section("listening_ports"):
        port = one.get("port")
        if isinstance(port, int) and not _is_local(str(one.get("address"))):
            name = _OPEN.get(port) or _RISKY.get(port) or str(one.get("program") or "?")
            found[port, str(one.get("protocol"))] = name
    bare, risky = [], []
    for (port, protocol), name in sorted(found.items()):
        # UDP services answer on high ports of their own choice; a list of them says nothing.
        if port in expected or (protocol != "tcp" and port not in _OPEN):
            continue
        if port in _OPEN:
            bare.append(f"{name} ({port})")
        elif port in _RISKY or (agreed and port not in only):
            risky.append(f"{name} ({port})")
    named = bare + risky
    words = ", ".join(named[:8]) or f"{len(found)} open ports, none of them risky"
    return Finding(
        state="critical" if bare else "warning" if risky else "ok",
        summary=words,
        value=len(named),
        fill={"name": ", ".join(named[:3])},
    )


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0].strip("[]")).is_loopback
    except ValueError:
        return address.lower() == "localhost"
