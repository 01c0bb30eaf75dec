"""The alert of an emergency order: raised by the relay; no report of a device ends it for a day."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from sqlalchemy import select

from farhand_protocol.envelopes import encode_envelope, open_payload, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.orders import Exemption, Order
from farhand_server.alerts.intake import BREAK_GLASS_STANDS
from farhand_server.fleet.exempt_orders import tell_exempt
from farhand_server.fleet.orders import SignedOrder, check_order, open_order
from farhand_server.relay import Relay
from farhand_server.store.schema import audit
from tests.agent.organisation import Organisation
from tests.server.alerts.test_alerts import Desk, check, desk, say
from tests.server.fleet.conftest import MakeDevice
from tests.server.relays import ManualClock

__all__ = ["desk"]


class Emergency:
    """An order that carries its script, for a device of this relay."""

    def __init__(self, relay: Relay, device: str, *, signed_by: int = 2) -> None:
        self.organisation = Organisation(tenant=relay.tenant)
        org = self.organisation
        for person, key in (("bo", org.boss), ("cy", org.second)):
            known = org.roster.find(person)
            assert known is not None
            known.permissions.append("break-glass")
            assert known.keys == [key.public_key]
        body = b"true\n"
        sealed = seal(org.manifest(body, id="remedy.fire"), org.author)
        manifest = open_payload(sealed, Manifest)
        at = relay.now()
        order = Order(
            tenant=relay.tenant,
            id=make_id("o", os.urandom(12)),
            device=device,
            host_name="vm",
            group="default",
            script=manifest.id,
            version=1,
            risk="R0",
            digest=manifest_digest(sealed),
            parameters={},
            operator="bo",
            ticket=None,
            campaign=None,
            ring=None,
            targets_version=1,
            issued_at=format_instant(at),
            not_before=format_instant(at),
            expires=format_instant(at + timedelta(minutes=30)),
            exemption=Exemption(
                kind="break-glass",
                manifest=encode_envelope(sealed),
                body=body,
                reason="it burns",
            ),
        )
        keys = (org.boss, org.second)[:signed_by]
        self.signed: SignedOrder = open_order(encode_envelope(seal(order, *keys)))

    async def tell(self, relay: Relay) -> None:
        async with relay.db.write() as c:
            await tell_exempt(c, relay, self.signed, actor="cy")


async def test_it_opens_a_ticket_and_outlives_the_devices_reports(
    relay: Relay, make_device: MakeDevice, desk: Desk, clock: ManualClock
) -> None:
    device = await make_device("reception")
    emergency = Emergency(relay, device.id)
    await emergency.tell(relay)
    (alert,) = await desk.alerts()
    assert (alert["check"], alert["severity"], alert["ticket"]) == (
        "break-glass",
        "critical",
        "FH-1",
    )
    assert "it burns" in alert["summary"]
    # Neither a whole report nor one that names the alert ends it.
    order = emergency.signed.order.id
    await say(device, check("ok"), check("ok", id="break-glass", subject=order))
    assert [one["state"] for one in await desk.alerts()] == ["open"]
    clock.advance(BREAK_GLASS_STANDS.total_seconds() + 60)
    await say(device, check("ok"))
    assert await desk.alerts() == []
    async with relay.db.read() as c:
        actions = (await c.execute(select(audit.c.action))).scalars().all()
    assert "order.break-glass" in actions


async def test_a_device_cannot_raise_it_by_itself(make_device: MakeDevice, desk: Desk) -> None:
    device = await make_device("reception")
    await say(device, check("critical", id="break-glass"))
    assert await desk.alerts() == []


@pytest.mark.parametrize(
    ("signed_by", "actor", "code"),
    [
        (2, "bo", None),
        (2, "cy", None),
        (1, "bo", "exemption-unsigned"),
        (2, "ada", "order-not-permitted"),
    ],
)
async def test_the_first_lock_asks_for_both_people(
    relay: Relay, signed_by: int, actor: str, code: str | None
) -> None:
    emergency = Emergency(relay, "d-" + "a" * 26, signed_by=signed_by)
    roster = emergency.organisation.roster
    if code is None:
        check_order(emergency.signed, relay=relay, actor=actor, roster=roster)
        return
    with pytest.raises(FarhandError) as caught:
        check_order(emergency.signed, relay=relay, actor=actor, roster=roster)
    assert caught.value.code == code
