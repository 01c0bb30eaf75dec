"""Opening a session: by code (pairing through the relay) or by a grant alone.

The relay carries opaque bodies.  What it says (names, ticket, device) is checked against what the
sealed exchange and the verified trust metadata say; a mismatch ends it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import Home, Settings
from farhand_console.relay import Relay
from farhand_console.session.record import SessionRecord, save
from farhand_console.trust.devices import VerifiedDevice, verify_device
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.codes import parse_code
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import ConsoleRequest, Decision, DeviceOffer, Grant
from farhand_protocol.identity import device_id, make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.pairing import ConsolePairing, canonical_origin

__all__ = ["Wish", "open_by_code", "open_by_grant"]

# Longer than the device's consent question (60 s) and the relay's own deadline.
_DECISION_S = 120.0
# A grant must survive clocks that differ a little.
_SKEW = timedelta(minutes=10)
T = TypeVar("T")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the technician asks for."""

    ticket: str | None
    scopes: list[str]
    forward: list[str]
    minutes: int
    reason: str


def _session_key(comment: str) -> tuple[bytes, bytes]:
    """Return a fresh (raw public key, OpenSSH private key file)."""
    private = Ed25519PrivateKey.generate()
    data = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return private.public_key().public_bytes_raw(), data


def _blob(answer: dict[str, str]) -> bytes:
    try:
        return base64.b64decode(answer["body"], validate=True)
    except (KeyError, ValueError, TypeError) as error:
        raise FarhandError("relay-answer", "the relay's mailbox answer cannot be read") from error


