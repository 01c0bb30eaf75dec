"""The link handshake and the frame that opens a pipe."""

from __future__ import annotations

import pytest

from farhand_protocol import frames
from farhand_protocol.errors import RemoteError
from farhand_protocol.keys import verify
from farhand_protocol.link import (
    CHALLENGE_BYTES,
    HELLO_BYTES,
    PROOF_BYTES,
    ROLES,
    DeviceHandshake,
    RelayHandshake,
    Role,
)
from tests.protocol.samples import DEVICE, DEVICE_KEY, TENANT, seed, signer

RELAY = signer("relay")


def ends(
    role: Role = "device", *, pinned: bytes | None = RELAY.public_key, tenant: str = TENANT
) -> tuple[DeviceHandshake, RelayHandshake]:
    return (
        DeviceHandshake(role, tenant, DEVICE_KEY, pinned, nonce=seed("n1")),
        RelayHandshake(RELAY.public_key, nonce=seed("n2")),
    )


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("tenant", ["", TENANT, "x" * 32])
def test_both_sides_prove_their_keys(role: Role, tenant: str) -> None:
    device, relay = ends(role, tenant=tenant)
    challenge = relay.challenge(RELAY.sign(relay.receive_hello(device.hello())))
    assert len(device.hello()) == HELLO_BYTES
    assert len(challenge) == CHALLENGE_BYTES
    key, signature, message = device.receive_challenge(challenge)
    assert key == device.relay_key == RELAY.public_key
    assert verify(key, signature, message)
    proof = signer("device").sign(device.message_to_sign())
    assert len(proof) == PROOF_BYTES
    key, signature, message = relay.receive_proof(proof)
    assert key == DEVICE_KEY
    assert verify(key, signature, message)
    assert (relay.role, relay.tenant, relay.device) == (role, tenant, DEVICE)


def test_a_guest_takes_the_key_it_is_told() -> None:
    device, relay = ends(pinned=None, tenant="")
    device.receive_challenge(relay.challenge(RELAY.sign(relay.receive_hello(device.hello()))))
    assert device.relay_key == RELAY.public_key


def test_another_relay_key_is_refused() -> None:
    device, relay = ends(pinned=signer("other").public_key)
    relay.receive_hello(device.hello())
    with pytest.raises(RemoteError, match="relay-key-mismatch"):
        device.receive_challenge(relay.challenge(bytes(64)))
    with pytest.raises(ValueError, match="challenge"):
        device.message_to_sign()


def test_the_signatures_cover_both_nonces_and_are_not_each_others() -> None:
    device, relay = ends()
    message = relay.receive_hello(device.hello())
    device.receive_challenge(relay.challenge(RELAY.sign(message)))
    other_device, other_relay = ends()
    other_relay._nonce = seed("n3")
    assert other_relay.receive_hello(other_device.hello()) != message
    assert device.message_to_sign() != message


HELLO = ends()[0].hello()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "handshake-malformed"),
        (HELLO[:-1], "handshake-malformed"),
        (HELLO + b"x", "handshake-malformed"),
        (b"XXXX" + HELLO[4:], "handshake-malformed"),
        (HELLO[:4] + b"\x02" + HELLO[5:], "handshake-version"),
        (HELLO[:5] + b"\x03" + HELLO[6:], "handshake-malformed"),
        (HELLO[:6] + b"\x21" + HELLO[7:], "handshake-malformed"),
        (HELLO[:6] + b"\x02" + HELLO[7:], "handshake-malformed"),
        (HELLO[:7] + b"\xe9" + HELLO[8:], "handshake-malformed"),
        (HELLO[:7] + b"\x1b" + HELLO[8:], "handshake-malformed"),
        (HELLO[:7] + b"\x00" + HELLO[8:], "handshake-malformed"),
    ],
)
def test_a_bad_hello_fails_the_handshake_for_good(frame: bytes, code: str) -> None:
    relay = ends()[1]
    with pytest.raises(RemoteError, match=code):
        relay.receive_hello(frame)
    with pytest.raises(RemoteError, match="handshake-malformed"):
        relay.receive_hello(HELLO)


