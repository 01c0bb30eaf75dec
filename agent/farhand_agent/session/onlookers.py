"""Words for people who are logged in while a session runs that nobody here was asked about."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from farhand_agent.platforms.screens import show_on_screens
from farhand_protocol.grants import Grant

__all__ = ["tell_begun", "tell_joined", "tell_over"]

_log = logging.getLogger(__name__)

# Screens are told beside the session, which waits for none of them longer than this.
_TELL_S: Final = 10.0


async def tell_begun(grant: Grant, scopes: list[str], expires: str) -> None:
    """Say on every screen who is here, for what, until when, and how to stop it."""
    ticket = f" for {grant.ticket}" if grant.ticket else ""
    await _tell(
        f"{grant.operator[:60]} of {grant.organisation[:60]} works on this computer from afar now"
        f"{ticket[:60]} ({', '.join(scopes)}), until {expires} at most. "
        "To stop it: farhand-agent stop"
    )


async def tell_joined(grant: Grant, beside: str) -> None:
    """Say on every screen who joined a session that is open, and as what."""
    what = "watches" if grant.mode == "observer" else "works on"
    await _tell(
        f"{grant.operator[:60]} of {grant.organisation[:60]} {what} this computer from afar now, "
        f"beside {beside[:60]}. To stop it: farhand-agent stop"
    )


async def tell_handed_over(grant: Grant, first: str) -> None:
    """Say on every screen whose session it is now."""
    await _tell(
        f"{first[:60]} left and handed the remote session over to {grant.operator[:60]} of "
        f"{grant.organisation[:60]}. To stop it: farhand-agent stop"
    )


async def tell_over(grant: Grant, reason: str) -> None:
    """Say on every screen that it is over; the receipt tells what was done."""
    await _tell(
        f"The remote session of {grant.operator[:60]} is over ({reason[:60]}). "
        "What was done: farhand-agent receipts"
    )


async def _tell(words: str) -> None:
    try:
        async with asyncio.timeout(_TELL_S):
            reached = await asyncio.to_thread(show_on_screens, words)
    except TimeoutError:
        _log.warning("the screens of this computer did not answer")
    else:
        _log.info("told on %d screens", reached)
