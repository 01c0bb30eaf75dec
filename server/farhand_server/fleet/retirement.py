"""Retiring a device: its key opens no link any more, and its open orders end as `gone`."""

from __future__ import annotations

from sqlalchemy import RowMapping

from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import Reconnect, encode_message
from farhand_server.fleet.devices import mark_retired
from farhand_server.fleet.dispatch import make_dispatch
from farhand_server.fleet.order_rows import advance, lock_orders
from farhand_server.fleet.orders import open_orders_of_device
from farhand_server.relay import Relay
from farhand_server.sessions.control import device_subject

__all__ = ["retire_device"]

_TELL_S = 5.0


async def retire_device(relay: Relay, *, row: RowMapping, actor: str) -> None:
    """Retire the device of this row, for good; harmless when it already is.

    Its link is told to come back at once, and is then refused; a device that stays instead loses
    its link with the next thing it says (`fleet.intake`).
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
    try:
        await relay.bus.request(
            device_subject(relay.tenant, device),
            encode_message(Reconnect(window_s=0.0)),
            timeout_s=_TELL_S,
        )
    except FarhandError as error:
        if error.code not in ("no-responders", "bus-timeout"):
            raise