def test_frames_come_once_and_in_order() -> None:
    device, relay = ends()
    with pytest.raises(RemoteError, match="handshake-malformed"):
        relay.receive_proof(bytes(PROOF_BYTES))
    device, relay = ends()
    relay.receive_hello(HELLO)
    with pytest.raises(RemoteError, match="handshake-malformed"):
        relay.receive_hello(HELLO)
    device, relay = ends()
    relay.receive_hello(HELLO)
    challenge = relay.challenge(bytes(64))
    device.receive_challenge(challenge)
    with pytest.raises(RemoteError, match="handshake-malformed"):
        device.receive_challenge(challenge)
    relay.receive_proof(bytes(PROOF_BYTES))
    with pytest.raises(RemoteError, match="handshake-malformed"):
        relay.receive_proof(bytes(PROOF_BYTES))


@pytest.mark.parametrize("length", [0, PROOF_BYTES - 1, PROOF_BYTES + 1])
def test_frames_of_a_wrong_length_are_refused(length: int) -> None:
    device, relay = ends()
    relay.receive_hello(HELLO)
    relay.challenge(bytes(64))
    with pytest.raises(RemoteError, match="handshake-malformed"):
        relay.receive_proof(bytes(length))
    with pytest.raises(RemoteError, match="handshake-malformed"):
        device.receive_challenge(bytes(length))
    with pytest.raises(RemoteError, match="handshake-malformed"):
        device.receive_challenge(bytes(CHALLENGE_BYTES))


def test_our_own_bugs_are_value_errors() -> None:
    for tenant in ("x" * 33, "\u00e9"):
        with pytest.raises(ValueError, match=r".+"):
            ends(tenant=tenant)
    with pytest.raises(ValueError, match="32 bytes"):
        DeviceHandshake("device", "", b"short", None, nonce=bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        RelayHandshake(bytes(32), nonce=b"")
    with pytest.raises(ValueError, match="hello"):
        ends()[1].challenge(bytes(64))
    relay = ends()[1]
    relay.receive_hello(HELLO)
    with pytest.raises(ValueError, match="wrong length"):
        relay.challenge(b"")


# The pipe's first frame.

SESSION, TOKEN = "s-aaaaaaaaaaaaaaaa", bytes(range(16))
ATTACH = frames.write_attach("console", SESSION, TOKEN)


@pytest.mark.parametrize("side", ["device", "console"])
def test_an_attachment_comes_back_as_it_was(side: frames.Side) -> None:
    frame = frames.write_attach(side, SESSION, TOKEN)
    assert len(frame) == frames.ATTACH_BYTES
    assert frames.parse_attach(frame) == (side, SESSION, TOKEN)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        ATTACH[:-1],
        ATTACH + b"x",
        b"FHLK" + ATTACH[4:],
        ATTACH[:4] + b"\x02" + ATTACH[5:],
        ATTACH[:5] + b"\x02" + ATTACH[6:],
        ATTACH[:6] + b"d" + ATTACH[7:],
        ATTACH[:6] + b"\xff" + ATTACH[7:],
        ATTACH[:6] + bytes(38) + TOKEN,
        ATTACH[:30] + b"\0a" + ATTACH[32:],
    ],
)
def test_anything_else_attaches_nothing(frame: bytes) -> None:
    with pytest.raises(RemoteError, match="attach-malformed"):
        frames.parse_attach(frame)


def test_the_answer_is_yes_or_no() -> None:
    frames.parse_attach_reply(frames.write_attach_reply(True))
    with pytest.raises(RemoteError, match="attach-refused"):
        frames.parse_attach_reply(frames.write_attach_reply(False))
    for frame in (b"", b"FHPP\x01\x02", b"FHPP\x02\x00"):
        with pytest.raises(RemoteError, match="attach-malformed"):
            frames.parse_attach_reply(frame)


def test_what_cannot_be_attached_is_our_bug() -> None:
    for session, token in (("s" * 39, TOKEN), (SESSION, b""), ("\u00e9", TOKEN)):
        with pytest.raises(ValueError, match=r".+"):
            frames.write_attach("device", session, token)
