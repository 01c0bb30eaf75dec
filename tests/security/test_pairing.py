"""Codes under a hostile relay: it carries the pairing and can neither read, change nor join it.

Device and console are the real ones; the relay swaps, flips, repeats and lies in between.  A try
that fails burns the code: no session, no receipt, and a stable code at both ends.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from farhand_console.trust.devices import pins
from farhand_protocol.codes import ALPHABET, parse_code
from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import ConsoleRequest, Decision, DeviceOffer, Grant
from farhand_protocol.identity import device_id, make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import MailboxOpen
from farhand_protocol.pairing import ConsolePairing, canonical_origin
from farhand_protocol.tokens import Token
from tests.security.conftest import MakeDevice
from tests.support.hostile_console import Console
from tests.support.hostile_devices import COMMAND, Device, Program, code_shown, running_program
from tests.support.hostile_organisation import HostileOrganisation, now, signer
from tests.support.hostile_relay import Direction, HostileRelay

pytestmark = pytest.mark.asyncio(loop_scope="module")

BO_SEED = os.urandom(32)


@pytest.fixture(scope="module")
def console(
    relay: HostileRelay,
    organisation: HostileOrganisation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Console:
    """bo's console."""
    organisation.boss = SeedSigner(BO_SEED)
    bo = organisation.roster.find("bo")
    assert bo is not None
    bo.keys[:] = [organisation.boss.public_key]
    organisation.publish()
    return Console(relay, tmp_path_factory.mktemp("console") / "bo", "bo", BO_SEED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def paired(make_device: MakeDevice, console: Console) -> Device:
    """An enrolled device that knows bo's key."""
    assert console.settings.account == "bo"
    return await make_device()


@pytest.fixture(autouse=True)
def honest_again(relay: HostileRelay) -> None:
    """Begin with an honest relay."""
    relay.mailbox = lambda way, phase, body: body
    relay.claim = lambda opened: opened
    relay.device_answer = lambda told: told
    relay.operator, relay.ticket = "bo", "FH-1"


@asynccontextmanager
async def showing(device: Device, *options: str) -> AsyncIterator[tuple[Program, str]]:
    """Run `farhand-agent code --yes` and yield it with its code."""
    async with device.code("--yes", *options) as program:
        code, _ = await code_shown(program)
        yield program, code


async def came_to_nothing(device: Device, program: Program, reason: str, status: int) -> None:
    """The code command must end without a session, and say why."""
    assert await program.wait() == status
    refused = [one for one in program.events if one["event"] == "refused"]
    assert [one["reason"] for one in refused] == [reason], (program.events, program.lines)
    no_session(device, program)


def no_session(device: Device, program: Program) -> None:
    """Nothing was opened, asked or journalled, and no receipt was written."""
    seen = {one["event"] for one in program.events}
    assert not seen & {"request", "session", "end"}, program.events
    granted = {one["session"] for one in device.logged("session-granted")}
    told = {link.session for link in device.relay.links[-1:]}
    assert not granted & told
    assert not {path.stem for path in device.home.receipts.iterdir()} & told


async def failing(work: Any) -> str:
    with pytest.raises(FarhandError) as caught:
        await work
    return caught.value.code


def flipped(body: bytes, at: int) -> bytes:
    """Return the body with one bit changed."""
    changed = bytearray(body)
    changed[at] ^= 1
    return bytes(changed)


# Swapping and flipping what it carries.

Lie = Callable[[Direction, str, bytes], bytes]


def flip(way: Direction, phase: str, at: int) -> Lie:
    return lambda w, p, body: flipped(body, at) if (w, p) == (way, phase) else body


def swapped_point(way: Direction) -> Lie:
    """Put a valid SPAKE2 message of the relay's own in the place of a side's."""
    mine = ConsolePairing("http://127.0.0.1:1", "4001", "222222", entropy=os.urandom).send_pake()

    def lie(w: Direction, phase: str, body: bytes) -> bytes:
        if (w, phase) != (way, "pake"):
            return body
        # Side B's point under side A's label: an element of the same group.
        return mine if way == "to-device" else body[:2] + mine[2:34]

    return lie


LIES: dict[str, tuple[Lie, str, str, int]] = {
    "the-consoles-spake2-message-swapped": (
        swapped_point("to-device"), "code-wrong", "code-wrong", 1,
    ),
    "the-devices-spake2-message-swapped": (
        swapped_point("to-console"), "code-wrong", "code-wrong", 1,
    ),
    "the-consoles-commitment-flipped": (
        flip("to-device", "pake", 40), "code-wrong", "code-wrong", 1,
    ),
    "the-consoles-proof-flipped": (flip("to-device", "confirm", 63), "code-wrong", "code-wrong", 1),
    "the-consoles-opening-flipped": (
        flip("to-device", "confirm", 0), "code-wrong", "code-wrong", 1,
    ),
    "the-devices-proof-flipped": (
        flip("to-console", "confirm", 10), "code-wrong", "pairing-malformed", 1,
    ),
    "the-sealed-offer-flipped": (
        flip("to-console", "confirm", -1), "pairing-malformed", "pairing-malformed", 1,
    ),
    "the-sealed-request-flipped": (
        flip("to-device", "request", 5), "pairing-malformed", "pairing-malformed", 1,
    ),
    "the-request-replaced-by-nothing": (
        lambda w, p, body: b"" if (w, p) == ("to-device", "request") else body,
        "pairing-malformed", "pairing-malformed", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_a_changed_pairing_burns_the_code(
    lie: str, relay: HostileRelay, paired: Device, console: Console
) -> None:
    relay.mailbox, at_console, at_device, status = LIES[lie]
    async with showing(paired) as (program, code):
        assert await failing(console.by_code(code)) == at_console
        if at_device == "pairing-malformed" and relay.find("session") is not None:
            # The console fell silent first; the relay may end it, or the device does by itself.
            link = relay.find("session")
            assert link is not None
            await link.connection.close()
            assert await program.wait() == 1
            no_session(paired, program)
            return
        await came_to_nothing(paired, program, at_device, status)


async def test_a_relay_that_guesses_the_secret_has_one_try(
    relay: HostileRelay, paired: Device
) -> None:
    async with showing(paired) as (program, code):
        nameplate, secret = parse_code(code)
        wrong = "".join(ALPHABET[(ALPHABET.index(one) + 1) % len(ALPHABET)] for one in secret)
        guess = ConsolePairing(canonical_origin(relay.url), nameplate, wrong, entropy=os.urandom)
        opened = await relay.claim_code(nameplate)
        reply = await relay.ask_device(opened.session, "pake", guess.send_pake())
        proof = guess.receive_pake(reply.body)
        reply = await relay.ask_device(opened.session, "confirm", proof)
        assert (reply.body, reply.error) == (b"", "code-wrong")
        await came_to_nothing(paired, program, "code-wrong", 1)


@pytest.mark.parametrize(
    "steps",
    [["confirm"], ["request"], ["pake", "pake"], ["pake", "request"], ["other"]],
    ids=lambda steps: "-".join(steps),
)
async def test_steps_out_of_order_burn_the_code(
    steps: list[str], relay: HostileRelay, paired: Device
) -> None:
    async with showing(paired) as (program, code):
        nameplate, secret = parse_code(code)
        mine = ConsolePairing(canonical_origin(relay.url), nameplate, secret, entropy=os.urandom)
        pake = mine.send_pake()
        opened = await relay.claim_code(nameplate)
        for step in steps[:-1]:
            assert not (await relay.ask_device(opened.session, step, pake)).error
        reply = await relay.ask_device(opened.session, steps[-1], pake)
        assert reply.error == "pairing-malformed"
        await came_to_nothing(paired, program, "pairing-malformed", 1)


async def test_a_sealed_blob_replayed_is_refused(
    relay: HostileRelay, paired: Device, console: Console
) -> None:
    """The relay answers the console's request with the device's earlier sealed offer."""
    kept: list[bytes] = []

    def replay(way: Direction, phase: str, body: bytes) -> bytes:
        if (way, phase) == ("to-console", "confirm"):
            kept.append(msgspec.msgpack.decode(body)[1])
        return kept[0] if (way, phase) == ("to-console", "request") else body

    relay.mailbox = replay
    async with showing(paired) as (program, code):
        assert await failing(console.by_code(code)) == "pairing-malformed"
        # The device did decide; nobody can use the session without the console's key.
        session = (await program.event("session"))["session"]
        assert not (console.home.folder / "sessions" / session).exists()


# Lying about who and what.


async def test_the_device_shows_the_rosters_name_and_not_the_relays(
    relay: HostileRelay, paired: Device, console: Console
) -> None:
    relay.claim = lambda opened: msgspec.structs.replace(
        opened, operator="Your Bank", organisation="Bank", ticket="FH-999"
    )
    async with showing(paired) as (program, code):
        record = await console.by_code(code)
        asked = await program.event("request")
        assert (asked["operator"], asked["organisation"]) == ("bo", "Example Support")
        assert asked["ticket"] == record.ticket == "FH-1"
        assert asked["words"] == record.words
        assert "Bank" not in str(program.events)
        assert not any("Bank" in line for line in program.lines)
        granted = paired.logged("session-granted")[-1]
        assert (granted["operator"], granted["ticket"]) == ("bo", "FH-1")


async def test_another_ticket_than_the_consoles_is_not_signed(
    relay: HostileRelay, paired: Device, console: Console
) -> None:
    """What the relay names as ticket in its answer ends up in the grant that the operator signs,
    and is what the person at the device is shown: both sides see the same."""
    relay.ticket = "FH-777"
    async with showing(paired) as (program, code):
        record = await console.by_code(code)
        asked = await program.event("request")
        assert asked["ticket"] == record.ticket


async def test_a_session_joined_to_another_ones_id_is_refused(
    relay: HostileRelay, paired: Device, console: Console
) -> None:
    """The relay tells the device one session id and the console another."""
    first: list[MailboxOpen] = []
    real = relay.claim_code

    async def two_ids(nameplate: str, session: str | None = None) -> MailboxOpen:
        opened = await real(nameplate)
        first.append(opened)
        return msgspec.structs.replace(opened, session=make_id("s", os.urandom(16)))

    async def to_the_first(session: str, phase: str, body: bytes) -> Any:
        return await ask(first[0].session, phase, body)

    ask = relay.ask_device
    relay.claim_code, relay.ask_device = two_ids, to_the_first  # type: ignore[method-assign]
    try:
        async with showing(paired) as (program, code):
            assert await failing(console.by_code(code)) == "pairing-malformed"
            assert not [one for one in program.events if one["event"] == "session"]
    finally:
        del relay.claim_code, relay.ask_device


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ("another-key", "device-unverified"),
        ("another-name", "device-unverified"),
        ("another-group", ""),
        ("made-up-enrolment", "device-unverified"),
        ("no-token-of-an-admin", "device-unconfirmed"),
        ("a-token-of-the-relay", "device-unconfirmed"),
    ],
)
async def test_a_made_up_device_is_not_believed(
    lie: str, code: str, relay: HostileRelay, console: Console, paired: Device
) -> None:
    """The console verifies devices by what admins and devices signed."""
    made_up = signer()

    def change(told: dict[str, Any]) -> dict[str, Any]:
        if lie == "another-key":
            return told | {"key": made_up.public_key}
        if lie == "another-name":
            return told | {"name": "the-boss"}
        if lie == "another-group":
            return told | {"group": "servers"}
        if lie == "made-up-enrolment":
            mine = {"key": made_up.public_key, "id": device_id(made_up.public_key)}
            return told | mine
        if lie == "a-token-of-the-relay":
            token = open_payload(decode_envelope(told["token_envelope"]), Token)
            return told | {"token_envelope": encode_envelope(seal(token, relay.key))}
        return told | {"token_envelope": None}

    relay.device_answer = change
    before = dict(pins(console.home))
    async with showing(paired) as (program, shown):
        if not code:
            # The group that counts is the signed one, whatever the relay says.
            record = await console.by_code(shown)
            assert open_payload(decode_envelope(record.grant), Grant).group == "default"
        else:
            assert await failing(console.by_code(shown)) == code
            assert pins(console.home) == before
            assert not [one for one in program.events if one["event"] == "session"]


# A code that the relay's accomplice was told: the roster still decides.


class Accomplice:
    """Somebody who knows the code and speaks the protocol, but is no operator."""

    def __init__(self, relay: HostileRelay, device: Device, code: str) -> None:
        self.relay, self.device = relay, device
        self.nameplate, secret = parse_code(code)
        self.pairing = ConsolePairing(
            canonical_origin(relay.url), self.nameplate, secret, entropy=os.urandom
        )
        self.session = ""
        self.offer: DeviceOffer | None = None

    async def pair(self) -> None:
        opened = await self.relay.claim_code(self.nameplate)
        self.session = opened.session
        reply = await self.relay.ask_device(self.session, "pake", self.pairing.send_pake())
        reply = await self.relay.ask_device(
            self.session, "confirm", self.pairing.receive_pake(reply.body)
        )
        proof, sealed = msgspec.msgpack.decode(reply.body, type=tuple[bytes, bytes])
        self.pairing.receive_confirm(proof)
        self.offer = msgspec.msgpack.decode(self.pairing.open(sealed), type=DeviceOffer)

    def grant(self, key: SeedSigner, **fields: Any) -> Grant:
        assert self.offer is not None
        values: dict[str, Any] = {
            "tenant": self.offer.tenant,
            "id": self.session,
            "device": self.offer.device,
            "host_name": self.offer.host_name,
            "group": self.offer.group,
            "operator": "bo",
            "operator_key": key.public_key,
            "organisation": "Example Support",
            "ticket": "FH-1",
            "reason": "",
            "scopes": ["terminal"],
            "forward": [],
            "minutes": 30,
            "console_key": signer().public_key,
            "transcript": self.pairing.transcript,
            "targets_version": 1,
            "issued_at": format_instant(now()),
            "not_before": format_instant(now() - timedelta(minutes=5)),
            "expires": format_instant(now() + timedelta(hours=1)),
        }
        return Grant(**values | fields)

    async def ask(self, envelope: bytes) -> Decision:
        request = ConsoleRequest(grant=envelope, console_version="0")
        reply = await self.relay.ask_device(
            self.session, "request", self.pairing.seal(msgspec.msgpack.encode(request))
        )
        assert not reply.error, reply
        return msgspec.msgpack.decode(self.pairing.open(reply.body), type=Decision)


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        ("as-nobody", "grant-operator-unknown"),
        ("as-bo-with-another-key", "grant-operator-unknown"),
        ("with-the-relay-key", "grant-operator-unknown"),
        ("signed-by-another", "grant-signature"),
        ("over-another-transcript", "grant-transcript"),
        ("without-a-transcript", "grant-transcript"),
        ("by-an-operator-without-sessions", "grant-not-permitted"),
        ("for-another-device", "grant-wrong-device"),
        ("expired", "grant-expired"),
    ],
)
async def test_knowing_the_code_is_not_enough(
    attempt: str, code: str, relay: HostileRelay, paired: Device, organisation: HostileOrganisation
) -> None:
    eve, bo = signer(), organisation.boss
    async with showing(paired) as (program, shown):
        one = Accomplice(relay, paired, shown)
        await one.pair()
        if attempt == "as-nobody":
            sealed = seal(one.grant(eve, operator="eve"), eve)
        elif attempt == "as-bo-with-another-key":
            sealed = seal(one.grant(eve), eve)
        elif attempt == "with-the-relay-key":
            sealed = seal(one.grant(relay.key), relay.key)
        elif attempt == "signed-by-another":
            sealed = seal(one.grant(bo), eve)
        elif attempt == "over-another-transcript":
            sealed = seal(one.grant(bo, transcript=os.urandom(32)), bo)
        elif attempt == "without-a-transcript":
            sealed = seal(one.grant(bo, transcript=None), bo)
        elif attempt == "by-an-operator-without-sessions":
            sealed = seal(one.grant(organisation.low, operator="low"), organisation.low)
        elif attempt == "for-another-device":
            sealed = seal(one.grant(bo, device="d-" + "a" * 26), bo)
        else:
            times = {"expires": format_instant(now() - timedelta(minutes=1))}
            sealed = seal(one.grant(bo, **times), bo)
        decision = await one.ask(encode_envelope(sealed))
        assert (decision.granted, decision.code) == (False, code)
        # The person was not even asked.
        assert not [event for event in program.events if event["event"] == "request"]
        assert await program.wait() == 3


# A guest device: the relay's word about the name, and no more than that.


async def test_a_guest_is_told_that_the_name_is_the_relays_word(
    relay: HostileRelay, console: Console, tmp_path: Path
) -> None:
    words = (*COMMAND, "code", "--home", str(tmp_path / "guest"), "--json", "--yes")
    async with running_program(*words, "--url", relay.url) as program:
        code, _ = await code_shown(program)
        record = await console.by_code(code)
        asked = await program.event("request")
        assert asked["guest"] is True
        assert asked["words"] == record.words
        assert any("relay" in line.lower() for line in program.lines)


async def test_a_relay_that_names_somebody_else_to_a_guest_is_refused(
    relay: HostileRelay, console: Console, tmp_path: Path
) -> None:
    relay.operator = "The Boss"
    words = (*COMMAND, "code", "--home", str(tmp_path / "guest"), "--json", "--yes")
    async with running_program(*words, "--url", relay.url) as program:
        code, _ = await code_shown(program)
        assert await failing(console.by_code(code)) == "grant-name-mismatch"
        assert await program.wait() == 3
        assert not [event for event in program.events if event["event"] == "request"]
