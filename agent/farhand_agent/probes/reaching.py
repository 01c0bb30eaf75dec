"""Connections to what is probed: one name looked up once, few seconds, few bytes.

What may be probed is decided before (the checks' `may_probe`); here a target is only told from an
option or a path: a host name or an IP address and nothing else.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
import time
from typing import Final, NamedTuple

from farhand_protocol.errors import FarhandError

__all__ = ["TIMEOUT_S", "Address", "address_of", "connected_ms", "is_target", "ping_ms"]

TIMEOUT_S: Final = 5.0
# Ports that something that is alive mostly answers on, if only by refusing.
_USUAL_PORTS: Final = (443, 80, 22, 631, 9100)
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z", re.ASCII)
_ECHO: Final = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}


class Address(NamedTuple):
    """Where a name leads: what `socket` takes."""

    family: socket.AddressFamily
    where: tuple[str, int]


def is_target(text: str) -> bool:
    """Tell whether a text is a host name or an IP address, and nothing more than that."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.match(text) is not None
    return "%" not in text


def address_of(host: str, port: int) -> Address:
    """Look a name up, once; whoever connects uses the answer.

    Raises:
        FarhandError: `probe-no-name`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FarhandError("probe-no-name", f"{host}: no such name") from error
    family, _, _, _, where = found[0]
    return Address(family, (str(where[0]), port))


def connected_ms(address: Address, *, timeout_s: float = TIMEOUT_S) -> float:
    """Open a TCP connection and return how long that took, in milliseconds.

    Raises:
        OSError: it does not come about.
    """
    started = time.monotonic()
    with socket.socket(address.family, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(address.where)
    return (time.monotonic() - started) * 1000


def ping_ms(host: str, *, timeout_s: float = 2.0) -> tuple[float, str] | None:
    """Return round trip in milliseconds and by what it was measured; None where nothing answers.

    An ICMP echo where this process may send one, else a TCP connection, which counts as an answer
    also when it is refused.

    Raises:
        FarhandError: `probe-no-name`.
    """
    address = address_of(host, _USUAL_PORTS[0])
    elapsed = _echo_ms(address, timeout_s)
    if elapsed is not None:
        return elapsed, "icmp"
    for port in _USUAL_PORTS:
        started = time.monotonic()
        try:
            connected_ms(Address(address.family, (address.where[0], port)), timeout_s=timeout_s)
        except ConnectionRefusedError:
            return (time.monotonic() - started) * 1000, f"tcp {port} (refused)"
        except OSError:
            continue
        return (time.monotonic() - started) * 1000, f"tcp {port}"
    return None


def _echo_ms(address: Address, timeout_s: float) -> float | None:
    """Send an ICMP echo by a datagram socket, which needs no privilege where it is allowed."""
    ask, answer = _ECHO[address.family]
    protocol = socket.IPPROTO_ICMP if ask == 8 else socket.getprotobyname("ipv6-icmp")
    try:
        with socket.socket(address.family, socket.SOCK_DGRAM, protocol) as pinger:
            pinger.settimeout(timeout_s)
            started = time.monotonic()
            # The kernel fills in identifier and checksum of such sockets.
            pinger.sendto(struct.pack("!BBHHH", ask, 0, 0, 0, 1) + b"farhand", address.where)
            while (left_s := timeout_s - (time.monotonic() - started)) > 0:
                pinger.settimeout(left_s)
                data, _ = pinger.recvfrom(256)
                if data[:1] == bytes([answer]):
                    return (time.monotonic() - started) * 1000
    except OSError:
        return None  # not allowed here, or no answer: TCP has the last word
    return None
