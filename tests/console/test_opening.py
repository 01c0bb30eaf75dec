"""Opening a session against devices and relays that answer otherwise than they should."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from farhand_console.home import Home
from farhand_console.relay.answers import Claimed, Created, Mail, Session
from farhand_console.session.opening import Wish, open_by_code, open_by_grant
from farhand_console.session.record import SessionRecord, open_records
from farhand_console.session.scopes import Limits, scope_names, scope_words, unopened
from farhand_protocol.envelopes import decode_envelope
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import ConsoleRequest, Decision, DeviceOffer, Grant
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.pairing import DevicePairing
from farhand_protocol.receipts import open_grant
from farhand_protocol.trust import SCOPES, GroupPolicy, Operator
from tests.console.organisation import TENANT, Organisation, settings, signer

SESSION = "s-aaaaaaaaaaaaaaaa"
ORIGIN = "http://127.0.0.1:1"
SECRET = "C7M3QX"
WISH = Wish(ticket=None, scopes=["terminal", "files"], forward=[], minutes=30, reason="")


class Guest:
    """A device, never enrolled, that shows a code; and the relay between."""

    def __init__(self, secret: str = SECRET) -> None:
        self.key = signer()
        self.pairing = DevicePairing(ORIGIN, "4071", secret, entropy=os.urandom)
        self.grant: Grant | None = None
        self.offer: Callable[[DeviceOffer], DeviceOffer] = lambda offer: offer
        self.decision: dict[str, Any] = {}
        self.spoil: dict[str, bytes] = {}
        self.claimed = Claimed(session=SESSION, ticket="FH-9")

    def post(self, path: str, kind: Any, body: Any = None, *, wait_s: float = 0) -> Any:
        if path == "/pairings":
            return self.claimed
        assert path == f"/sessions/{SESSION}/mailbox"
        phase = body["phase"]
        answer = getattr(self, phase)(body["body"])
        return Mail(body=self.spoil.get(phase, answer))

    def get(self, path: str, kind: Any, **_: Any) -> Any:
        raise FarhandError("not-found", path)

    def pake(self, body: bytes) -> bytes:
        return self.pairing.receive_pake(body)

    def confirm(self, body: bytes) -> bytes:
        proof = self.pairing.receive_confirm(body)
        offer = DeviceOffer(
            session=SESSION,
            device=device_id(self.key.public_key),
            device_key=self.key.public_key,
            host_name="kitchen",
            group="",
            tenant="",
            guest=True,
            scopes=["terminal", "files"],
            minutes_max=60,
            targets_version=0,
            at="2026-11-22T12:00:00Z",
        )
        sealed = self.pairing.seal(msgspec.msgpack.encode(self.offer(offer)))
        return msgspec.msgpack.encode([proof, sealed])

    def request(self, body: bytes) -> bytes:
        request = msgspec.msgpack.decode(self.pairing.open(body), type=ConsoleRequest)
        self.grant = open_grant(decode_envelope(request.grant))
        given: dict[str, Any] = {
            "granted": True,
            "code": "",
            "words": "",
            "scopes": self.grant.scopes,
            "expires": self.grant.expires,
        }
        decision = Decision(**(given | self.decision))
        return self.pairing.seal(msgspec.msgpack.encode(decision))


def opened(home: Home, guest: Guest, operator: SeedSigner | None = None) -> SessionRecord:
    def no_trust() -> Any:
        raise AssertionError("a guest device needs no trust root")

    by = operator or signer()
    return open_by_code(
        home,
        settings(home, url=ORIGIN),
        guest,  # type: ignore[arg-type]
        "4071-" + SECRET,
        WISH,
        signer=lambda: by,
        trust=no_trust,
        say=lambda _: None,
    )


def test_a_guest_grants_what_was_asked(home: Home) -> None:
    guest, operator = Guest(), signer()
    record = opened(home, guest, operator)
    assert guest.grant is not None
    assert guest.grant.operator_key == operator.public_key
    assert guest.grant.transcript == guest.pairing.transcript
    assert record.words == guest.pairing.words
    assert record.device_key == guest.key.public_key
    assert (record.guest, record.ticket) == (True, "FH-9")
    assert [one.session for one in open_records(home)] == [SESSION]


def failed(home: Home, guest: Guest, code: str) -> FarhandError:
    with pytest.raises(FarhandError) as caught:
        opened(home, guest)
    assert caught.value.code == code
    assert open_records(home) == []
    return caught.value


def test_the_wrong_code_sends_nothing_sealed(home: Home) -> None:
    guest = Guest("222222")
    failed(home, guest, "code-wrong")
    assert guest.grant is None


@pytest.mark.parametrize(
    ("phase", "body"),
    [
        ("pake", b""),
        ("pake", b"\x01" + b"A" * 33),
        ("confirm", b""),
        ("confirm", b"\xc1"),
        ("confirm", b"\x92\xc4\x01x\xc4\x01y"),
        ("request", b""),
        ("request", b"x" * 100),
    ],
)
def test_a_relay_that_changes_a_blob(home: Home, phase: str, body: bytes) -> None:
    guest = Guest()
    guest.spoil[phase] = body
    with pytest.raises(FarhandError) as caught:
        opened(home, guest)
    assert caught.value.code in ("pairing-malformed", "code-wrong", "code-burned")
    assert open_records(home) == []


@pytest.mark.parametrize(
    "change",
    [
        {"session": "s-bbbbbbbbbbbbbbbb"},
        {"device": "d-other"},
        {"device_key": b""},
        {"device_key": b"x" * 32},
    ],
)
def test_an_offer_that_contradicts_itself(home: Home, change: dict[str, Any]) -> None:
    guest = Guest()
    guest.offer = lambda offer: msgspec.structs.replace(offer, **change)
    failed(home, guest, "pairing-malformed")
    assert guest.grant is None


def test_a_session_id_that_is_none(home: Home) -> None:
    guest = Guest()
    guest.claimed = Claimed(session="../../etc", ticket="")
    failed(home, guest, "relay-answer")


def test_refusals_keep_their_code_and_end_with_three(home: Home) -> None:
    for code, shown in (
        ("consent-timeout", "consent-timeout"),
        ("policy-refused", "policy-refused"),
        ("", "consent-refused"),
        ("\x1b[31m", "consent-refused"),
    ):
        guest = Guest()
        guest.decision = {"granted": False, "code": code}
        assert failed(home, guest, shown).exit_code == 3
    guest = Guest()
    guest.decision = {"scopes": []}
    assert failed(home, guest, "scope-empty").exit_code == 3


def test_more_than_was_asked_for_is_not_taken(home: Home) -> None:
    guest = Guest()
    guest.decision = {"scopes": ["terminal", "control"]}
    failed(home, guest, "grant-exceeded")
    for expires, code in (("2099-01-01T00:00:00Z", "grant-exceeded"), ("soon", "time-malformed")):
        guest = Guest()
        guest.decision = {"expires": expires}
        failed(home, guest, code)


class GrantRelay:
    """A relay that offers a grant to a device and says what it answered."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation
        self.posted: dict[str, Any] = {}
        self.changes: dict[str, Any] = {}
        self.known: dict[str, str] = {"1": "FH-1"}
        self.said: list[str] = []

    def get(self, path: str, kind: Any, **_: Any) -> Any:
        if path.startswith("/devices/"):
            return self.organisation.answer()
        number = self.known.get(path.removeprefix("/tickets/"))
        if number is None:
            raise FarhandError("not-found", path)
        return Created(id="1", number=number)

    def post(self, path: str, kind: Any, body: Any = None, *, wait_s: float = 0) -> Any:
        self.posted[path] = body
        if path == "/tickets":
            return Created(id="5", number="FH-5")
        grant = open_grant(decode_envelope(body["envelope"]))
        given: dict[str, Any] = {
            "session": body["session"],
            "device": body["device"],
            "operator": "tess",
            "state": "active",
            "reason": "",
            "scopes": ["terminal"],
            "active_s": 0,
            "expires_at": format_instant(parse_instant(grant.expires) - timedelta(minutes=5)),
        }
        return Session(**(given | self.changes))

    def opened(self, home: Home, device: str = "reception", **wish: Any) -> SessionRecord:
        return open_by_grant(
            home,
            settings(home),
            self,  # type: ignore[arg-type]
            device,
            msgspec.structs.replace(WISH, **wish),
            signer=lambda: self.organisation.technician,
            trust=self.organisation.trust,
            say=self.said.append,
        )


