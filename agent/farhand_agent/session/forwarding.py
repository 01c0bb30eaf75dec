"""Forwarded connections: where they may lead, and what passes through them.

The allow-list holds `host:port` exactly as policy and grant wrote it, and is compared before any
name is looked up.  A name on it must not become a way to what the list does not name: an address of
this computer itself (its SSH, its databases) or the relay's own is dialled only where the list says
so literally, as `localhost:5432`, `127.0.0.1:5432` or with the interface's own address.

What is dialled is the address that was checked; the name is not looked up again.

The scope `desktop` needs no list: it leads to the remote desktop of this computer itself, VNC or
RDP at their own ports on loopback (`DESKTOP_TO`), and nowhere else.  Whatever leads there shows and
clicks as the screen does, and stalls while the person is asked something (stalling.py).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

import asyncssh
import psutil

from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.stalling import Stall, Stallable
from farhand_protocol.errors import RefusedError

__all__ = ["CONNECT_TIMEOUT_S", "DESKTOP_TO", "Forwarded", "dial", "is_loopback_name"]

CONNECT_TIMEOUT_S = 20.0
_DESKTOP_PORTS: Final = (5900, 3389)
DESKTOP_TO: Final = frozenset(
    f"{host}:{port}" for host in ("localhost", "127.0.0.1", "::1") for port in _DESKTOP_PORTS
)

Address: TypeAlias = tuple[str, int]


class Forwarded(Stallable):
    """The SSH end of one forwarded connection; counts what passes.

    Args:
        peer: the end towards the destination.
        closed: called once with bytes sent to the destination and bytes received from it.
        stalled_by: while a prompt stands there, nothing passes; None for what stalls at none.
    """

    def __init__(
        self,
        peer: Counted,
        closed: Callable[[int, int], None],
        *,
        stalled_by: PromptGate | None = None,
    ) -> None:
        super().__init__(peer)
        self._counted = peer
        self._stall = Stall(stalled_by, self, peer) if stalled_by is not None else None
        self._closed = closed
        self._sent = 0

    def session_started(self) -> None:
        """Begin to look whether it has to stall."""
        super().session_started()
        if self._stall is not None:
            self._stall.begin()

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Carry bytes to the destination."""
        self._sent += len(data)
        super().data_received(data, datatype)

    def eof_received(self) -> bool:
        """Pass the console's end of input on; where the other end came before, that is all."""
        goes_on = super().eof_received()
        if not goes_on:
            # asyncio keeps a transport open whose two halves end in this order, and so does the
            # console when both ends cross on the way.
            self.close()
        return goes_on

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out."""
        if self._stall is not None:
            self._stall.end()
        self._closed(self._sent, self._counted.received)
        super().connection_lost(exc)


class Counted(Stallable):
    """The end towards the destination."""

    received = 0

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Carry bytes back."""
        self.received += len(data)
        super().data_received(data, datatype)


def is_loopback_name(host: str) -> bool:
    """Tell whether a destination names this computer itself, literally."""
    if host in ("localhost", "ip6-localhost"):
        return True
    try:
        return _is_own(ipaddress.ip_address(host))
    except ValueError:
        return False


def _is_literal(host: str) -> bool:
    """Tell whether a destination is an address, or this computer's own name for itself."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return is_loopback_name(host)
    return True


def _interface_addresses() -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses of this computer's interfaces."""
    return {
        ipaddress.ip_address(one.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family in (socket.AF_INET, socket.AF_INET6)
    }


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether dialling an address ends at this computer; `0.0.0.0` does."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return address.is_loopback or address.is_unspecified


async def dial(host: str, port: int, *, relay: Address | None) -> Counted:
    """Connect to a destination that is on the allow-list.

    Args:
        host, port: as asked for.
        relay: host and port of the relay.

    Raises:
        RefusedError: `forward-own-address` when a name leads to this computer or to the relay.
        asyncssh.ChannelOpenError: it cannot be reached.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await _first(await _allowed(host, port, relay), port)
    except (TimeoutError, OSError, ValueError) as error:
        raise asyncssh.ChannelOpenError(
            asyncssh.OPEN_CONNECT_FAILED, "the destination cannot be reached"
        ) from error


async def _allowed(host: str, port: int, relay: Address | None) -> list[str]:
    found = await _look_up(host, port)
    refused = set()
    if not _is_literal(host.lower()):
        own = await asyncio.to_thread(_interface_addresses)
        plain = {one: ipaddress.ip_address(one.partition("%")[0]) for one in found}
        refused = {one for one, address in plain.items() if _is_own(address) or address in own}
    if relay is not None and port == relay[1] and host.lower() != relay[0].lower():
        refused |= set(found) & set(await _look_up(*relay))
    allowed = [one for one in found if one not in refused]
    if refused and not allowed:
        raise RefusedError(
            "forward-own-address", "the name leads to this computer itself or to the relay"
        )
    return allowed


async def _look_up(host: str, port: int) -> list[str]:
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


async def _first(addresses: list[str], port: int) -> Counted:
    loop = asyncio.get_running_loop()
    trouble: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            _, peer = await loop.create_connection(Counted, address, port)
            return peer
        except OSError as error:
            trouble = error
    raise trouble
