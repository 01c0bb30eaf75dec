"""Links after the handshake: who is welcomed how, order, cloned keys, floods, draining."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from sqlalchemy import insert, select
from websockets.exceptions import ConnectionClosed

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_server.bus.bus import MAX_BUS_BYTES
from farhand_server.clock import stamp
from farhand_server.fleet.devices import list_devices
from farhand_server.gateway.limits import GatewayLimits
from farhand_server.gateway.link import Link
from farhand_server.relay import Relay
from farhand_server.sessions import control
from farhand_server.store.schema import devices, trust_targets
from tests.server.gateway.nodes import Device, LinkEnd, Node, open_node, settle
from tests.server.relays import TENANT, ManualClock


class Fleet:
    """A service as the fleet's: acknowledges, or does what a test tells it."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.presents: list[str] = []
        self.closed: list[str] = []
        self.fails: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.answer: messages.RelayMessage | None = None

    async def on_present(self, link: Link, message: messages.Present) -> None:
        self.presents.append(link.device)

    async def on_sections(
        self, link: Link, message: messages.ReportSections
    ) -> messages.RelayMessage:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        self.seen.append(message.seq)
        return self.answer or messages.Ack(seq=message.seq)

    async def on_closed(self, link: Link) -> None:
        self.closed.append(link.device)


@pytest.fixture
def fleet(node: Node) -> Fleet:
    service = Fleet()
    node.gateway.plug(service)
    return service


def report(seq: int, size: int = 0) -> messages.ReportSections:
    return messages.ReportSections(seq=seq, changed=[b"x" * size], hashes={})


async def alive(link: LinkEnd) -> None:
    """Wait until the relay has read everything sent so far."""
    await (await link.ws.ping())


async def test_an_unknown_key_is_told_and_closed(node: Node) -> None:
    link = await Device().dial(node)
    assert link.welcome.standing == "unknown"
    assert await link.closed() == (1008, "device-unknown")
    assert not len(node.gateway.presence)


async def test_a_retired_device_is_told_and_closed(node: Node) -> None:
    device = Device()
    await device.enrol(node.relay, retired=True)
    link = await device.dial(node)
    assert link.welcome.standing == "retired"
    assert await link.closed() == (1008, "device-retired")


async def test_an_unknown_key_may_enrol_and_say_nothing_else(node: Node) -> None:
    link = await Device().dial(node, "enrol")
    assert link.welcome.standing == "unknown"
    await link.send(report(1))
    assert await link.closed() == (1008, "message-not-allowed")


async def test_an_enrolled_key_cannot_pass_as_a_guest(node: Node, device: Device) -> None:
    with pytest.raises(ConnectionClosed) as lost:
        await device.dial(node, "session", tenant="")
    assert lost.value.rcvd is not None
    assert lost.value.rcvd.reason == "tenant-missing"


async def test_guests_are_limited_by_address(relay: Relay, clock: ManualClock) -> None:
    async with open_node(relay, clock, limits=GatewayLimits(guests_per_address=1)) as node:
        first = await Device().dial(node, "session", tenant="")
        assert first.welcome.standing == "guest"
        with pytest.raises(ConnectionClosed) as lost:
            await Device().dial(node, "session", tenant="")
        assert lost.value.rcvd is not None
        assert lost.value.rcvd.reason == "guests-full"
        await first.close()
        await settle(relay)
        second = await Device().dial(node, "session", tenant="")
        assert second.welcome.standing == "guest"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x81\xa1t\xa4nope", b"\x90" * 5000])
async def test_a_malformed_message_ends_the_link(node: Node, device: Device, data: bytes) -> None:
    link = await device.present(node)
    await link.ws.send(data)
    assert await link.closed() == (1008, "message-malformed")


async def test_present_comes_first_and_once(node: Node, device: Device, fleet: Fleet) -> None:
    link = await device.dial(node)
    await link.send(report(1))
    assert await link.closed() == (1008, "message-out-of-order")
    link = await device.present(node)
    await link.send(messages.Present(agent_version="0", host_name="box", os="debian"))
    assert await link.closed() == (1008, "message-out-of-order")
    assert fleet.presents == [device.id]
    assert fleet.seen == []


async def test_roles_keep_to_their_messages(node: Node, device: Device) -> None:
    link = await device.present(node)
    await link.send(messages.AllocateNameplate(seq=1))
    assert await link.closed() == (1008, "message-not-allowed")


