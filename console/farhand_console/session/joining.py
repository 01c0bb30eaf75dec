"""Joining somebody else's session: a grant of one's own, for a console key of one's own.

The device decides, and asks the person there where she was asked for the session itself.  What the
relay says of the session (device, scopes, time) only shapes the wish: the device is verified here,
and checks the grant there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil
from typing import Literal

import msgspec

from farhand_console.home import Home, Settings
from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Session, SessionMember
from farhand_console.session.opening import (
    Wish,
    make_grant,
    make_session_key,
    refused_by_device,
)
from farhand_console.session.record import SessionRecord, drop, save
from farhand_console.trust.devices import verify_device
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import MAX_GRANT_MINUTES
from farhand_protocol.identity import make_id
from farhand_protocol.instants import parse_instant
from farhand_protocol.keys import Signer
from farhand_protocol.trust import SCOPES

__all__ = ["join_session", "leave_session"]

# Longer than the device's consent question (60 s) and the relay's own deadline.
_DECISION_S = 120.0
_WHY = {
    "consent-timeout": "nobody at the device answered",
    "consent-refused": "the person at the device said no",
    "policy-refused": "this device lets nobody join",
    "scope-empty": "nothing of what you may do there is open in this session",
    "grant-operator-unknown": "you are not (any more) on the roster that the device trusts",
    "grant-not-permitted": "the roster does not let you open these scopes there",
    "join-own": "you are in this session already",
    "join-full": "too many have joined this session",
    "device-timeout": "the device did not answer",
}


def join_session(
    home: Home,
    settings: Settings,
    relay: Relay,
    session: str,
    mode: Literal["observer", "peer"],
    reason: str,
    *,
    signer: Callable[[], Signer],
    trust: VerifiedTrust,
    say: Callable[[str], None],
) -> SessionRecord:
    """Ask to join a session, wait for the device's decision, and store what was granted.

    Raises:
        FarhandError: `join-own`, `session-state`, what verification and the relay answer.
        RefusedError: what the device refuses.
    """
    found = relay.get(segments("sessions", session), Session)
    if found.operator == settings.account:
        raise FarhandError("join-own", "this is your own session")
    if found.state != "active" or found.expires_at is None:
        raise FarhandError("session-state", f"the session is {found.state}")
    told = relay.get(segments("devices", found.device), dict)
    device = verify_device(home, trust, told, asked=found.device)
    left_s = (parse_instant(found.expires_at) - datetime.now(UTC)).total_seconds()
    known = [scope for scope in SCOPES if scope in found.scopes]
    wish = Wish(
        ticket=None,
        scopes=["view"] if mode == "observer" else known,
        forward=[],
        minutes=max(1, min(MAX_GRANT_MINUTES, ceil(left_s / 60))),
        reason=reason,
    )
    operator_signer = signer()
    join = make_id("j", secrets.token_bytes(16))
    console_key, key_file = make_session_key(join)
    grant = make_grant(
        settings,
        wish,
        session=join,
        device=device,
        ticket=found.ticket or "",
        tenant=settings.tenant,
        operator_key=operator_signer.public_key,
        console_key=console_key,
        transcript=None,
        targets_version=trust.targets_version,
    )
    grant = msgspec.structs.replace(grant, joins=session, mode=mode)
    envelope = encode_envelope(seal(grant, operator_signer))
    say(f"asking {device.name}")
    path = segments("sessions", session, "join")
    answer = relay.post(path, SessionMember, {"envelope": envelope}, wait_s=_DECISION_S)
    if answer.state != "in":
        raise refused_by_device(
            answer.reason, _WHY.get(answer.reason, f"the device answered {answer.state}")
        )
    record = SessionRecord(
        session=session,
        device=device.id,
        device_name=device.name,
        device_key=device.key,
        guest=False,
        url=settings.url,
        ticket=grant.ticket,
        operator=grant.operator,
        organisation=grant.organisation,
        scopes=wish.scopes,
        granted_at=grant.issued_at,
        expires=min(grant.expires, found.expires_at, key=parse_instant),
        words=[],
        grant=envelope,
        mode=mode,
    )
    save(home, record, key_file)
    return record


def leave_session(home: Home, relay: Relay, session: str) -> SessionMember:
    """Leave a session that one joined, and destroy its key.

    Raises:
        FarhandError: `join-none`, and what the relay answers.
    """
    left = relay.post(segments("sessions", session, "leave"), SessionMember, {})
    drop(home, session)
    return left
