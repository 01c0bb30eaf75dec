"""Heads of the devices' logs: kept as they come, judged, thinned, and shown to who may see them."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from farhand_protocol.audit import AuditHead, encode_head, head_message
from farhand_protocol.errors import RemoteError
from farhand_server.fleet.log_heads import MAX_DEVICE_HEADS, device_log_heads
from farhand_server.relay import Relay
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import FakeDevice
from tests.server.relays import SignIn


def shown(device: FakeDevice, seq: int, letter: str = "a") -> bytes:
    head = AuditHead(owner=device.id, seq=seq, hash=letter * 64, at=f"t{seq}")
    return encode_head(
        msgspec.structs.replace(head, signature=device.signer.sign(head_message(head)))
    )


async def kept(relay: Relay, device: FakeDevice) -> list[tuple[int, str]]:
    async with relay.db.read() as c:
        return [
            (head.seq, head.hash[0]) for head in await device_log_heads(c, relay.tenant, device.id)
        ]


async def broken(relay: Relay) -> list[str]:
    async with relay.db.read() as c:
        records = await relay.audit.records(c, limit=500)
    return [one.subject for one in records if one.action == "device.log-broken"]


async def test_heads_are_kept_once_and_a_log_that_went_back_is_audited(
    relay: Relay, make_device: MakeDevice
) -> None:
    device, other = await make_device("one"), await make_device("two")
    for seq, letter in ((3, "a"), (3, "a"), (9, "b"), (9, "c"), (4, "d"), (5, "e")):
        await device.present(audit_head=shown(device, seq, letter))
    await other.present(audit_head=shown(other, 1))
    await other.present()
    assert await kept(relay, device) == [(3, "a"), (9, "b"), (9, "c"), (4, "d"), (5, "e")]
    assert await kept(relay, other) == [(1, "a")]
    assert await broken(relay) == [device.id, device.id]


async def test_a_head_that_is_not_by_the_device_costs_the_link(
    relay: Relay, make_device: MakeDevice
) -> None:
    device, other = await make_device("one"), await make_device("two")
    mine = shown(device, 3)
    for head in (shown(other, 3), mine.replace(b'"seq":3', b'"seq":4'), b"{}", b"x" * 512):
        with pytest.raises(RemoteError, match="audit-head-malformed"):
            await device.present(audit_head=head)
    assert await kept(relay, device) == []


async def test_what_one_device_shows_is_bounded(relay: Relay, make_device: MakeDevice) -> None:
    device = await make_device()
    for seq in range(1, MAX_DEVICE_HEADS + 80):
        await device.present(audit_head=shown(device, seq))
    seqs = [seq for seq, _ in await kept(relay, device)]
    assert len(seqs) <= MAX_DEVICE_HEADS + 32
    assert seqs[0] == 1
    assert seqs[-50:] == list(range(MAX_DEVICE_HEADS + 30, MAX_DEVICE_HEADS + 80))


async def test_reading_them_is_audited_and_for_the_organisation_alone(
    relay: Relay, make_device: MakeDevice, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    device = await make_device()
    await device.present(audit_head=shown(device, 3))
    path = f"/api/v1/audit/devices/{device.id}"
    answer = await web.get(path, headers=await sign_in("auditor"))
    (item,) = msgspec.convert(answer.json()["items"], list[AuditHead])
    assert encode_head(item) == shown(device, 3)
    assert (await web.get(path, headers=await sign_in("technician"))).status_code == 200
    assert (await web.get(path, headers=await sign_in("requester"))).status_code == 403
    async with relay.db.read() as c:
        records = await relay.audit.records(c, limit=500)
    assert ("auditor", "audit.read", device.id) in [(r.actor, r.action, r.subject) for r in records]
