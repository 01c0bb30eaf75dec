"""Who heeds what happens on tickets: one line each, in the order in which they are asked."""

from __future__ import annotations

import functools
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.channels.chats import heed_chat
from farhand_server.connectors.telling import heed_connectors
from farhand_server.contracts.assigning import heed_contract
from farhand_server.desk.heed import HeededEvent, Heeder, heed_events
from farhand_server.mail.answering import heed_mail
from farhand_server.measures.surveys import heed_resolution
from farhand_server.notify.heeding import heed_notify
from farhand_server.people.modules import make_modules
from farhand_server.relay import Relay
from farhand_server.rules.firing import heed_rules
from farhand_server.webhooks.delivery import heed_webhooks

__all__ = ["HEEDERS", "heed_now"]


def _of(module: str, heeder: Heeder) -> Heeder:
    """Return what heeds as long as its module is switched on."""

    @functools.wraps(heeder)
    async def heed(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
        if module not in relay.service(make_modules).off:
            await heeder(c, relay, event)

    return heed


HEEDERS: Final[tuple[Heeder, ...]] = (
    heed_mail,
    _of("webhooks", heed_webhooks),
    _of("automation", heed_rules),
    _of("connectors", heed_connectors),
    heed_contract,
    _of("surveys", heed_resolution),
    heed_chat,
    heed_notify,
)


async def heed_now(relay: Relay) -> None:
    """Heed everything that is queued, and what is queued by that."""
    while await heed_events(relay, HEEDERS):
        pass
