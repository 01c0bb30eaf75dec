"""The link under a hostile relay: its list of messages is closed, and bounded before it is read.

Whatever comes, the agent drops the link, comes back, runs nothing and forgets nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farhand_protocol.identity import make_id
from farhand_protocol.messages import MAX_MESSAGE_BYTES, Nameplate, Redirect, TrustFile, Welcome
from tests.security.conftest import MakeDevice
from tests.support.hostile_devices import Device, Program
from tests.support.hostile_organisation import HostileOrganisation
from tests.support.hostile_relay import HostileRelay

pytestmark = pytest.mark.asyncio(loop_scope="module")


def pack(**fields: Any) -> bytes:
    return msgspec.msgpack.encode(fields)


MALFORMED: dict[str, bytes | str] = {
    "a-command": pack(t="run", command="touch /tmp/farhand-ran"),
    "an-exec": pack(t="exec", argv=["/bin/sh"]),
    "a-file": pack(t="put-file", path="/etc/passwd", body=b"x"),
    "a-device-message": pack(t="result", seq=1, order="o", envelope=b""),
    "no-tag": pack(order="o-aaaaaaaaaaaaaaaaaaaa"),
    "another-type-of-tag": pack(t=7),
    "a-missing-field": pack(t="offer-order", order="o-aaaaaaaaaaaaaaaaaaaa"),
    "a-wrong-type": pack(t="offer-order", order=b"\x00", envelope="text"),
    "a-long-word": pack(t="end-session", session="s" * 65, reason=""),
    "a-negative-number": pack(t="trust-notice", timestamp_version=-1),
    "a-number-past-all-bounds": pack(t="ack", seq=2**60),
    "nothing": b"",
    "rubbish": b"\xc1" * 50,
    "nested-without-end": b"\x91" * 100_000,
    "cut-short": pack(t="offer-order", order="o", envelope=b"x" * 100)[:-50],
    "text": '{"t":"ack","seq":1}',
    "too-large": b"\xc6" + (MAX_MESSAGE_BYTES * 2).to_bytes(4, "big") + bytes(MAX_MESSAGE_BYTES),
}


@pytest.mark.parametrize("message", MALFORMED)
async def test_a_message_outside_the_closed_list_costs_the_relay_its_link(
    message: str, device: Device, agent: Program, relay: HostileRelay
) -> None:
    link = await relay.link()
    since = len(agent.lines)
    await link.send_raw(MALFORMED[message])
    await relay.until(lambda: link.closed)
    again = await relay.link()
    assert again is not link
    await agent.line("connected again", since=since)
    assert agent.process.returncode is None
    assert device.log_kinds().count("order-accepted") == 0


async def test_an_answer_to_nothing_is_ignored(
    device: Device, agent: Program, relay: HostileRelay
) -> None:
    link = await relay.link()
    await link.send(TrustFile(seq=99_999, total=10, body=b"x"))
    await link.send(Nameplate(seq=99_998, nameplate="4001", expires_in_s=1))
    await link.send(Welcome(standing="retired", ping_s=1, reconnect_window_s=1.0, now="never"))
    session = make_id("s", os.urandom(16))
    await link.send_raw(pack(t="attach-pipe", session=session, number=0, token=b"t" * 16))
    await link.send_raw(pack(t="mailbox-blob", session=session, phase="pake", body=b""))
    # Still there, on the same link.
    result = await device.outcome(make_id("o", os.urandom(12)), b"rubbish")
    assert result.refusal == "order-malformed"
    assert relay.find("device") is link
    assert agent.process.returncode is None


@pytest.mark.parametrize(
    "url",
    [
        "https://relay.example",
        "http://127.0.0.1:1",
        "http://127.0.0.1.evil.example:80",
        "file:///etc/passwd",
        "",
        "http://[::1",
        "\x1b[2J",
    ],
)
async def test_a_redirect_to_a_foreign_origin_is_not_followed(
    url: str, device: Device, agent: Program, relay: HostileRelay
) -> None:
    link = await relay.link()
    since = len(agent.lines)
    before = len(device.logged("redirect-refused"))
    await link.send(Redirect(url=url))
    await agent.line(
        "a redirect to an address that the token does not name was refused", since=since
    )
    result = await device.outcome(make_id("o", os.urandom(12)), b"rubbish")
    assert result.refusal == "order-malformed"
    assert len(device.logged("redirect-refused")) == before + 1
    assert not any("\x1b" in line for line in agent.lines)
    assert device.settings.url == relay.url


async def test_a_flood_of_orders_is_bounded(
    device: Device, agent: Program, relay: HostileRelay, organisation: HostileOrganisation
) -> None:
    """More offers than the queue holds: the rest are dropped, and the agent goes on."""
    link = await relay.link()
    since = len(agent.lines)
    for _ in range(150):
        order = make_id("o", os.urandom(12))
        await link.send_raw(pack(t="offer-order", order=order, envelope=os.urandom(2_000)))
    await agent.line("too many orders wait", since=since)
    assert agent.process.returncode is None


async def test_another_relay_with_another_key_gets_no_word(
    make_device: MakeDevice, relay: HostileRelay, tmp_path: Path
) -> None:
    """Somebody who took over the address, without the relay's key."""
    from contextlib import suppress

    from farhand_agent.link import KeeperProver, RelayAddress, open_link
    from farhand_protocol.errors import RemoteError
    from tests.support.hostile_organisation import signer

    device = await make_device()
    honest, before = relay.key, len(relay.links)
    relay.key = signer()
    try:
        with pytest.raises(RemoteError) as caught:
            async with open_link(
                RelayAddress.of(device.home, device.settings),
                role="device",
                tenant=device.settings.tenant,
                device_key=device.settings.device_key_raw,
                relay_key=device.settings.relay_key_raw,
                prover=KeeperProver(device.home.device_key),
                present=None,
            ):
                pass
        assert caught.value.code == "relay-key-mismatch"
    finally:
        relay.key = honest
    with suppress(IndexError):
        assert [one for one in relay.links[before:] if one.device == device.id] == []
