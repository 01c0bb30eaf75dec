"""Signed moves in the devices' rows: taken from an upload, kept when a device enrols again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id
from farhand_protocol.placements import PLACEMENTS_PATH, Placements
from farhand_protocol.trust import encode_document
from farhand_server.relay import Relay
from farhand_server.store.schema import devices
from farhand_server.trust.service import make_trust
from tests.server.fleet.parts import FakeDevice, TokenKit
from tests.server.relays import TENANT
from tests.server.trust_roots import Admin


@pytest.fixture
async def admin(relay: Relay) -> Admin:
    """An admin whose root and roster the relay holds."""
    admin = Admin(TENANT, relay.signer.public_key, relay.now())
    files = admin.roster()
    await relay.service(make_trust).publish(
        root=admin.root(), targets=admin.targets(files), files=files, actor="admin"
    )
    return admin


async def place(relay: Relay, admin: Admin, moves: dict[str, str], **changes: Any) -> None:
    document = Placements(**{"tenant": TENANT, "groups": moves} | changes)
    files = {PLACEMENTS_PATH: encode_document(document)}
    await relay.service(make_trust).publish(
        root=None, targets=admin.targets(files), files=files, actor="admin"
    )


async def groups(relay: Relay) -> dict[str, str]:
    async with relay.db.read() as c:
        rows = await c.execute(select(devices.c.id, devices.c.device_group))
        return {row.id: row.device_group for row in rows}


async def test_a_move_is_seen_and_stays(relay: Relay, admin: Admin) -> None:
    one, two = await FakeDevice(relay).enrol(), await FakeDevice(relay, "two").enrol()
    await place(relay, admin, {one.id: "servers", device_id(bytes(32)): "lab"})
    assert await groups(relay) == {one.id: "servers", two.id: "default"}
    # Another token names another group; the admin's word goes before it.
    other = await TokenKit(group="sales").register(relay, uses=2)
    await one.enrol(other)
    await two.enrol(other)
    assert await groups(relay) == {one.id: "servers", two.id: "sales"}
    await place(relay, admin, {one.id: "default"})
    assert (await groups(relay))[one.id] == "default"


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "n-other"},
        {"groups": {"d-short": "lab"}},
        {"groups": {device_id(bytes(32)): "No Group"}},
    ],
)
async def test_a_move_that_devices_would_refuse_is_not_stored(
    relay: Relay, admin: Admin, changes: dict[str, Any]
) -> None:
    one = await FakeDevice(relay).enrol()
    with pytest.raises(FarhandError) as caught:
        await place(relay, admin, {one.id: "servers"}, **changes)
    assert caught.value.code == "trust-invalid"
    assert await groups(relay) == {one.id: "default"}
