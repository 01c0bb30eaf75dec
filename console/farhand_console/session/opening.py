"""Opening a session: by code (pairing through the relay) or by a grant alone.

The relay carries opaque bodies.  What it says (names, ticket, device) is checked against what the
sealed exchange and the verified trust metadata say; a mismatch ends it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final, TypeVar

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import Home, Settings
from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Claimed, Created, Mail, Session
from farhand_console.session.approvals import await_approvals, withdrawn_when_stopped
from farhand_console.session.record import SessionRecord, save
from farhand_console.session.scopes import Limits, unopened
from farhand_console.trust.devices import VerifiedDevice, pin, verify_device
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.codes import parse_code
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import ConsoleRequest, Decision, DeviceOffer, Grant
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id, is_session_id, make_id
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.keys import Signer
from farhand_protocol.pairing import ConsolePairing, canonical_origin

__all__ = [
    "WAIT_MINUTES",
    "Wish",
    "make_grant",
    "make_session_key",
    "open_by_code",
    "open_by_grant",
    "refused_by_device",
]

# Longer than the device's consent question (60 s) and the relay's own deadline.
_DECISION_S = 120.0
# A grant must survive clocks that differ a little.
_SKEW = timedelta(minutes=10)
WAIT_MINUTES: Final = 60
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_OWN_NUMBER = re.compile(r"(?:[Ff][Hh]-)?[0-9]+\Z")
# What the device's codes mean to a technician who opens a session without a code.
_WHY = {
    "policy-refused": "the device allows no session without a code; ask the person there for one",
    "consent-timeout": "policy wants somebody there asked, and without a code nobody can be",
    "consent-refused": "the person at the device said no",
    "scope-empty": "nothing of what was asked for is allowed there",
    "grant-operator-unknown": "you are not (any more) on the roster that the device trusts",
    "grant-not-permitted": "the roster does not let you open these scopes there",
    "session-hours": "the device lets nobody in without a code at this hour",
    "session-tier": "the device asks for a higher tier than yours",
    "session-approvals": "too few of the approvals counted on the device",
}
# Refusals after which it helps to know what became of each scope.
_ABOUT_SCOPES: Final = ("scope-empty", "grant-not-permitted")
# What helps; `{group}` is the device's, `{operator}` whoever opens, the rest its policy.
_HELPS = {
    "policy-refused": "an admin: farhand trust policy {group} --unattended; "
    "or ask the person there for a code and use --code",
    "session-hours": "the policy of group {group}, in the device's own time: {hours}; "
    "with a code from the person there it opens at any hour",
    "session-tier": "the policy of group {group} asks for tier {tier}; "
    "an admin: farhand operator add {operator} --tier {tier} --key FILE",
    "consent-timeout": "an admin: farhand trust policy {group} --consent notify; "
    "or ask the person there for a code",
    "grant-operator-unknown": "an admin: farhand operator list, operator add {operator} --key FILE",
}
T = TypeVar("T")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the technician asks for."""

    ticket: str | None
    scopes: list[str]
    forward: list[str]
    minutes: int
    reason: str
    read_only: bool = False


def make_session_key(comment: str) -> tuple[bytes, bytes]:
    """Return a fresh (raw public key, OpenSSH private key file)."""
    private = Ed25519PrivateKey.generate()
    data = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return private.public_key().public_bytes_raw(), data