def test_what_is_not_open_is_said_with_the_reason(home: Home, organisation: Organisation) -> None:
    def said(asked: list[str], **changes: Any) -> list[str]:
        relay = GrantRelay(organisation)
        relay.changes = changes
        with contextlib.suppress(RefusedError):
            relay.opened(home, scopes=asked, forward=["Printer:631"])
        return [one for one in relay.said if one.startswith("not open")]

    def rules(**more: Any) -> None:
        groups = {"office": GroupPolicy(unattended=True, **more)}
        policy = organisation.trust.policy
        organisation.trust.policy = msgspec.structs.replace(policy, groups=groups)

    rules(scopes=["terminal", "forward"])
    (line,) = said(["terminal", "files"])
    assert line.startswith("not open: files (read and write files there): the policy of group")
    (line,) = said(["terminal", "forward"])
    assert "lists no destination" in line
    rules(forward_to=["printer:631"])
    (line,) = said(["terminal", "forward"])
    assert "by its own policy" in line
    assert said(["terminal"]) == []
    # No to everything: which scope it was is told where that is the reason.
    refused = {"state": "refused", "scopes": []}
    assert len(said(["terminal", "files"], **refused, reason="scope-empty")) == 2
    assert said(["terminal", "files"], **refused, reason="consent-refused") == []
    roster = organisation.trust.roster
    tess = Operator(name=settings(home).account, keys=[], permissions=["session:view@*"])
    others = [one for one in roster.operators if one.name != tess.name]
    organisation.trust.roster = msgspec.structs.replace(roster, operators=[*others, tess])
    (line,) = said(["files"], **refused, reason="grant-not-permitted")
    assert "the roster does not let you" in line


