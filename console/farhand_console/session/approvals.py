"""Sessions that other operators must approve: waiting for them, and being one of them.

Policy (signed, verified here) says how many.  An approver's console shows only what it verified:
the grant's own words under the signature of an operator of the roster, and the device as this
console knows it.  What the relay says beside that is not shown and not signed.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from farhand_console.home import Home, Settings
from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Session, WaitingGrant
from farhand_console.trust.devices import VerifiedDevice, verify_device
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import decode_envelope, encode_envelope, seal
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import Grant, GrantApproval
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.keys import Signer
from farhand_protocol.receipts import open_grant
from farhand_protocol.trust import Operator

__all__ = [
    "ToApprove",
    "approve",
    "await_approvals",
    "check_may_approve",
    "check_waiting",
    "withdraw",
    "withdrawn_when_stopped",
]

# The relay holds one question for twenty seconds; the device's decision may take a minute more.
_OFFER_S: Final = 150.0
_AGAIN_S: Final = 2.0
# The question may have reached the relay, or not; another may be told.
_UNHEARD: Final = frozenset({"relay-lost", "relay-timeout", "relay-unreachable"})


@dataclass(frozen=True, kw_only=True)
class ToApprove:
    """A grant that waits, verified; `envelope` is what the approval is about."""

    grant: Grant
    device: VerifiedDevice
    envelope: bytes


def await_approvals(
    relay: Relay,
    session: str,
    *,
    needed: int,
    until: datetime,
    say: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> Session:
    """Wait until others have approved and the device has decided.

    An offer whose answer was lost may have reached the device all the same: the session's own
    state then says how to go on.

    Args:
        relay: signed in.
        session: that was posted.
        needed: approvals that policy asks for.
        until: when nobody waits any longer, UTC.
        say: shows a line.
        pause: waits for so many seconds.

    Returns:
        The session: active, refused or ended.

    Raises:
        RefusedError: `session-unapproved` when the time is over; it is withdrawn.
        FarhandError: what the relay answers otherwise; `relay-timeout` without a decision.
    """
    say(f"waiting for {needed} to approve: farhand session approve {session}")
    while datetime.now(UTC) < until:
        try:
            return relay.post(segments("sessions", session, "offer"), Session, wait_s=_OFFER_S)
        except FarhandError as error:
            if error.code == "session-state":
                found = _decided(relay, session, pause)
                if found.state != "waiting":
                    return found
            elif error.code in _UNHEARD:
                pause(_AGAIN_S)
            elif error.code != "session-waiting":
                raise
    withdraw(relay, session, say)
    raise RefusedError("session-unapproved", "nobody else approved the session in time")


def _decided(relay: Relay, session: str, pause: Callable[[float], None]) -> Session:
    """Return a session that was offered once it is decided."""
    for _ in range(int(_OFFER_S / _AGAIN_S)):
        try:
            found = relay.get(segments("sessions", session), Session)
            if found.state != "asked":
                return found
        except FarhandError as error:
            if error.code not in _UNHEARD:
                raise
        pause(_AGAIN_S)
    raise FarhandError(
        "relay-timeout", "the device was asked, and its decision did not come in time"
    )


def withdraw(relay: Relay, session: str, say: Callable[[str], None]) -> None:
    """End a session that was posted, so that nobody approves or grants it any more."""
    try:
        relay.post(segments("sessions", session, "end"), Session, {"note": ""})
    except FarhandError as error:
        say(f"the session could not be withdrawn: {error.code}: {error.message[:200]}")


@contextmanager
def withdrawn_when_stopped(
    relay: Relay, session: str, say: Callable[[str], None]
) -> Iterator[None]:
    """Withdraw the session when Ctrl-C, SIGTERM or SIGHUP ends this process meanwhile."""

    def stop(number: int, _frame: object) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)  # nothing else ends the withdrawal
        raise SystemExit(128 + number)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                before[number] = signal.signal(number, stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        withdraw(relay, session, say)
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def check_waiting(
    home: Home, trust: VerifiedTrust, relay: Relay, waiting: WaitingGrant, *, asked: str
) -> ToApprove:
    """Verify a grant that waits, as the device would.

    Args:
        home: where device keys are pinned.
        trust: verified metadata.
        relay: signed in.
        waiting: the relay's answer.
        asked: the session that a person named.

    Raises:
        FarhandError: `grant-mismatch` when it is another session's grant or out of its time; what
            reading the grant and verifying the device raise.
        RefusedError: `grant-operator-unknown`.
    """
    grant = open_grant(decode_envelope(waiting.envelope))
    device = verify_device(home, trust, relay.get(segments("devices", grant.device), dict))
    fits = (
        grant.id == asked
        and grant.device == device.id
        and grant.tenant == trust.roster.tenant
        and grant.transcript is None
        and grant.host_name == device.host_name
        and grant.group == device.group
        and datetime.now(UTC) < parse_instant(grant.expires)
    )
    if not fits:
        raise FarhandError(
            "grant-mismatch",
            "the relay's grant is not what was asked for",
            hint="the relay may be lying; nothing was signed",
        )
    operator = trust.roster.find(grant.operator)
    if operator is None or grant.operator_key not in operator.keys:
        raise RefusedError(
            "grant-operator-unknown", "the roster does not name who signed the grant"
        )
    return ToApprove(grant=grant, device=device, envelope=waiting.envelope)


def check_may_approve(settings: Settings, trust: VerifiedTrust, wanted: ToApprove) -> Operator:
    """Return who is signed in, if she may approve this; asked before she is.

    Raises:
        RefusedError: `not-permitted` when the roster does not let her, or the session is her own.
    """
    me = trust.roster.find(settings.account)
    if wanted.grant.operator == settings.account:
        raise RefusedError("not-permitted", "somebody else approves your session")
    if me is None or "approve:session" not in me.permissions:
        may = [] if me is None else me.permissions
        raise RefusedError(
            "not-permitted",
            "the roster does not let you approve sessions",
            hint=_how_to_permit(settings.account, may),
        )
    return me


def _how_to_permit(name: str, permissions: list[str]) -> str:
    # `--can` names the whole list: what she may already do must stay in it.
    whole = ",".join(dict.fromkeys([*permissions, "approve:session"]))
    return f"an admin: farhand operator add {name} --key FILE --can {whole}"


def approve(
    settings: Settings, trust: VerifiedTrust, relay: Relay, wanted: ToApprove, signer: Signer
) -> WaitingGrant:
    """Sign an approval and bring it to the relay.

    Raises:
        RefusedError: `not-permitted` when the roster does not let this operator approve, or the
            session is her own.
        FarhandError: what the relay answers.
    """
    me = check_may_approve(settings, trust, wanted)
    if signer.public_key not in me.keys:
        raise RefusedError(
            "not-permitted",
            "the roster does not know the key of this console",
            hint=_how_to_permit(me.name, me.permissions),
        )
    approval = GrantApproval(
        tenant=wanted.grant.tenant,
        id=wanted.grant.id,
        grant_sha256=hashlib.sha256(wanted.envelope).hexdigest(),
        approver=me.name,
        approver_key=signer.public_key,
        at=format_instant(datetime.now(UTC).replace(microsecond=0)),
        expires=wanted.grant.expires,
    )
    sealed = encode_envelope(seal(approval, signer))
    path = segments("sessions", wanted.grant.id, "approvals")
    return relay.post(path, WaitingGrant, {"envelope": sealed})