def _decode(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
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
    body = {"nameplate": nameplate, "reason": wish.reason} | _ticket_words(relay, wish, say)
    claimed = _claim(relay, body)
    session, ticket = claimed.session, claimed.ticket
    mailbox = segments("sessions", session, "mailbox")
    pairing = ConsolePairing(
        canonical_origin(settings.url), nameplate, secret, entropy=secrets.token_bytes
    )
    first = {"phase": "pake", "body": pairing.send_pake()}
    confirm = pairing.receive_pake(relay.post(mailbox, Mail, first).body)
    answer = relay.post(mailbox, Mail, {"phase": "confirm", "body": confirm}).body
    proof, sealed = _decode(answer, tuple[bytes, bytes], "proof")
    pairing.receive_confirm(proof)
    offer = _decode(pairing.open(sealed), DeviceOffer, "offer")
    device, targets_version = _offered_device(home, relay, offer, session, trust)
    say(f"paired; compare by voice if in doubt: {' '.join(pairing.words)}")
    console_key, key_file = make_session_key(session)
    grant = make_grant(
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
    request = ConsoleRequest(grant=envelope, console_version=version("farhand-console"))
    say("waiting for the person at the device to decide")
    sealed_request = pairing.seal(msgspec.msgpack.encode(request))
    asked = {"phase": "request", "body": sealed_request}
    answer = relay.post(mailbox, Mail, asked, wait_s=_DECISION_S).body
    decision = _decode(pairing.open(answer), Decision, "decision")
    limits = Limits(offered=offer.scopes)
    if not offer.guest:
        limits = _limits(trust(), grant, offered=offer.scopes)
        _tell_alone(say, trust(), grant, decision.granted)
    _tell_unopened(say, grant, decision.scopes, decision.code, limits)
    _check_granted(decision, grant)
    return _keep(
        home,
        settings,
        grant,
        key_file,
        device=device,
        guest=offer.guest,
        scopes=decision.scopes,
        expires=decision.expires,
        words=pairing.words,
        envelope=envelope,
    )


def _offered_device(
    home: Home,
    relay: Relay,
    offer: DeviceOffer,
    session: str,
    trust: Callable[[], VerifiedTrust],
) -> tuple[VerifiedDevice, int]:
    """Check the sealed offer against what this console can verify."""
    fits = len(offer.device_key) == PUBLIC_KEY_BYTES and (
        device_id(offer.device_key) == offer.device
    )
    if offer.session != session or not fits:
        raise FarhandError("pairing-malformed", "the device's offer contradicts itself")
    told = VerifiedDevice(
        id=offer.device,
        key=offer.device_key,
        name=offer.host_name[:253],
        group=offer.group,
        host_name=offer.host_name,
    )
    if offer.guest:
        # The code proved the key; what the device signs later is held to it.
        pin(home, told.id, told.key)
        return told, 0
    verified = trust()
    if offer.tenant != verified.roster.tenant:
        raise FarhandError("pairing-malformed", "the device belongs to another organisation")
    told_by_relay = relay.get(segments("devices", offer.device), dict)
    known = verify_device(home, verified, told_by_relay, asked=offer.device)
    if known.key != offer.device_key:
        raise RefusedError("device-key-changed", "the device offers another key than it enrolled")
    return msgspec.structs.replace(
        known, host_name=offer.host_name, group=offer.group
    ), verified.targets_version


def make_grant(
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
    """Return an unsigned grant for `wish`, valid from now on."""
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
        read_only=wish.read_only,
    )


def _limits(trust: VerifiedTrust, grant: Grant, *, offered: list[str] | None = None) -> Limits:
    rules = trust.policy.for_group(grant.group)
    return Limits(
        group=grant.group,
        scopes=rules.scopes,
        forward_to=rules.forward_to,
        offered=offered,
        operator=trust.roster.find(grant.operator),
    )


def _tell_unopened(
    say: Callable[[str], None], grant: Grant, opened: list[str], code: str, limits: Limits
) -> None:
    """Say what is not open, unless the answer was no to everything for another reason."""
    if not code or code in _ABOUT_SCOPES:
        for words in unopened(grant.scopes, opened, grant.forward, limits):
            say(words)


def _tell_alone(
    say: Callable[[str], None], trust: VerifiedTrust, grant: Grant, is_open: bool
) -> None:
    if is_open and trust.policy.for_group(grant.group).second_operator:
        say("policy wants a second operator: nothing opens until another one joins")
        say(f"she runs: farhand session join {grant.id}")


def _check_granted(decision: Decision, grant: Grant) -> None:
    """Take the device's answer for no more than was asked for."""
    if not decision.granted:
        raise refused_by_device(decision.code, decision.words)
    if not decision.scopes:
        raise RefusedError("scope-empty", "nothing of what was asked for is allowed there")
    _check_within(decision.scopes, decision.expires, grant)


def _check_within(scopes: list[str], expires: str, grant: Grant) -> None:
    if not set(scopes) <= set(grant.scopes) or (
        parse_instant(expires) > parse_instant(grant.expires)
    ):
        raise FarhandError("grant-exceeded", "the answer grants more than was asked for")


def refused_by_device(code: str, words: str, *, hint: str | None = None) -> RefusedError:
    """Return the error for a refusal whose code somebody else says."""
    if not _CODE.match(code):
        code, words = "consent-refused", "the device refused"
    return RefusedError(code, words[:500] or "the device refused", hint=hint)


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
    wait_minutes: int = WAIT_MINUTES,
) -> SessionRecord:
    """Open a session on an enrolled device without a code; its policy decides.

    Stopped meanwhile, it withdraws.  Others have `wait_minutes` to approve, where they must.

    Raises:
        FarhandError: `device-offline` and what verification and the relay answer.
        RefusedError: what the device refuses.
    """
    told = relay.get(segments("devices", device_name), dict)
    device = verify_device(home, trust, told, asked=device_name)
    rules = trust.policy.for_group(device.group)
    if rules.recording == "required" and not rules.audit_keys:
        # The device would refuse it, perhaps after others have been asked to approve.
        raise RefusedError(
            "recording-impossible",
            "sessions there must be recorded, and policy names no audit key to seal it to",
            hint=f"an admin: farhand trust policy {device.group} --audit-key RECIPIENT",
        )
    operator_signer = signer()
    session = make_id("s", secrets.token_bytes(16))
    words = _ticket_words(relay, wish, say) or _walk_in(relay, wish, device)
    ticket = words["ticket"] or words["external_key"] or ""
    console_key, key_file = make_session_key(session)
    grant = make_grant(
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
    needed = rules.approvals
    if needed:
        # Others need time to look; once open it lasts no longer for it.
        later = parse_instant(grant.expires) + timedelta(minutes=wait_minutes)
        grant = msgspec.structs.replace(grant, expires=format_instant(later))
    envelope = encode_envelope(seal(grant, operator_signer))
    say(f"asking {device.name}")
    body = {"session": session, "device": device.id, "reason": wish.reason, "envelope": envelope}
    with withdrawn_when_stopped(relay, session, say):
        answer = relay.post(
            "/sessions", Session, body | words | {"approvals_needed": needed}, wait_s=_DECISION_S
        )
        if answer.state == "waiting":
            until = parse_instant(grant.issued_at) + timedelta(minutes=wait_minutes)
            answer = await_approvals(relay, session, needed=needed, until=until, say=say)
    if answer.state == "ended":
        raise FarhandError("session-ended", f"it was ended before it opened: {answer.reason[:80]}")
    code = "" if answer.state == "active" else answer.reason or answer.state
    opened = [] if code else answer.scopes
    _tell_unopened(say, grant, opened, code, _limits(trust, grant))
    _tell_alone(say, trust, grant, not code)
    if answer.state != "active":
        helps = _HELPS.get(answer.reason)
        raise refused_by_device(
            answer.reason,
            _WHY.get(answer.reason, f"the device answered {answer.state}"),
            hint=helps
            and helps.format(
                group=device.group,
                operator=grant.operator,
                hours=", ".join(rules.hours)[:200],
                tier=rules.tier_min,
            ),
        )
    expires = answer.expires_at or grant.expires
    _check_within(answer.scopes, expires, grant)
    if not answer.scopes:
        raise RefusedError("scope-empty", "nothing of what was asked for is allowed there")
    return _keep(
        home,
        settings,
        grant,
        key_file,
        device=device,
        guest=False,
        scopes=answer.scopes,
        expires=expires,
        words=[],
        envelope=envelope,
    )


def _keep(
    home: Home,
    settings: Settings,
    grant: Grant,
    key_file: bytes,
    *,
    device: VerifiedDevice,
    guest: bool,
    scopes: list[str],
    expires: str,
    words: list[str],
    envelope: bytes,
) -> SessionRecord:
    """Store a granted session and its key, so that every later command can join it."""
    record = SessionRecord(
        session=grant.id,
        device=device.id,
        device_name=device.name,
        device_key=device.key,
        guest=guest,
        url=settings.url,
        ticket=grant.ticket,
        operator=grant.operator,
        organisation=grant.organisation,
        scopes=scopes,
        granted_at=grant.issued_at,
        expires=expires,
        words=words,
        grant=envelope,
    )
    save(home, record, key_file)
    return record


def _claim(relay: Relay, body: dict[str, str | None]) -> Claimed:
    claimed = relay.post("/pairings", Claimed, body)
    if not is_session_id(claimed.session):
        raise FarhandError("relay-answer", "the relay's session id is none")
    return claimed


def _ticket_words(relay: Relay, wish: Wish, say: Callable[[str], None]) -> dict[str, str | None]:
    """Return how the relay is told which ticket this is about; empty for none.

    What names no ticket here is a key in somebody else's desk.
    """
    if not wish.ticket:
        return {}
    try:
        number = relay.get(segments("tickets", wish.ticket), Created).number
    except FarhandError as error:
        if error.code != "not-found" or _OWN_NUMBER.match(wish.ticket):
            raise
        say(f"no ticket of ours: external key {wish.ticket[:80]}")
        return {"ticket": None, "external_key": wish.ticket}
    return {"ticket": number, "external_key": None}


def _walk_in(relay: Relay, wish: Wish, device: VerifiedDevice) -> dict[str, str | None]:
    """Make the ticket that a session without one gets: the grant must name it.

    The relay resolves it by itself when the session never begins.
    """
    ticket = {
        "title": f"Session on {device.name}",
        "device": device.id,
        "body": wish.reason.strip() or None,
        "walk_in": True,
    }
    made = relay.post("/tickets", Created, ticket)
    return {"ticket": made.number, "external_key": None}
