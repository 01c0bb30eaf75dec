"""Enrolling at the relay: every refusal by its code, and the last use taken once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from farhand_protocol import messages
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_server.relay import Relay
from farhand_server.store.schema import audit, devices, enrolment_tokens
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import FakeDevice, FakeLink, TokenKit
from tests.server.relays import ManualClock

OTHER = SeedSigner(b"\x05" * 32)


async def _row(relay: Relay, device: str) -> Any:
    async with relay.db.read() as c:
        found = await c.execute(select(devices).where(devices.c.id == device))
        return found.mappings().first()


async def _uses_left(relay: Relay, token: TokenKit) -> int | None:
    async with relay.db.read() as c:
        return await c.scalar(
            select(enrolment_tokens.c.uses_left).where(enrolment_tokens.c.id == token.id)
        )


async def _send(device: FakeDevice, blob: bytes, *, key: bytes | None = None) -> None:
    link = FakeLink(key or device.signer.public_key, role="enrol")
    await device.intake.on_enrol(link, messages.Enrol(seq=1, envelope=blob))


async def _refusals(relay: Relay) -> list[str]:
    async with relay.db.read() as c:
        query = select(audit.c.detail).where(audit.c.action == "device.enrol-refused")
        return list(await c.scalars(query))


async def test_enrolling_makes_the_device_known(relay: Relay) -> None:
    token = await TokenKit(group="sales").register(relay, uses=2)
    device = await FakeDevice(relay, "front desk").enrol(token)
    row = await _row(relay, device.id)
    assert row["name"] == "front desk"
    assert row["device_group"] == "sales"
    assert row["key"] == device.signer.public_key
    assert row["confirmed"] is True
    assert await _uses_left(relay, token) == 1


async def test_a_token_of_the_relay_leaves_devices_unconfirmed(relay: Relay) -> None:
    token = await TokenKit().register(relay, signed_by="relay")
    device = await FakeDevice(relay).enrol(token)
    assert (await _row(relay, device.id))["confirmed"] is False


async def test_asking_again_takes_no_further_use(relay: Relay) -> None:
    token = await TokenKit().register(relay)
    device = await FakeDevice(relay).enrol(token)
    await device.enrol(token)
    assert await _uses_left(relay, token) == 0


async def test_a_known_key_keeps_its_id_with_another_token(relay: Relay) -> None:
    device = await FakeDevice(relay).enrol()
    other = await TokenKit(group="sales").register(relay)
    device.name = "renamed"
    await device.enrol(other)
    row = await _row(relay, device.id)
    assert (row["name"], row["device_group"], row["token"]) == ("renamed", "sales", other.id)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tenant": "n-somebodyelse"}, "tenant-mismatch"),
        ({"token": "t-nobodyknowsit"}, "token-unknown"),
        ({"token": "t-\0"}, "token-unknown"),
        ({"group": "admins"}, "enrolment-malformed"),
        ({"device": device_id(OTHER.public_key)}, "enrolment-malformed"),
        ({"device_key": OTHER.public_key}, "enrolment-malformed"),
        ({"device_key": b"short"}, "enrolment-malformed"),
        ({"name": ""}, "enrolment-malformed"),
        ({"name": "x" * 65}, "enrolment-malformed"),
        ({"name": "clear\x1b[2Jscreen"}, "enrolment-malformed"),
        ({"name": "two\nlines"}, "enrolment-malformed"),
    ],
)
@pytest.mark.either_store
async def test_what_does_not_fit_is_refused_and_audited(
    relay: Relay, changes: dict[str, Any], code: str
) -> None:
    token = await TokenKit().register(relay)
    device = FakeDevice(relay)
    blob = encode_envelope(seal(device.enrolment(token, **changes), token.signer, device.signer))
    with pytest.raises(FarhandError) as caught:
        await _send(device, blob)
    assert caught.value.code == code
    assert await _row(relay, device.id) is None
    assert await _uses_left(relay, token) == 1
    assert await _refusals(relay) == [f'{{"code":"{code}"}}']


@pytest.mark.parametrize("missing", ["token", "device", "wrong-token"])
@pytest.mark.either_store
async def test_both_keys_must_have_signed(relay: Relay, missing: str) -> None:
    token = await TokenKit().register(relay)
    device = FakeDevice(relay)
    signers = {
        "token": (device.signer,),
        "device": (token.signer,),
        "wrong-token": (OTHER, device.signer),
    }[missing]
    with pytest.raises(FarhandError, match="enrolment-malformed"):
        await _send(device, encode_envelope(seal(device.enrolment(token), *signers)))


@pytest.mark.either_store
async def test_the_link_must_hold_the_key_it_enrols(relay: Relay) -> None:
    token = await TokenKit().register(relay)
    device = FakeDevice(relay)
    blob = encode_envelope(seal(device.enrolment(token), token.signer, device.signer))
    with pytest.raises(FarhandError, match="enrolment-malformed"):
        await _send(device, blob, key=OTHER.public_key)


@pytest.mark.parametrize("blob", [b"", b"\xff" * 40, b"{}", b"[" * 10_000, b"x" * 20_000])
@pytest.mark.either_store
async def test_garbage_is_malformed(relay: Relay, blob: bytes) -> None:
    with pytest.raises(FarhandError, match="enrolment-malformed"):
        await _send(FakeDevice(relay), blob)


async def test_an_expired_token_is_refused(relay: Relay, clock: ManualClock) -> None:
    token = await TokenKit().register(relay, ttl_s=60)
    clock.advance(61)
    with pytest.raises(FarhandError, match="token-expired"):
        await FakeDevice(relay).enrol(token)


async def test_a_used_up_token_is_refused(relay: Relay) -> None:
    token = await TokenKit().register(relay)
    await FakeDevice(relay).enrol(token)
    with pytest.raises(FarhandError, match="token-used-up"):
        await FakeDevice(relay).enrol(token)


async def test_the_last_use_is_taken_once(relay: Relay) -> None:
    token = await TokenKit().register(relay, uses=2)
    asking = [FakeDevice(relay, f"pc-{n}") for n in range(6)]
    answers = await asyncio.gather(
        *(device.enrol(token) for device in asking), return_exceptions=True
    )
    refused = [one for one in answers if isinstance(one, FarhandError)]
    assert [one.code for one in refused] == ["token-used-up"] * 4
    assert await _uses_left(relay, token) == 0
    async with relay.db.read() as c:
        assert len((await c.scalars(select(devices.c.id))).all()) == 2


async def test_a_retired_key_stays_out(relay: Relay, make_device: MakeDevice) -> None:
    device = await make_device()
    async with relay.db.write() as c:
        await c.execute(devices.update().values(retired_at=relay.stamp()))
    with pytest.raises(FarhandError, match="device-retired"):
        await device.enrol(await TokenKit().register(relay))
    with pytest.raises(RemoteError, match="device-retired"):
        await device.report({"cpu": [{"model": "x"}]})


async def test_strangers_cannot_fill_the_audit(relay: Relay) -> None:
    device = FakeDevice(relay)
    for _ in range(70):
        with pytest.raises(FarhandError):
            await _send(device, b"junk")
    assert len(await _refusals(relay)) == 60


async def test_what_a_device_says_of_itself_is_made_printable(
    relay: Relay, make_device: MakeDevice
) -> None:
    device = await make_device(
        os="Evil\x1b]0;title\x07OS", host_name="a\0b" + "x" * 500, targets_version=2**60
    )
    row = await _row(relay, device.id)
    assert row["os"] == "Evil ]0;title OS"
    assert row["host_name"].isprintable()
    assert len(row["host_name"]) <= 200
    assert row["targets_version"] == 2**31 - 1
