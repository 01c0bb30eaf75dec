"""Which device key belongs to a name: verified without believing the relay, then pinned.

A device is *confirmed* when its enrolment was sealed by a token key that an admin of the roster
signed, or when an admin confirmed it afterwards.  Its name is the one it enrolled under, its group
the one an admin signed; the relay's words must agree.  Whoever asked for a device by id or name
gets that device or an error, never another one.  A pinned key never changes quietly.
"""

from __future__ import annotations

import msgspec

from farhand_console.home import Home, write_private
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id
from farhand_protocol.tokens import Confirmation, Enrolment, Token

__all__ = ["VerifiedDevice", "check_device", "check_pin", "pin", "pin_all", "pins", "verify_device"]


class VerifiedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device whose key, group and name signed statements agree on."""

    id: str
    key: bytes
    name: str
    group: str
    host_name: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the relay's device answer that is looked at here."""

    id: str
    key: bytes
    name: str
    group: str
    host_name: str
    enrolment: bytes
    token_envelope: bytes | None = None
    confirmation: bytes | None = None
    retired_at: str | None = None


def pins(home: Home) -> dict[str, str]:
    """Return the pinned device keys: id to hex.

    Raises:
        FarhandError: `home-unreadable`.
    """
    file = home.folder / "devices.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise FarhandError("home-unreadable", f"{file} cannot be read") from error


def pin(home: Home, device: str, key: bytes) -> None:
    """Remember a device key.

    Raises:
        RefusedError: `device-key-changed` when another key is pinned.
    """
    pin_all(home, {device: key})


def pin_all(home: Home, keys: dict[str, bytes]) -> None:
    """Remember several device keys with one write; as `pin`."""
    known = pins(home)
    for device, key in keys.items():
        check_pin(known, device, key)
    if keys.keys() <= known.keys():
        return
    with home.locked("devices"):
        known = pins(home)
        for device, key in keys.items():
            check_pin(known, device, key)
        known |= {device: key.hex() for device, key in keys.items()}
        write_private(home.folder / "devices.json", msgspec.json.encode(known, order="sorted"))


def check_pin(known: dict[str, str], device: str, key: bytes) -> None:
    """Compare a key with the pins.

    Raises:
        RefusedError: `device-key-changed`.
    """
    if known.get(device, key.hex()) != key.hex():
        raise RefusedError(
            "device-key-changed",
            f"{device} has another key than this console has pinned",
            hint="the relay may be lying; compare the key on the device itself",
        )


def _admin_keys(trust: VerifiedTrust) -> list[bytes]:
    return [
        key
        for operator in trust.roster.operators
        if "admin" in operator.permissions
        for key in operator.keys
    ]


def verify_device(
    home: Home, trust: VerifiedTrust, answer: object, *, asked: str | None = None
) -> VerifiedDevice:
    """Verify a device as the relay's API describes it, and pin its key.

    Args:
        home: where the pin is kept.
        trust: verified metadata.
        answer: the relay's words.
        asked: the id or name that a person gave; the device must be the one of that id or name.

    Raises:
        RefusedError: `device-unconfirmed` when only the relay vouches for it,
            `device-key-changed`, `device-revoked`, `device-retired`.
        FarhandError: `device-unverified` when the statements do not fit together.
    """
    device = check_device(trust, answer)
    if asked is not None and asked.strip() not in (device.id, device.name, device.id.upper()):
        raise FarhandError(
            "device-unverified",
            f"asked for {asked[:80]!r}, the relay answered with another device",
            hint="the relay may be lying",
        )
    pin(home, device.id, device.key)
    return device


def check_device(trust: VerifiedTrust, answer: object) -> VerifiedDevice:
    """Verify a device as `verify_device` does, without pinning it: `pin_all` does that at once."""
    try:
        told = msgspec.convert(answer, _Answer, strict=False, from_attributes=True)
    except msgspec.ValidationError as error:
        raise FarhandError("relay-answer", "the relay's device answer cannot be read") from error
    if len(told.key) != PUBLIC_KEY_BYTES or device_id(told.key) != told.id:
        raise FarhandError("device-unverified", "the device's key does not belong to its id")
    if told.retired_at:
        raise RefusedError("device-retired", f"{told.name[:80]!r} is retired")
    if any(one.kind == "device" and one.subject == told.id for one in trust.revocations.revoked):
        raise RefusedError("device-revoked", f"{told.id} is revoked by the organisation")
    enrolment = _enrolment(trust, told)
    group = _confirmed_group(trust, told)
    if group is None:
        group = _enrolled_group(trust, told, enrolment)
    if group is None:
        raise RefusedError(
            "device-unconfirmed",
            f"{told.name[:80]!r} enrolled with a token of the relay; no admin vouches for it",
            hint="compare its key on the device, then: farhand device confirm " + told.id,
        )
    return VerifiedDevice(
        id=told.id, key=told.key, name=told.name, group=group, host_name=told.host_name
    )


def _enrolment(trust: VerifiedTrust, told: _Answer) -> Enrolment:
    """Return what the device itself signed when it enrolled; its name is taken from there."""
    envelope = decode_envelope(told.enrolment)
    enrolment = open_payload(envelope, Enrolment)
    fits = (
        enrolment.tenant == trust.roster.tenant
        and enrolment.device == told.id
        and enrolment.device_key == told.key
        and enrolment.name == told.name
    )
    if not fits or not signers(envelope, [told.key]):
        raise FarhandError("device-unverified", "the device's enrolment does not verify")
    return enrolment


def _confirmed_group(trust: VerifiedTrust, told: _Answer) -> str | None:
    if not told.confirmation:
        return None
    envelope = decode_envelope(told.confirmation)
    statement = open_payload(envelope, Confirmation)
    fits = (
        statement.tenant == trust.roster.tenant
        and statement.device == told.id
        and statement.device_key == told.key
    )
    if not fits or not signers(envelope, _admin_keys(trust)):
        raise FarhandError("device-unverified", "the device's confirmation does not verify")
    return statement.group


def _enrolled_group(trust: VerifiedTrust, told: _Answer, enrolment: Enrolment) -> str | None:
    if told.token_envelope is None:
        return None
    token_envelope = decode_envelope(told.token_envelope)
    token = open_payload(token_envelope, Token)
    if not signers(token_envelope, _admin_keys(trust)):
        return None
    fits = (
        token.tenant == trust.roster.tenant
        and enrolment.token == token.id
        and enrolment.group == token.group
    )
    if not fits or not signers(decode_envelope(told.enrolment), [token.key]):
        raise FarhandError("device-unverified", "the device's enrolment does not verify")
    return token.group