async def test_messages_are_answered_in_order(node: Node, device: Device, fleet: Fleet) -> None:
    link = await device.present(node)
    for seq in range(1, 301):
        await link.send(report(seq))
    for seq in range(1, 301):
        assert (await link.receive(messages.Ack)).seq == seq
    assert fleet.seen == list(range(1, 301))


async def test_a_refusal_is_a_nack_and_the_link_goes_on(
    node: Node, device: Device, fleet: Fleet
) -> None:
    link = await device.present(node)
    fleet.fails = FarhandError("section-malformed", "no", detail="secret of the log")
    await link.send(report(7))
    nack = await link.receive(messages.Nack)
    assert (nack.seq, nack.code, nack.message) == (7, "section-malformed", "no")
    fleet.fails = None
    await link.send(report(8))
    assert (await link.receive(messages.Ack)).seq == 8


@pytest.mark.parametrize(
    ("error", "closing"),
    [
        (FarhandError("store-full", "full"), (1013, "store-full")),
        (RemoteError("enrolment-malformed", "no"), (1008, "enrolment-malformed")),
        (ZeroDivisionError(), (1011, "internal")),
    ],
)
async def test_other_failures_close_the_link(
    node: Node, device: Device, fleet: Fleet, error: Exception, closing: tuple[int, str]
) -> None:
    link = await device.present(node)
    fleet.fails = error
    await link.send(report(1))
    assert await link.closed() == closing


async def test_the_bus_reaches_the_device(node: Node, device: Device) -> None:
    link = await device.present(node)
    cancel = messages.encode_message(messages.CancelOrder(order="o-1"))
    subject = control.device_subject(TENANT, device.id)
    assert await node.relay.bus.request(subject, cancel, timeout_s=5) == b""
    assert (await link.receive(messages.CancelOrder)).order == "o-1"
    await link.close()
    await settle(node.relay)
    with pytest.raises(FarhandError, match="no-responders"):
        await node.relay.bus.request(subject, cancel, timeout_s=5)


async def test_a_trust_notice_reaches_every_device(node: Node) -> None:
    links = []
    for _ in range(5):
        device = Device()
        await device.enrol(node.relay)
        links.append(await device.present(node))
    await node.relay.bus.publish(f"trust.{TENANT}", b"not a number")
    await node.relay.bus.publish(f"trust.{TENANT}", b"7")
    for link in links:
        assert (await link.receive(messages.TrustNotice)).timestamp_version == 7


async def test_trust_files_come_in_pieces_or_not_at_all(node: Node, device: Device) -> None:
    body = bytes(range(256)) * 4096
    digest = hashlib.sha256(body).hexdigest()
    async with node.relay.db.write() as c:
        await c.execute(
            insert(trust_targets).values(
                tenant=TENANT, sha256=digest, path="roster.json", body=body,
                created_at=node.relay.stamp(),
            )
        )  # fmt: skip
    link = await device.present(node)
    got = b""
    while len(got) < len(body):
        name = f"{digest}.roster.json"
        await link.send(messages.FetchTrust(seq=3, kind="target", name=name, offset=len(got)))
        piece = await link.receive(messages.TrustFile)
        assert piece.total == len(body)
        assert 0 < len(piece.body) <= 512 * 1024
        got += piece.body
    assert got == body
    for name in ("9.root.json", "../relay.key", "timestamp.json"):
        await link.send(messages.FetchTrust(seq=4, kind="metadata", name=name))
        assert (await link.receive(messages.TrustFile)).total == -1


async def test_a_message_that_nobody_serves_is_refused(node: Node, device: Device) -> None:
    link = await device.present(node)
    await link.send(report(3))
    assert (await link.receive(messages.Nack)).code == "message-unserved"


# One key, two links.


async def test_a_dead_link_gives_way_without_a_word(node: Node, device: Device) -> None:
    old = await device.present(node)
    await alive(old)
    old.ws.transport.pause_reading()
    new = await device.present(node)
    node.advance(6)
    assert await node.audited("device-key-conflict") == 0
    old.ws.transport.resume_reading()
    assert (await old.closed())[0] == 1006
    await alive(new)
    assert node.gateway.presence.is_online(device.id)


