"""Opens the periods of contracts as they begin, every quarter of an hour."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from farhand_protocol.errors import FarhandError
from farhand_server.contracts.ledger import sweep_periods
from farhand_server.relay import Relay

__all__ = ["EVERY_S", "start_sweeping"]

_log = logging.getLogger(__name__)

EVERY_S: Final = 900.0


async def _sweep_for_ever(relay: Relay) -> None:
    while True:
        try:
            await sweep_periods(relay)
        except FarhandError as error:
            _log.warning("periods of contracts were not opened: %s", error)
        await asyncio.sleep(EVERY_S)


async def start_sweeping(relay: Relay) -> None:
    """Begin to sweep; ends with the relay's tasks."""
    relay.tasks.spawn(_sweep_for_ever(relay), name="contracts")
