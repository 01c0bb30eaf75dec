"""Pairing: both ends agree, and everything else burns the code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farhand_protocol import pairing
from farhand_protocol.errors import FarhandError
from farhand_protocol.pairing import (
    MAX_SEALED_BYTES,
    ConsolePairing,
    DevicePairing,
    canonical_origin,
)
from tests.protocol.samples import entropy

ORIGIN, NAMEPLATE, SECRET = "https://relay.example", "4071", "H7M3QX"


def ends(
    *, secret: str = SECRET, origin: str = ORIGIN, nameplate: str = NAMEPLATE
) -> tuple[DevicePairing, ConsolePairing]:
    """Return a device with the right code and a console that believes in these values."""
    return (
        DevicePairing(ORIGIN, NAMEPLATE, SECRET, entropy=entropy("d")),
        ConsolePairing(origin, nameplate, secret, entropy=entropy("c")),
    )


def paired() -> tuple[DevicePairing, ConsolePairing]:
    device, console = ends()
    console.receive_confirm(
        device.receive_confirm(console.receive_pake(device.receive_pake(console.send_pake())))
    )
    return device, console


def fails(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(FarhandError) as caught:
        call()
    assert caught.value.code == code


def test_both_ends_agree() -> None:
    device, console = paired()
    assert device.transcript == console.transcript
    assert len(device.transcript) == 32
    assert device.words == console.words
    assert len(device.words) == 4
    for text in (b"", b"one", b"two" * 1000):
        assert console.open(device.seal(text)) == text
        assert device.open(console.seal(text)) == text
    assert not device.burned
    assert not console.burned


def test_the_secret_may_be_typed_in_any_case_and_the_address_with_a_path() -> None:
    device, console = ends(secret=SECRET.lower(), origin="HTTPS://Relay.Example:443/api")
    device.receive_confirm(console.receive_pake(device.receive_pake(console.send_pake())))
    assert not device.burned


@pytest.mark.parametrize(
    "wrong",
    [{"secret": "H7M3QW"}, {"origin": "https://other.example"}, {"nameplate": "4072"}],
)
def test_a_wrong_guess_burns_the_code_at_the_device(wrong: dict[str, str]) -> None:
    device, console = ends(**wrong)
    proof = console.receive_pake(device.receive_pake(console.send_pake()))
    fails("code-wrong", lambda: device.receive_confirm(proof))
    assert device.burned
    for call in (
        lambda: device.receive_confirm(proof),
        lambda: device.receive_pake(proof),
        lambda: device.seal(b""),
        lambda: device.open(b""),
        lambda: device.transcript,
        lambda: device.words,
    ):
        fails("code-burned", call)


def test_a_device_that_does_not_know_the_code_is_found_out() -> None:
    device, console = ends()
    console.receive_pake(device.receive_pake(console.send_pake()))
    fails("code-wrong", lambda: console.receive_confirm(bytes(32)))
    assert console.burned
    fails("code-burned", lambda: console.send_pake())


def test_the_console_cannot_open_another_commitment() -> None:
    device, console = ends()
    sent = console.send_pake()
    forged = sent[:34] + bytes(32)
    # The console goes on as if it had sent the forged message itself.
    console._mine = forged
    proof = console.receive_pake(device.receive_pake(forged))
    fails("pairing-malformed", lambda: device.receive_confirm(proof))
    assert device.burned


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01",
        bytes(66),
        b"\x01B" + bytes(64),
        b"\x01A" + bytes([1]) + bytes(63),
        b"\x01B" + bytes([1]) + bytes(63),
        b"\x01Z" + bytes([9]) + bytes(63),
        b"\x01B" + b"\x02" + bytes(63),
        b"\x02B" + bytes([9]) + bytes(63),
        bytes(67),
    ],
    ids=lambda body: body[:3].hex() or "empty",
)
def test_a_malformed_first_message_burns_the_code(body: bytes) -> None:
    device, console = ends()
    fails("pairing-malformed", lambda: device.receive_pake(body))
    assert device.burned
    console.send_pake()
    fails("pairing-malformed", lambda: console.receive_pake(body[:34]))
    assert console.burned


def test_a_reflected_message_burns_the_code() -> None:
    _, console = ends()
    sent = console.send_pake()
    fails("pairing-malformed", lambda: console.receive_pake(b"\x01A" + sent[2:34]))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_proof_of_a_wrong_length_burns_the_code(length: int) -> None:
    device, console = ends()
    console.receive_pake(device.receive_pake(console.send_pake()))
    fails("pairing-malformed", lambda: device.receive_confirm(bytes(length)))
    fails("pairing-malformed", lambda: console.receive_confirm(bytes(length)))


def test_steps_out_of_order_burn_the_code() -> None:
    device, console = ends()
    fails("pairing-malformed", lambda: device.receive_confirm(bytes(64)))
    fails("pairing-malformed", lambda: console.receive_pake(bytes(34)))
    device, console = ends()
    sent = console.send_pake()
    device.receive_pake(sent)
    fails("pairing-malformed", lambda: device.receive_pake(sent))
    fails("pairing-malformed", lambda: console.send_pake())
    device, console = ends()
    fails("pairing-malformed", lambda: device.seal(b""))
    fails("pairing-malformed", lambda: console.open(bytes(16)))


def test_nothing_is_read_before_the_peer_proved_itself() -> None:
    device, console = ends()
    with pytest.raises(ValueError, match="proved"):
        _ = device.transcript
    console.receive_pake(device.receive_pake(console.send_pake()))
    with pytest.raises(ValueError, match="proved"):
        _ = console.words
    assert not console.burned


def test_blobs_open_once_in_order_and_in_their_direction() -> None:
    device, console = paired()
    first, second = device.seal(b"1"), device.seal(b"2")
    fails("pairing-malformed", lambda: console.open(second))
    device, console = paired()
    first = device.seal(b"1")
    console.open(first)
    fails("pairing-malformed", lambda: console.open(first))
    device, console = paired()
    fails("pairing-malformed", lambda: device.open(device.seal(b"1")))


@pytest.mark.parametrize("body", [b"", bytes(15), bytes(16), bytes(MAX_SEALED_BYTES + 17)])
def test_a_blob_of_a_wrong_shape_burns(body: bytes) -> None:
    _, console = paired()
    fails("pairing-malformed", lambda: console.open(body))
    assert console.burned


def test_the_largest_blob_is_carried_and_a_larger_one_is_our_bug() -> None:
    device, console = paired()
    assert len(console.open(device.seal(bytes(MAX_SEALED_BYTES)))) == MAX_SEALED_BYTES
    with pytest.raises(ValueError, match="cannot be sent"):
        device.seal(bytes(MAX_SEALED_BYTES + 1))


def test_a_man_in_the_middle_who_knows_the_code_shows_in_the_words() -> None:
    device, console = ends()
    towards_device, towards_console = (
        ConsolePairing(ORIGIN, NAMEPLATE, SECRET, entropy=entropy("m1")),
        DevicePairing(ORIGIN, NAMEPLATE, SECRET, entropy=entropy("m2")),
    )
    for left, right in ((device, towards_device), (towards_console, console)):
        right.receive_confirm(
            left.receive_confirm(right.receive_pake(left.receive_pake(right.send_pake())))
        )
    assert device.words != console.words
    assert device.transcript != console.transcript


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Relay.Example/", "https://relay.example"),
        ("https://relay.example:443", "https://relay.example"),
        ("http://127.0.0.1:8443/x?y", "http://127.0.0.1:8443"),
        ("http://relay:80", "http://relay"),
        ("http://relay:443", "http://relay:443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        (" relay ", "relay"),
        ("https://relay:99999", "https://relay:99999"),
        ("https://", "https://"),
    ],
)
def test_an_address_has_one_spelling(url: str, origin: str) -> None:
    assert canonical_origin(url) == origin


def test_the_password_is_forgotten_once_it_is_used() -> None:
    device, console = paired()
    assert device._password == console._password == b""
    assert pairing.VERSION == 1
