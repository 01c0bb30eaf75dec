"""Devices that run no agent: a printer, a switch, a server of somebody else.

They stand in the list beside the others, with a kind and an address, and have tickets, tags,
product data and, from whoever probes them, states of checks.  They have no key: nothing that a key
is needed for (orders, sessions, campaigns) ever names one.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.placements import is_group
from farhand_server.relay import Relay
from farhand_server.store.schema import devices
from farhand_server.wording import check_line

__all__ = ["AGENTLESS_KINDS", "NewAgentless", "add_agentless", "is_address"]

AGENTLESS_KINDS: Final = (
    "access-point", "camera", "display", "nas", "other", "phone", "printer", "router", "server",
    "service", "switch", "ups",
)  # fmt: skip
MAX_AGENTLESS_NAME_CHARS: Final = 64
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)


class NewAgentless(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says of it."""

    name: str
    kind: str
    address: str
    group: str = "default"


def is_address(text: str) -> bool:
    """Tell whether a text is a host name or an IP address, and nothing more than that."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return "%" not in text  # a zone means something on one machine only


async def add_agentless(c: AsyncConnection, relay: Relay, *, new: NewAgentless, actor: str) -> str:
    """Add a device without an agent and return its id.

    Raises:
        UsageError: `invalid`.
    """
    name = check_line(new.name, "name", max_chars=MAX_AGENTLESS_NAME_CHARS)
    if new.kind not in AGENTLESS_KINDS:
        raise UsageError("invalid", f"the kind is one of {', '.join(AGENTLESS_KINDS)}")
    if not is_address(new.address):
        raise UsageError("invalid", "the address is a host name or an IP address")
    if not is_group(new.group):
        raise UsageError("invalid", "a group's name is small letters, digits, `.`, `_` and `-`")
    device = make_id("ag", relay.random(10))
    await relay.audit.append(
        c,
        actor=actor,
        action="device.add",
        subject=device,
        detail={"name": name, "kind": new.kind, "address": new.address},
    )
    await c.execute(
        insert(devices).values(
            tenant=relay.tenant,
            id=device,
            key=b"",
            name=name,
            device_group=new.group,
            token="",
            enrolment=b"",
            confirmed=False,
            os="",
            host_name=new.address,
            agent_version="",
            enrolled_at=relay.stamp(),
            kind=new.kind,
            address=new.address,
        )
    )
    return device
