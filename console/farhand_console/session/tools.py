"""The tools of a session from the technician's side: a request, and its answer or its lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import asyncssh

from farhand_console.session.channel import open_channel, raise_error
from farhand_protocol.errors import FarhandError

__all__ = ["ask_tool", "macs_to_wake", "tool_lines"]

_SUBSYSTEM = "farhand-tools"
# Of one sleeping computer; more is a mistake in its inventory.
_MAX_MACS = 8


async def ask_tool(
    connection: asyncssh.SSHClientConnection, requests: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Ask for one thing after the other; return the answers.

    Raises:
        FarhandError: `scope-missing`, `tool-...`, `session-lost`.
    """
    async with open_channel(connection, _SUBSYSTEM) as channel:
        return [await channel.ask(request) for request in requests]


async def tool_lines(
    connection: asyncssh.SSHClientConnection, request: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the lines of a tool that answers with many.

    Raises:
        FarhandError: `scope-missing`, `tool-...`, `session-lost`.
    """
    async with open_channel(connection, _SUBSYSTEM) as channel:
        await channel.send(request)
        while (answer := await channel.receive()) is not None:
            raise_error(answer)
            if answer.get("done") is True:
                return
            line = answer.get("line")
            yield line if isinstance(line, dict) else {}


def macs_to_wake(items: list[dict[str, Any]]) -> list[str]:
    """Return the hardware addresses in a device's `network` section that may be woken.

    Raises:
        FarhandError: `mac-unknown` when there are none.
    """
    macs = []
    for item in items:
        mac = str(item.get("mac") or "").lower()
        if item.get("record") != "interface" or item.get("virtual") is True:
            continue
        if len(mac) == 17 and mac.count(":") == 5 and mac.strip("0:") and mac not in macs:
            macs.append(mac)
    if not macs:
        raise FarhandError(
            "mac-unknown",
            "the inventory names no network card of this device",
            hint="name it with --mac",
        )
    return macs[:_MAX_MACS]