async def conflict(node: Node, device: Device, old: LinkEnd) -> LinkEnd:
    """Have a second process with the same key connect while the first is alive."""
    node.advance(1)
    new = await device.present(node)
    node.advance(1)
    await alive(old)
    node.advance(5)
    assert await old.closed() == (1008, "device-key-conflict")
    await settle(node.relay)
    return new


async def test_a_cloned_key_shows_and_does_not_fight_forever(node: Node, device: Device) -> None:
    link = await device.present(node)
    for _ in range(3):
        link = await conflict(node, device, link)
    assert await node.audited("device-key-conflict") == 3
    # The admin sees it, in the list and among the metrics.
    assert node.gateway.figures()["key_conflicts"] == 3
    async with node.relay.db.read() as c:
        found = await list_devices(
            c, node.relay.tenant, query="conflict:true", presence=node.gateway.presence
        )
        others = await list_devices(
            c, node.relay.tenant, query="-conflict:true", presence=node.gateway.presence
        )
    assert [(one.id, one.warning) for one in found] == [(device.id, "device-key-conflict")]
    assert found[0].warning_at == stamp(node.relay.now())
    assert device.id not in {one.id for one in others}
    # From now on the link that is there stays.
    with pytest.raises(ConnectionClosed) as lost:
        await device.dial(node)
    assert lost.value.rcvd is not None
    assert lost.value.rcvd.reason == "device-key-conflict"
    await alive(link)
    # After a while a newcomer is heard again.
    for _ in range(21):
        node.advance(29)
        await alive(link)
    newcomer = await device.dial(node)
    assert newcomer.welcome.standing == "enrolled"


async def test_only_the_newest_link_gets_messages(node: Node, device: Device) -> None:
    old = await device.present(node)
    new = await device.present(node)
    cancel = messages.encode_message(messages.CancelOrder(order="o-1"))
    await node.relay.bus.request(control.device_subject(TENANT, device.id), cancel, timeout_s=5)
    assert (await new.receive(messages.CancelOrder)).order == "o-1"
    await old.close()
    await settle(node.relay)
    # The old one's end does not take the device offline.
    assert node.gateway.presence.is_online(device.id)


# Floods, silence, draining.


async def test_a_flood_without_answers_is_not_read(
    node: Node, device: Device, fleet: Fleet
) -> None:
    link = await device.present(node)
    fleet.gate = asyncio.Event()
    sent = 0

    async def flood() -> None:
        nonlocal sent
        for seq in range(1, 400):
            await link.send(report(seq, 200_000))
            sent = seq

    sending = asyncio.create_task(flood())
    # The relay stops reading; then this socket takes nothing more and the sender stands.
    before = -1
    while before != sent or sent == 0:
        before = sent
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
    assert sent < 100
    limits = node.gateway.links.limits
    assert node.gateway.links.inbound_bytes < limits.inbox_bytes + 2 * limits.message_bytes
    fleet.gate.set()
    await sending
    for seq in range(1, 400):
        assert (await link.receive(messages.Ack)).seq == seq


async def test_too_many_small_messages_are_cut_off(relay: Relay, clock: ManualClock) -> None:
    limits = GatewayLimits(flood_messages=100)
    async with open_node(relay, clock, limits=limits) as node:
        fleet = Fleet()
        fleet.gate = asyncio.Event()
        node.gateway.plug(fleet)
        device = Device()
        await device.enrol(relay)
        link = await device.present(node)
        for seq in range(1000):
            link.ws.protocol.send_binary(messages.encode_message(report(seq)))
        link.ws.transport.write(b"".join(link.ws.protocol.data_to_send()))
        assert await link.closed() == (1008, "link-flooded")
        fleet.gate.set()
        await settle(relay)
        assert node.gateway.links.inbound_bytes == 0


async def test_a_device_that_takes_nothing_in_is_cut_off(node: Node, device: Device) -> None:
    link = await device.present(node)
    await alive(link)
    link.ws.transport.pause_reading()
    offer = messages.OfferOrder(order="o-1", envelope=b"x" * (MAX_BUS_BYTES - 200))
    data = messages.encode_message(offer)
    subject = control.device_subject(TENANT, device.id)

    async def offer_much() -> None:
        for _ in range(100):
            await node.relay.bus.request(subject, data, timeout_s=5)

    with pytest.raises(FarhandError, match="no-responders"):
        await offer_much()
    node.advance(6)
    await settle(node.relay)
    assert not node.gateway.presence.is_online(device.id)
    link.ws.transport.resume_reading()


