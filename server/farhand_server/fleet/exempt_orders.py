"""Orders whose script too few people approved, at the relay: a first look, the audit, an alert.

The device decides about them by itself (`farhand_protocol.exemptions` says whose signatures it
asks for).  Here they are turned away early, and told: a trial as a record of the audit, an
emergency order as an alert on its device as well, which opens a ticket as any critical one does.
No report of a device withdraws that alert before `BREAK_GLASS_STANDS` is over (alerts/intake.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import RefusedError
from farhand_protocol.exemptions import carried_script, check_exempt_signers, exempt_signers
from farhand_protocol.orders import Exemption
from farhand_protocol.trust import Roster
from farhand_server.alerts.intake import take_said
from farhand_server.alerts.words import BREAK_GLASS, Said
from farhand_server.fleet.roster import current_roster
from farhand_server.relay import Relay
from farhand_server.store.schema import devices

if TYPE_CHECKING:
    from farhand_server.fleet.orders import SignedOrder

__all__ = ["check_exempt", "tell_exempt"]

_MAX_SUMMARY_CHARS = 200


def check_exempt(signed: SignedOrder, exemption: Exemption, roster: Roster, *, actor: str) -> None:
    """Check that the people signed who may, that the sender is one of them, and the script.

    Raises:
        FarhandError: of `check_exempt_signers` and `carried_script`; `order-not-permitted` for an
            order that the signed-in account did not sign itself.
    """
    check_exempt_signers(signed.order, signed.sealed, roster)
    carried_script(signed.order, roster)
    if actor not in exempt_signers(signed.sealed, exemption, roster):
        raise RefusedError("order-not-permitted", "you did not sign this order")


async def tell_exempt(c: AsyncConnection, relay: Relay, signed: SignedOrder, *, actor: str) -> None:
    """Write an exempt order into the audit, and raise an alert for an emergency; else nothing.

    Args:
        c: connection of a write transaction that has written to the audit already.
        relay: the wiring.
        signed: an order that was stored just now.
        actor: name of the signed-in account.
    """
    order, exemption = signed.order, signed.order.exemption
    if exemption is None:
        return
    roster = await current_roster(c, relay)
    people = [] if roster is None else exempt_signers(signed.sealed, exemption, roster)
    await relay.audit.append(
        c,
        actor=actor,
        action=f"order.{exemption.kind}",
        subject=order.id,
        detail={
            "device": order.device,
            "script": [order.script, order.version, order.digest],
            "people": people,
            "reason": exemption.reason,
        },
    )
    if exemption.kind != "break-glass":
        return
    query = select(devices).where(devices.c.tenant == relay.tenant, devices.c.id == order.device)
    device = (await c.execute(query)).mappings().one()
    summary = f"{' and '.join(people)} run {order.script} unapproved: {exemption.reason}"
    said = Said(BREAK_GLASS, order.id, "critical", summary[:_MAX_SUMMARY_CHARS], None, None)
    await take_said(c, relay, device=device, said=[said], is_all=False)
