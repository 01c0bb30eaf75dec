"""Ids, keys and points in time."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from spake2 import ed25519_basic as curve

from farhand_protocol import identity
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix, parse_instant
from farhand_protocol.keys import SeedSigner, verify
from tests.protocol.samples import DEVICE, DEVICE_KEY, seed, signer

LINE = identity.public_key_line(DEVICE_KEY, "desk-7")


def test_ids_have_their_shape() -> None:
    assert identity.is_device_id(DEVICE)
    assert not identity.is_device_id(DEVICE + "\n")
    session = identity.make_id("s", bytes(10))
    assert session == "s-aaaaaaaaaaaaaaaa"
    assert identity.is_session_id(session)
    assert identity.is_session_id(identity.make_id("s", bytes(16)))
    assert not identity.is_session_id(session.upper())
    for size in (9, 17):
        with pytest.raises(ValueError, match="10 to 16"):
            identity.make_id("s", bytes(size))


def test_keys_read_as_openssh_writes_them() -> None:
    key = load_ssh_public_key(LINE.encode())
    assert key.public_bytes_raw() == DEVICE_KEY  # type: ignore[union-attr]
    assert identity.parse_public_key_line(LINE + "\n") == DEVICE_KEY
    assert identity.parse_public_key_line(identity.public_key_line(DEVICE_KEY)) == DEVICE_KEY
    assert identity.key_fingerprint(DEVICE_KEY).startswith("SHA256:")
    assert len(identity.key_id(DEVICE_KEY)) == 64


def test_a_comment_cannot_start_a_line_of_its_own() -> None:
    line = identity.public_key_line(DEVICE_KEY, "x\nssh-ed25519 AAAA \x1b[2J")
    assert line.endswith(" x?ssh-ed25519 AAAA ?[2J")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        LINE.replace("ssh-ed25519 ", "ssh-rsa "),
        LINE + "\n" + LINE,
        "ssh-ed25519 !!!!",
        "ssh-ed25519 \u00e9",
        "ssh-ed25519 " + base64.b64encode(bytes(51)).decode(),
        "ssh-ed25519 " + base64.b64encode(bytes(50)).decode(),
        LINE.split()[0] + " " + LINE.split()[1][:-4],
    ],
)
def test_anything_else_is_no_key(line: str) -> None:
    with pytest.raises(FarhandError, match="key-malformed"):
        identity.parse_public_key_line(line)


def test_a_key_has_32_bytes() -> None:
    for call in (identity.device_id, identity.public_key_line, identity.key_fingerprint):
        with pytest.raises(FarhandError, match="key-malformed"):
            call(b"short")


def test_signatures() -> None:
    by = signer("device")
    signature = by.sign(b"text")
    assert verify(by.public_key, signature, b"text")
    assert not verify(by.public_key, signature, b"tex")
    assert not verify(by.public_key, signature[:-1], b"text")
    assert not verify(by.public_key[:-1], signature, b"text")
    assert not verify(b"\x02" + bytes(31), signature, b"text")
    assert repr(SeedSigner(seed("device"))) == "SeedSigner(hidden)"


def small_order_keys() -> list[bytes]:
    """Return every encoding of the eight points of small order, worked out from the curve."""
    points: set[tuple[int, int]] = set()
    for y in range(2, 40):
        x = curve.xrecover(y)
        if curve.isoncurve([x, y]):
            extended = curve.xform_affine_to_extended((x, y))
            torsion = curve.scalarmult_element_safe_slow(extended, curve.L)
            for factor in range(8):
                point = curve.scalarmult_element_safe_slow(torsion, factor)
                points.add(curve.xform_extended_to_affine(point))
    assert len(points) == 8
    keys = []
    for _, y in points:
        for same in (y, y + curve.Q):
            if same < 2**255:
                keys += [(same | sign << 255).to_bytes(32, "little") for sign in (0, 1)]
    return keys


def test_no_key_of_small_order_signs_anything() -> None:
    keys = small_order_keys()
    assert len(set(keys)) == 14
    # R = B, S = 1 verifies under the neutral element for every message where nothing is checked.
    forged = curve.Base.to_bytes() + (1).to_bytes(32, "little")
    assert not any(verify(key, forged, b"anything") for key in keys)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 11, 22, 8, 0, tzinfo=UTC), "2026-11-22T08:00:00Z"),
        (datetime(2026, 11, 22, 8, 0, 0, 5, tzinfo=UTC), "2026-11-22T08:00:00.000005Z"),
        (datetime(2026, 11, 22, 8, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T06:00:00Z"),
    ],
)
def test_instants_come_back_as_they_were(at: datetime, text: str) -> None:
    assert format_instant(at) == text
    assert parse_instant(text) == at


def test_an_instant_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        format_instant(datetime(2026, 11, 22))
    assert from_unix(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_instant("2026-11-22T08:00:00.123456789+02:00").hour == 6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T08:00:00",
        "2026-11-22T08:00Z",
        "2026-11-22 08:00:00Z",
        "20261122T080000Z",
        "2026-W47-7T08:00:00Z",
        "2026-11-22T08:00:00Z\n",
        "2026-11-22T24:00:00Z",
        "2026-11-22T08:00:60Z",
        "2026-11-22T08:00:00+24:00",
        "2026-11-22T08:00:00,5Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-01:00",
        "\u0662026-11-22T08:00:00Z",
        "x" * 1000,
    ],
)
def test_anything_else_is_no_instant(text: str) -> None:
    with pytest.raises(FarhandError, match="time-malformed"):
        parse_instant(text)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e300, -1e300])
def test_times_outside_the_calendar_are_refused(seconds: float) -> None:
    with pytest.raises(FarhandError, match="time-malformed"):
        from_unix(seconds)