async def test_pings_without_reading_do_not_fill_the_relay(node: Node, device: Device) -> None:
    link = await device.present(node)
    await alive(link)
    (server_end,) = node.gateway.links._all
    link.ws.transport.pause_reading()
    ping = b"\x89\xfd\0\0\0\0" + b"x" * 125
    for _ in range(400):
        link.ws.transport.write(ping * 500)
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    assert server_end.connection.unsent_bytes < 4 * 1024 * 1024
    link.ws.transport.abort()


async def test_a_silent_link_is_closed_and_a_living_one_is_not(node: Node) -> None:
    dead, living = Device(), Device()
    await dead.enrol(node.relay)
    await living.enrol(node.relay)
    silent, speaking = await dead.present(node), await living.present(node)
    await alive(silent)
    silent.ws.transport.pause_reading()
    for _ in range(5):
        node.advance(25)
        await alive(speaking)
    await settle(node.relay)
    assert not node.gateway.presence.is_online(dead.id)
    assert node.gateway.presence.is_online(living.id)
    silent.ws.transport.resume_reading()


async def test_draining_says_when_to_come_back(node: Node, device: Device) -> None:
    link = await device.present(node)
    await alive(link)
    await node.gateway.drain()
    assert (await link.receive(messages.Reconnect)).window_s >= 1.0
    assert await link.closed() == (1012, "relay-restart")


async def test_the_last_seen_time_goes_out_in_batches(node: Node, device: Device) -> None:
    async def last_seen() -> str | None:
        async with node.relay.db.read() as c:
            seen: str | None = await c.scalar(select(devices.c.last_seen))
            return seen

    link = await device.present(node)
    await alive(link)
    assert await last_seen() is None
    assert await node.gateway.presence.flush() == 1
    assert await last_seen() == node.relay.stamp()
    node.clock.advance(1000)
    await link.close()
    await settle(node.relay)
    assert await node.gateway.presence.flush() == 1
    assert await last_seen() == node.relay.stamp()
    assert await node.gateway.presence.flush() == 0


async def test_nodes_know_of_each_others_devices(node: Node, device: Device) -> None:
    async def told(note: control.Note) -> None:
        await node.relay.bus.publish(control.nodes_subject(TENANT), control.encode(note))
        await settle(node.relay)

    presence = node.gateway.presence
    heard: list[control.Note] = []

    async def listen(data: bytes) -> None:
        heard.append(control.decode_note(data))

    subscription = await node.relay.bus.subscribe(control.nodes_subject(TENANT), listen)
    await told(control.Here(node="other", devices=["d-1", "d-2"]))
    assert presence.is_online("d-1")
    await told(control.Gone(node="other", devices=["d-1"]))
    assert not presence.is_online("d-1")
    await told(control.Beat(node="other", count=1))
    assert presence.is_online("d-2")
    # A note was lost: the other node has more devices than this one heard of.
    await told(control.Beat(node="other", count=5))
    assert control.Join(node=presence.node, asked="other") in heard
    await told(control.Here(node="other", devices=["d-7"]))
    node.clock.advance(36)
    presence.forget_silent()
    assert not presence.is_online("d-7")
    # Asked by another node, this one tells who is here.
    link = await device.present(node)
    await alive(link)
    heard.clear()
    await told(control.Join(node="other", asked=presence.node))
    assert control.Here(node=presence.node, devices=[device.id]) in heard
    await subscription.close()


async def test_many_that_come_at_once_are_told_together(node: Node) -> None:
    heard: list[control.Note] = []

    async def listen(data: bytes) -> None:
        heard.append(control.decode_note(data))

    subscription = await node.relay.bus.subscribe(control.nodes_subject(TENANT), listen)
    announcer = node.gateway._announcer
    for number in range(1_200):
        announcer.came(f"d-{number}")
    announcer.went("d-7")
    await settle(node.relay)
    told = {
        name: isinstance(note, control.Here)
        for note in heard
        if isinstance(note, control.Here | control.Gone)
        for name in note.devices
    }
    assert len(heard) == 4
    assert len(told) == 1_200
    assert [name for name, is_here in told.items() if not is_here] == ["d-7"]
    await subscription.close()
