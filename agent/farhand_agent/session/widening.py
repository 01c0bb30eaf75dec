"""More scopes for a session that is open: the operator signs, the person taps a second time.

The subsystem `farhand-widen` carries JSON lines: the console sends `{"widening": ENVELOPE}`, waits
while the person decides, and gets `{"granted": true, "scopes": [...], "forward": [...]}` or
`{"granted": false, "code": CODE, "words": TEXT}`.  The relay sees nothing of it but bytes of SSH.

A widening is checked like a grant, in this order, and the first check that fails decides:

    widening-malformed       not a sealed widening, or fields out of bounds
    widening-mismatch        of another session, device, grant, operator or key
    trust-missing, trust-expired, trust-behind, device-revoked          (enrolled devices only)
    grant-operator-unknown   the roster does not name that operator with that key (enrolled only)
    grant-signature          not signed by the key of the grant, or by others as well
    widening-expired
    widening-reused          it was sent before, or too many were
    grant-not-permitted      the roster does not let the operator open one of the scopes here
    scope-empty              nothing is left that policy allows and that is not open already

Then the person is asked; where policy lets sessions without a code open with a mere notice, not.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from farhand_agent.policy import SERVED_SCOPES
from farhand_agent.session.grant import MAX_CLOCK_DIFFERENCE, MAX_FORWARD, MAX_TEXT_CHARS
from farhand_agent.session.subsystems import Lines
from farhand_agent.trust.verified import Verified
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError, RefusedError, RemoteError
from farhand_protocol.grants import Grant, Widening
from farhand_protocol.instants import parse_instant
from farhand_protocol.trust import SCOPES, GroupPolicy, may_open

__all__ = ["MAX_WIDENINGS", "SessionWidening", "WideningFacts", "Wider", "check_widening"]

_log = logging.getLogger(__name__)

# A console that keeps asking would wear the person down.
MAX_WIDENINGS: Final = 10
MAX_LIFETIME: Final = timedelta(hours=1)
_MAX_LINE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class WideningFacts:
    """What the device knows by itself; `trust` is None on a guest (`guest`) and where it is not
    there."""

    grant: Grant
    grant_bytes: bytes
    guest: bool
    trust: Verified | None
    policy: GroupPolicy
    open_scopes: frozenset[str]
    open_forward: frozenset[str]
    now: datetime
    seen: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Wider:
    """What a widening comes to on this device, before anybody is asked."""

    widening: Widening
    envelope: Envelope
    scopes: tuple[str, ...]
    forward_to: frozenset[str]


def check_widening(data: bytes, facts: WideningFacts) -> Wider:
    """Check a sealed widening.

    Args:
        data: the envelope's canonical bytes.
        facts: of this device and this session.

    Raises:
        FarhandError: the code of the first check that fails.
    """
    widening = _read(data)
    grant = facts.grant
    if (
        widening.tenant != grant.tenant
        or widening.session != grant.id
        or widening.device != grant.device
        or widening.grant_sha256 != hashlib.sha256(facts.grant_bytes).hexdigest()
        or widening.operator != grant.operator
        or widening.operator_key != grant.operator_key
    ):
        raise RefusedError("widening-mismatch", "this is about another session, or by another hand")
    if not facts.guest:
        _check_trust(widening, facts)
    envelope = decode_envelope(data)
    if len(envelope.signatures) != 1 or not signers(envelope, [grant.operator_key]):
        raise RefusedError("grant-signature", "the key of the session's grant did not sign this")
    if not (
        parse_instant(widening.issued_at) - MAX_CLOCK_DIFFERENCE
        <= facts.now
        < parse_instant(widening.expires)
    ):
        raise RefusedError("widening-expired", "this is not valid now by this device's clock")
    if widening.id in facts.seen or len(facts.seen) >= MAX_WIDENINGS:
        raise RefusedError("widening-reused", "this was asked before, or too much was asked")
    return _agree(widening, envelope, facts)


def _read(data: bytes) -> Widening:
    try:
        widening = open_payload(decode_envelope(data), Widening)
        issued, expires = parse_instant(widening.issued_at), parse_instant(widening.expires)
    except FarhandError as error:
        raise RefusedError(
            "widening-malformed", "the widening cannot be read", detail=str(error)
        ) from error
    sound = (
        widening.scopes
        and len(widening.scopes) == len(set(widening.scopes))
        and set(widening.scopes) <= set(SCOPES)
        and len(widening.forward) <= MAX_FORWARD
        and all(len(one) <= MAX_TEXT_CHARS for one in (widening.reason, *widening.forward))
        and 1 <= len(widening.id) <= 64
        and timedelta(0) < expires - issued <= MAX_LIFETIME
    )
    if not sound:
        raise RefusedError("widening-malformed", "the widening's fields are out of bounds")
    return widening


def _check_trust(widening: Widening, facts: WideningFacts) -> None:
    trust = facts.trust
    if trust is None:
        raise RefusedError("trust-missing", "this device has no verified trust metadata")
    if trust.is_expired(facts.now):
        raise RefusedError("trust-expired", "this device's trust metadata has expired")
    if trust.targets_version < widening.targets_version:
        raise RefusedError("trust-behind", "the signer knew newer trust metadata than this device")
    if trust.revokes(facts.grant.device):
        raise RefusedError("device-revoked", "the organisation revoked this device's key")
    operator = trust.roster.find(widening.operator)
    if operator is None or widening.operator_key not in operator.keys:
        raise RefusedError("grant-operator-unknown", "the roster does not name operator and key")
    for scope in widening.scopes:
        if not may_open(operator, scope, facts.grant.group):
            raise RefusedError(
                "grant-not-permitted", f"the roster does not permit {scope!r} on this device"
            )


def _agree(widening: Widening, envelope: Envelope, facts: WideningFacts) -> Wider:
    policy = facts.policy
    forward_to: frozenset[str] = frozenset()
    if "forward" in widening.scopes:
        asked = frozenset(one.lower() for one in widening.forward)
        forward_to = asked & {one.lower() for one in policy.forward_to} - facts.open_forward
    scopes = tuple(
        scope
        for scope in SERVED_SCOPES
        if scope in widening.scopes
        and scope in policy.scopes
        and (forward_to if scope == "forward" else scope not in facts.open_scopes)
    )
    if not scopes:
        raise RefusedError("scope-empty", _why_nothing(widening, facts))
    return Wider(widening=widening, envelope=envelope, scopes=scopes, forward_to=forward_to)


def still_allowed(wider: Wider, facts: WideningFacts) -> Wider:
    """Return what is left of a widening that was agreed to, by what is known now.

    Raises:
        RefusedError: nothing; the code of the check that fails.
    """
    if not facts.guest:
        _check_trust(wider.widening, facts)
    now = _agree(wider.widening, wider.envelope, facts)
    forward_to = wider.forward_to & now.forward_to
    scopes = tuple(
        scope
        for scope in wider.scopes
        if scope in now.scopes and (scope != "forward" or forward_to)
    )
    if not scopes:
        raise RefusedError("scope-empty", "the policy or the roster was changed meanwhile")
    return replace(wider, scopes=scopes, forward_to=forward_to)


def _why_nothing(widening: Widening, facts: WideningFacts) -> str:
    """Say why nothing is left of a wish: what policy forbids, and what is open already."""
    served = set(SERVED_SCOPES) & set(facts.policy.scopes)
    allowed_to = {one.lower() for one in facts.policy.forward_to}
    asked = [(scope, scope in served) for scope in widening.scopes if scope != "forward"]
    if "forward" in widening.scopes:
        for one in widening.forward:
            is_allowed = "forward" in served and one.lower() in allowed_to
            asked.append((f"forward to {one}", is_allowed))
    forbidden = [name for name, is_allowed in asked if not is_allowed]
    already = [name for name, is_allowed in asked if is_allowed]
    words = []
    if forbidden:
        words.append(f"this device's policy does not allow {', '.join(forbidden)}")
    if already:
        words.append(f"open in this session already: {', '.join(already)}")
    return "; ".join(words) or "the scope forward came without a destination"


class SessionWidening:
    """Serves `farhand-widen` for one session.

    Args:
        facts: gathers what is known now.
        consent: asks the person, or does not where policy says so, and returns what is left of it
            after her answer; raises the refusal.
        widen: journals and opens what was agreed to.
        decided: is told of each outcome that the person was asked for: empty, or the code.
    """

    def __init__(
        self,
        facts: Callable[[frozenset[str]], Awaitable[WideningFacts]],
        consent: Callable[[Wider], Awaitable[Wider]],
        widen: Callable[[Wider], Awaitable[None]],
        decided: Callable[[str], None],
    ) -> None:
        self._facts = facts
        self._consent = consent
        self._widen = widen
        self._decided = decided
        self._seen: set[str] = set()

    async def serve(self, lines: Lines) -> None:
        """Hold one conversation: one widening, one answer."""
        try:
            data = _envelope(await lines.read_line(_MAX_LINE_BYTES))
            wider = check_widening(data, await self._facts(frozenset(self._seen)))
            self._seen.add(wider.widening.id)
            wider = await self._ask(wider)
        except FarhandError as error:
            _log.info("a widening was refused: %s", error)
            answer: dict[str, Any] = {
                "granted": False, "code": error.code, "words": error.message
            }  # fmt: skip
        else:
            answer = {
                "granted": True, "scopes": list(wider.scopes), "forward": sorted(wider.forward_to)
            }  # fmt: skip
        await lines.write(msgspec.json.encode(answer) + b"\n")

    async def _ask(self, wider: Wider) -> Wider:
        try:
            allowed = await self._consent(wider)
            # She may have taken a minute; what counts is what trust and policy say now.
            allowed = still_allowed(allowed, await self._facts(frozenset()))
            await self._widen(allowed)
        except FarhandError as error:
            self._decided(error.code)
            raise
        self._decided("")
        return allowed


def _envelope(line: bytes) -> bytes:
    try:
        return bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["widening"])
    except (msgspec.MsgspecError, KeyError, RecursionError, ValueError) as error:
        raise RemoteError("widening-malformed", "the widening cannot be read") from error
