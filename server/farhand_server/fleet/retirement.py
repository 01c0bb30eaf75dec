"""Retiring a device: its key opens no link any more, its open orders end as `gone`.

Its sessions are ended and its links closed at once, whichever nodes hold them.
"""

from __future__ import annotations

import logging

from sqlalchemy import RowMapping

from farhand_protocol.errors import FarhandError
from farhand_server.fleet.devices import mark_retired
from farhand_server.fleet.dispatch import make_dispatch
from farhand_server.fleet.order_rows import advance, lock_orders
from farhand_server.fleet.orders import open_orders_of_device
from farhand_server.relay import Relay
from farhand_server.sessions import control
from farhand_server.sessions.service import make_sessions

__all__ = ["retire_device"]

_log = logging.getLogger(__name__)


async def retire_device(relay: Relay, *, row: RowMapping, actor: str) -> None:
    """Retire the device of this row, for good; harmless when it already is.

    The row is first: from then on its key is refused.  Then its sessions end, and a note has every
    node close its links.  A node that the note does not reach closes the link with the next thing
    the device says (`fleet.intake`).
    """
    device: str = row["id"]
    async with relay.db.write() as c:
        await mark_retired(c, relay, device=device, actor=actor)
        ids = await open_orders_of_device(c, relay.tenant, device)
        rows = await lock_orders(c, relay.tenant, ids)
        gone = await advance(
            c,
            tenant=relay.tenant,
            rows=rows,
            after="gone",
            at=relay.stamp(),
            detail={"by": actor},
        )
    await relay.service(make_dispatch).publish_ends(gone)
    await relay.service(make_sessions).end_of_device(device, reason="device-retired", actor=actor)
    try:
        note = control.encode(control.Retired(device=device))
        await relay.bus.publish(control.nodes_subject(relay.tenant), note)
    except FarhandError as error:
        _log.warning("the nodes were not told that %s was retired: %s", device, error)