def test_what_a_code_does_not_offer_is_said() -> None:
    limits = Limits(offered=["view"])
    (line,) = unopened(["view", "terminal"], ["view"], [], limits)
    assert line == (
        "not open: terminal (type commands there): the device did not offer it with this code"
    )
    (line,) = unopened(["forward"], [], [], limits)
    assert "--forward-to HOST:PORT" in line
    (line,) = unopened(["\x1b[2J"], [], [], limits)
    assert "\x1b" not in line
    assert all(scope_words(scope) != scope for scope in SCOPES)
    assert scope_names([]) == "nothing"


def test_a_grant_names_the_verified_device_and_its_ticket(
    home: Home, organisation: Organisation
) -> None:
    relay = GrantRelay(organisation)
    record = relay.opened(home)
    grant = open_grant(decode_envelope(record.grant))
    assert (grant.device, grant.group, grant.ticket) == (record.device, "office", "FH-5")
    assert grant.tenant == TENANT
    assert relay.posted["/sessions"]["ticket"] == "FH-5"
    assert relay.posted["/tickets"]["walk_in"] is True
    relay.opened(home, ticket="1")
    assert relay.posted["/sessions"]["ticket"] == "FH-1"
    relay.opened(home, ticket="JIRA-77")
    assert (
        relay.posted["/sessions"] | {"ticket": None, "external_key": "JIRA-77"}
        == (relay.posted["/sessions"])
    )
    for number in ("99", "FH-99"):
        with pytest.raises(FarhandError, match="not-found"):
            relay.opened(home, ticket=number)


def test_a_grant_for_another_device_is_not_signed(home: Home, organisation: Organisation) -> None:
    relay = GrantRelay(organisation)
    with pytest.raises(FarhandError, match="device-unverified"):
        relay.opened(home, device="workshop")
    assert relay.posted == {}


def test_what_cannot_be_recorded_is_not_asked_for(home: Home, organisation: Organisation) -> None:
    rules = GroupPolicy(unattended=True, recording="required", approvals=1)
    groups = {"office": rules}
    organisation.trust.policy = msgspec.structs.replace(organisation.trust.policy, groups=groups)
    relay = GrantRelay(organisation)
    with pytest.raises(RefusedError, match="recording-impossible"):
        relay.opened(home)
    assert relay.posted == {}


def test_others_have_an_hour_to_approve(home: Home, organisation: Organisation) -> None:
    def lives(**rules: Any) -> timedelta:
        groups = {"office": GroupPolicy(unattended=True, **rules)}
        policy = organisation.trust.policy
        organisation.trust.policy = msgspec.structs.replace(policy, groups=groups)
        grant = open_grant(decode_envelope(GrantRelay(organisation).opened(home).grant))
        return parse_instant(grant.expires) - parse_instant(grant.issued_at)

    assert lives(approvals=1) - lives() == timedelta(hours=1)


def test_what_was_ended_before_it_opened_is_not_a_refusal(
    home: Home, organisation: Organisation
) -> None:
    relay = GrantRelay(organisation)
    relay.changes = {"state": "ended", "reason": "operator"}
    with pytest.raises(FarhandError, match="session-ended"):
        relay.opened(home)


@pytest.mark.parametrize(
    ("code", "words", "helps"),
    [
        ("grant-operator-unknown", "not (any more) on the roster", "operator add tess"),
        ("consent-timeout", "nobody can be", "trust policy office --consent notify"),
    ],
)
def test_a_refusal_says_what_helps(
    home: Home, organisation: Organisation, code: str, words: str, helps: str
) -> None:
    relay = GrantRelay(organisation)
    relay.changes = {"state": "refused", "reason": code}
    with pytest.raises(RefusedError) as caught:
        relay.opened(home)
    assert caught.value.code == code
    assert words in caught.value.message
    assert helps in (caught.value.hint or "")


def test_a_grant_refused_or_stretched(home: Home, organisation: Organisation) -> None:
    relay = GrantRelay(organisation)
    for changes, code in (
        ({"state": "refused", "reason": "policy-refused"}, "policy-refused"),
        ({"state": "refused", "reason": "No!"}, "consent-refused"),
        ({"scopes": []}, "scope-empty"),
    ):
        relay.changes = changes
        with pytest.raises(RefusedError) as caught:
            relay.opened(home)
        assert caught.value.code == code
    for stretched in ({"scopes": ["control"]}, {"expires_at": "2099-01-01T00:00:00Z"}):
        relay.changes = stretched
        with pytest.raises(FarhandError, match="grant-exceeded"):
            relay.opened(home)
    assert open_records(home) == []