def _decode(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise FarhandError("pairing-malformed", f"the device's {what} cannot be read") from error


def open_by_code(
    home: Home,
    settings: Settings,
    relay: Relay,
    code: str,
    wish: Wish,
    *,
    signer: Callable[[], Signer],
    trust: Callable[[], VerifiedTrust],
    say: Callable[[str], None],
) -> SessionRecord:
    """Pair with the device that shows `code`, ask for consent, and store the granted session.

    Raises:
        FarhandError: `code-malformed`, `code-unknown`, `code-wrong`, `code-burned` and what the
            relay or the device answers.
        RefusedError: `consent-refused`, `consent-timeout`, `scope-empty`, policy codes.
    """
    nameplate, secret = parse_code(code)
    operator_signer = signer()
    body = {"nameplate": nameplate, "ticket": wish.ticket, "reason": wish.reason}
    claimed = relay.post("/pairings", body)
    session, ticket = claimed["session"], claimed["ticket"]
    mailbox = f"/sessions/{session}/mailbox"
    pairing = ConsolePairing(
        canonical_origin(settings.url), nameplate, secret, entropy=secrets.token_bytes
    )
    first = {"phase": "pake", "body": pairing.send_pake()}
    confirm = pairing.receive_pake(_blob(relay.post(mailbox, first)))
    answer = _blob(relay.post(mailbox, {"phase": "confirm", "body": confirm}))
    proof, sealed = _decode(answer, tuple[bytes, bytes], "proof")
    pairing.receive_confirm(proof)
    offer = _decode(pairing.open(sealed), DeviceOffer, "offer")
    device, targets_version = _offered_device(home, relay, offer, session, trust)
    say(f"paired; compare by voice if in doubt: {' '.join(pairing.words)}")
    console_key, key_file = _session_key(session)
    grant = _grant(
        settings,
        wish,
        session=session,
        device=device,
        ticket=ticket,
        tenant=offer.tenant,
        operator_key=operator_signer.public_key,
        console_key=console_key,
        transcript=pairing.transcript,
        targets_version=targets_version,
    )
    envelope = encode_envelope(seal(grant, operator_signer))
    request = ConsoleRequest(grant=envelope, console_version="0.1.0")
    say("waiting for the person at the device to decide")
    answer = _blob(
        relay.post(
            mailbox,
            {"phase": "request", "body": pairing.seal(msgspec.msgpack.encode(request))},
            wait_s=_DECISION_S,
        )
    )
    decision = _decode(pairing.open(answer), Decision, "decision")
    _check_granted(decision)
    record = SessionRecord(
        session=session,
        device=device.id,
        device_name=device.name,
        device_key=device.key,
        guest=offer.guest,
        url=settings.url,
        ticket=ticket,
        operator=settings.account,
        organisation=settings.organisation,
        scopes=decision.scopes,
        granted_at=grant.issued_at,
        expires=decision.expires,
        words=pairing.words,
        grant=envelope,
    )
    save(home, record, key_file)
    return record


def _offered_device(
    home: Home,
    relay: Relay,
    offer: DeviceOffer,
    session: str,
    trust: Callable[[], VerifiedTrust],
) -> tuple[VerifiedDevice, int]:
    """Check the sealed offer against what this console can verify."""
    if offer.session != session or device_id(offer.device_key) != offer.device:
        raise FarhandError("pairing-malformed", "the device's offer contradicts itself")
    told = VerifiedDevice(
        id=offer.device,
        key=offer.device_key,
        name=offer.host_name,
        group=offer.group,
        host_name=offer.host_name,
    )
    if offer.guest:
        return told, 0
    verified = trust()
    known = verify_device(home, verified, relay.get(f"/devices/{offer.device}"))
    if known.key != offer.device_key:
        raise RefusedError("device-key-changed", "the device offers another key than it enrolled")
    return msgspec.structs.replace(
        known, host_name=offer.host_name, group=offer.group
    ), verified.targets_version


def _grant(
    settings: Settings,
    wish: Wish,
    *,
    session: str,
    device: VerifiedDevice,
    ticket: str,
    tenant: str,
    operator_key: bytes,
    console_key: bytes,
    transcript: bytes | None,
    targets_version: int,
) -> Grant:
    now = datetime.now(UTC).replace(microsecond=0)
    return Grant(
        tenant=tenant,
        id=session,
        device=device.id,
        host_name=device.host_name,
        group=device.group,
        operator=settings.account,
        operator_key=operator_key,
        organisation=settings.organisation,
        ticket=ticket,
        reason=wish.reason,
        scopes=wish.scopes,
        forward=wish.forward,
        minutes=wish.minutes,
        console_key=console_key,
        transcript=transcript,
        targets_version=targets_version,
        issued_at=format_instant(now),
        not_before=format_instant(now - _SKEW),
        expires=format_instant(now + timedelta(minutes=wish.minutes) + _SKEW),
    )


def _check_granted(decision: Decision) -> None:
    if not decision.granted:
        raise RefusedError(decision.code or "consent-refused", decision.words or "refused")
    if not decision.scopes:
        raise RefusedError("scope-empty", "nothing of what was asked for is allowed there")


def open_by_grant(
    home: Home,
    settings: Settings,
    relay: Relay,
    device_name: str,
    wish: Wish,
    *,
    signer: Callable[[], Signer],
    trust: VerifiedTrust,
    say: Callable[[str], None],
) -> SessionRecord:
    """Open a session on an enrolled device without a code; its policy decides.

    Raises:
        FarhandError: `device-offline` and what verification and the relay answer.
        RefusedError: what the device refuses.
    """
    device = verify_device(home, trust, relay.get(f"/devices/{device_name}"))
    operator_signer = signer()
    session = make_id("s", secrets.token_bytes(16))
    ticket = _ticket_for(relay, wish, device)
    console_key, key_file = _session_key(session)
    grant = _grant(
        settings,
        wish,
        session=session,
        device=device,
        ticket=ticket,
        tenant=settings.tenant,
        operator_key=operator_signer.public_key,
        console_key=console_key,
        transcript=None,
        targets_version=trust.targets_version,
    )
    envelope = encode_envelope(seal(grant, operator_signer))
    say(f"asking {device.name}")
    answer = relay.post(
        "/sessions",
        {
            "session": session,
            "device": device.id,
            "ticket": ticket,
            "external_key": None,
            "reason": wish.reason,
            "envelope": envelope,
        },
        wait_s=_DECISION_S,
    )
    if answer["state"] != "active":
        code = str(answer.get("reason") or "consent-refused")
        raise RefusedError(code, f"the device answered {answer['state']}")
    record = SessionRecord(
        session=session,
        device=device.id,
        device_name=device.name,
        device_key=device.key,
        guest=False,
        url=settings.url,
        ticket=ticket,
        operator=settings.account,
        organisation=settings.organisation,
        scopes=list(answer["scopes"]),
        granted_at=grant.issued_at,
        expires=answer["expires"],
        words=[],
        grant=envelope,
    )
    save(home, record, key_file)
    return record


def _ticket_for(relay: Relay, wish: Wish, device: VerifiedDevice) -> str:
    """Return the ticket's number; a session without one gets a walk-in ticket first."""
    if wish.ticket:
        return str(relay.get(f"/tickets/{wish.ticket}")["number"])
    title = f"Session on {device.name}"
    made = relay.post("/tickets", {"title": title, "device": device.id, "body": wish.reason})
    return str(made["number"])
