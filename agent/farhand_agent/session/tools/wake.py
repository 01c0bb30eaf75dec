"""The tool `wake`: the magic packet, sent by a neighbour that is awake.

    {"mac", "sent_to": [ADDRESS, ...]}

Six bytes FF and sixteen times the sleeping computer's hardware address, as one UDP datagram to the
broadcast address of each network that this computer is in.  Nobody answers a magic packet: that it
was sent says nothing about who woke up.  What is sent is fixed by the hardware address, so the tool
cannot be used to say anything else to the network.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

import psutil

from farhand_agent.session.tools.commands import failed
from farhand_agent.session.tools.requests import Wake

__all__ = ["magic_packet", "wake"]

_MAX_TARGETS: Final = 32
_EVERYWHERE: Final = "255.255.255.255"


def magic_packet(mac: str) -> bytes:
    """Return the datagram that wakes the interface of that address (twelve hex digits)."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "").replace("-", "")) * 16


def wake(request: Wake) -> dict[str, Any]:
    """Send the packet; blocks for no longer than a datagram takes.

    Raises:
        FarhandError: `tool-failed` when it could be sent to nobody.
    """
    targets = [_address(request.broadcast)] if request.broadcast else _broadcasts()
    packet = magic_packet(request.mac)
    sent = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for target in targets:
            try:
                sender.sendto(packet, (target, request.port))
            except OSError:
                continue  # that network is down; the others may not be
            sent.append(target)
    if not sent:
        raise failed("the packet could not be sent to any network")
    return {"mac": request.mac, "sent_to": sent}


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise failed("the broadcast address is no IPv4 address") from error


def _broadcasts() -> list[str]:
    found = {
        address.broadcast
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and address.broadcast
    }
    return [*sorted(found)[:_MAX_TARGETS], _EVERYWHERE]
