"""What time alone changes of chats; every node sweeps, and each row is changed once."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from farhand_protocol.errors import FarhandError
from farhand_server.channels.chats import sweep_chats
from farhand_server.desk.watching import tell_ticket
from farhand_server.relay import Relay

__all__ = ["sweep_chats_for_ever"]

_log = logging.getLogger(__name__)

_EVERY_S: Final = 10.0


async def sweep_chats_for_ever(relay: Relay) -> None:
    """Sweep now and then; runs until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            for number in await sweep_chats(relay):
                await tell_ticket(relay, number)
        except FarhandError as error:
            _log.warning("chats were not swept: %s", error)
