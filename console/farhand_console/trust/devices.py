"""Which device key belongs to a name: verified without believing the relay, then pinned.

A device is *confirmed* when its enrolment was sealed by a token key that an admin of the roster
signed, when an admin confirmed it afterwards, or when one put it into a group (`groups.json`).  Its
name is the one it enrolled under, its group the one an admin signed last; the relay's words must
agree.  Whoever asked for a device by id or name gets that device or an error, never another one.
A pinned key never changes quietly.
"""

from __future__ import annotations

import msgspec

from farhand_console.home import Home, write_private
from farhand_console.trust.proofs import Proofs
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id
from farhand_protocol.tokens import Confirmation, Enrolment, Token

__all__ = [
    "DeviceCheck",
    "VerifiedDevice",
    "check_device",
    "check_pin",
    "pin",
    "pin_all",
    "pins",
    "verify_device",
]


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
    return DeviceCheck(trust).check(answer)


class DeviceCheck:
    """Verifies devices against one state of the trust metadata; what they share is verified once.

    Args:
        trust: verified metadata.
        home: where the proofs that were verified are kept (`save`); without it none are.
    """

    def __init__(self, trust: VerifiedTrust, home: Home | None = None) -> None:
        self._tenant = trust.roster.tenant
        self._placements = trust.placements
        self._admin_keys = [
            key
            for operator in trust.roster.operators
            if "admin" in operator.permissions
            for key in operator.keys
        ]
        revoked = trust.revocations.revoked
        self._revoked = {one.subject for one in revoked if one.kind == "device"}
        # A token that thousands of devices came in by; None where no admin signed it.
        self._tokens: dict[bytes, Token | None] = {}
        self._proofs: Proofs | None = None
        if home is not None:
            self._proofs = Proofs(home, tenant=self._tenant, admin_keys=self._admin_keys)

    def check(self, answer: object) -> VerifiedDevice:
        """Verify a device as the relay describes it; raises as `verify_device`."""
        try:
            told = msgspec.convert(answer, _Answer, strict=False, from_attributes=True)
        except msgspec.ValidationError as error:
            raise FarhandError(
                "relay-answer", "the relay's device answer cannot be read"
            ) from error
        if len(told.key) != PUBLIC_KEY_BYTES or device_id(told.key) != told.id:
            raise FarhandError("device-unverified", "the device's key does not belong to its id")
        if told.retired_at:
            raise RefusedError("device-retired", f"{told.name[:80]!r} is retired")
        if told.id in self._revoked:
            raise RefusedError("device-revoked", f"{told.id} is revoked by the organisation")
        return VerifiedDevice(
            id=told.id,
            key=told.key,
            name=told.name,
            group=self._placed_group(told) or self._group(told),
            host_name=told.host_name,
        )

    def _placed_group(self, told: _Answer) -> str | None:
        """Return the group that an admin put this very key into; its name is its own word."""
        group = self._placements.groups.get(told.id)
        if group is not None:
            self._enrolment(told, decode_envelope(told.enrolment))
        return group

    def save(self) -> None:
        """Keep which proofs were verified, so that the next command need not.

        Raises:
            FarhandError: `home-unwritable`.
        """
        if self._proofs is not None:
            self._proofs.save()

    def _group(self, told: _Answer) -> str:
        """Return the group that the signed statements give, from an earlier look if there was."""
        if self._proofs is None:
            return self._verified_group(told)
        proof = Proofs.digest(
            told.id.encode(),
            told.key,
            told.name.encode(),
            told.enrolment,
            told.token_envelope,
            told.confirmation,
        )
        group = self._proofs.group_of(proof)
        if group is None:
            group = self._verified_group(told)
            self._proofs.add(proof, group)
        return group

    def _verified_group(self, told: _Answer) -> str:
        envelope = decode_envelope(told.enrolment)
        enrolment = self._enrolment(told, envelope)
        group = self._confirmed_group(told)
        if group is None:
            group = self._enrolled_group(told, envelope, enrolment)
        if group is None:
            raise RefusedError(
                "device-unconfirmed",
                f"{told.name[:80]!r} enrolled with a token of the relay; no admin vouches for it",
                hint="compare its key on the device, then: farhand device confirm " + told.id,
            )
        return group

    def _enrolment(self, told: _Answer, envelope: Envelope) -> Enrolment:
        """Return what the device itself signed when it enrolled; its name is taken from there."""
        enrolment = open_payload(envelope, Enrolment)
        fits = (
            enrolment.tenant == self._tenant
            and enrolment.device == told.id
            and enrolment.device_key == told.key
            and enrolment.name == told.name
        )
        if not fits or not signers(envelope, [told.key]):
            raise FarhandError("device-unverified", "the device's enrolment does not verify")
        return enrolment

    def _confirmed_group(self, told: _Answer) -> str | None:
        if not told.confirmation:
            return None
        envelope = decode_envelope(told.confirmation)
        statement = open_payload(envelope, Confirmation)
        fits = (
            statement.tenant == self._tenant
            and statement.device == told.id
            and statement.device_key == told.key
        )
        if not fits or not signers(envelope, self._admin_keys):
            raise FarhandError("device-unverified", "the device's confirmation does not verify")
        return statement.group

    def _enrolled_group(
        self, told: _Answer, envelope: Envelope, enrolment: Enrolment
    ) -> str | None:
        if told.token_envelope is None:
            return None
        token = self._token(told.token_envelope)
        if token is None:
            return None
        fits = (
            token.tenant == self._tenant
            and enrolment.token == token.id
            and enrolment.group == token.group
        )
        if not fits or not signers(envelope, [token.key]):
            raise FarhandError("device-unverified", "the device's enrolment does not verify")
        return token.group

    def _token(self, sealed: bytes) -> Token | None:
        """Return a token that an admin signed; None for another one."""
        if sealed not in self._tokens:
            envelope = decode_envelope(sealed)
            token = open_payload(envelope, Token)
            self._tokens[sealed] = token if signers(envelope, self._admin_keys) else None
        return self._tokens[sealed]
