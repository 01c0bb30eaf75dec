"""Statements and people that the protocol's tests share; every value is fixed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.grants import Grant, GrantApproval, Receipt, Widening
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import Manifest
from farhand_protocol.orders import Order
from farhand_protocol.tokens import Enrolment, EnrolmentToken, SigninToken, Token
from farhand_protocol.trust import DEFAULT_APPROVALS, Operator, Policy, Roster

TENANT = "t-acme"
BODY = b"print('hello')\n"


def seed(name: str) -> bytes:
    """Return the 32-byte seed that belongs to a name."""
    return hashlib.sha256(b"farhand test seed " + name.encode()).digest()


def signer(name: str) -> SeedSigner:
    """Return the signer of a person or a machine."""
    return SeedSigner(seed(name))


def entropy(name: str) -> Callable[[int], bytes]:
    """Return a fixed stream of bytes, as SHA-256(name | u64 counter) blocks cut per call."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        out = b""
        while len(out) < size:
            out += hashlib.sha256(name.encode() + count.to_bytes(8, "big")).digest()
            count += 1
        return out[:size]

    return draw


DEVICE_KEY = signer("device").public_key
DEVICE = device_id(DEVICE_KEY)


def operator(name: str, *permissions: str, keys: list[str] | None = None) -> Operator:
    """Return an operator whose keys are named after her, or `keys`."""
    return Operator(
        name=name,
        keys=[signer(key).public_key for key in (keys or [name])],
        permissions=list(permissions),
    )


def roster(*operators: Operator) -> Roster:
    """Return a roster."""
    return Roster(tenant=TENANT, operators=list(operators))


def policy() -> Policy:
    """Return the default policy."""
    return Policy(tenant=TENANT, approvals=DEFAULT_APPROVALS, groups={})


def manifest(**changes: Any) -> Manifest:
    """Return a valid manifest."""
    made = Manifest(
        tenant=TENANT,
        id="remedy.greet",
        version=1,
        title="Greet",
        description="Says hello.",
        sha256=hashlib.sha256(BODY).hexdigest(),
        size_bytes=len(BODY),
        author="alice",
        platforms=["linux"],
        interpreter="python",
        parameters={
            "type": "object",
            "additionalProperties": False,
            "properties": {"name": {"type": "string", "pattern": "^[a-z]{1,20}$"}},
            "required": ["name"],
        },
        run_as="agent",
        risk="R2",
        timeout_s=60,
        max_output_bytes=65_536,
        sensitive=False,
        detect=None,
        verify="check.greeting",
        created_at="2026-11-22T08:00:00Z",
        expires="2027-11-22T08:00:00Z",
    )
    return msgspec.structs.replace(made, **changes)


def order(**changes: Any) -> Order:
    """Return a valid order."""
    made = Order(
        tenant=TENANT,
        id="o-aaaaaaaaaaaaaaaa",
        device=DEVICE,
        host_name="desk-7",
        group="default",
        script="remedy.greet",
        version=1,
        risk="R2",
        digest="ab" * 32,
        parameters={"name": "ada"},
        operator="carol",
        ticket="FH-1",
        campaign=None,
        ring=None,
        targets_version=3,
        issued_at="2026-11-22T08:00:00Z",
        not_before="2026-11-22T08:00:00Z",
        expires="2026-11-23T08:00:00Z",
    )
    return msgspec.structs.replace(made, **changes)


def grant(**changes: Any) -> Grant:
    """Return a valid grant."""
    made = Grant(
        tenant=TENANT,
        id="s-aaaaaaaaaaaaaaaa",
        device=DEVICE,
        host_name="desk-7",
        group="default",
        operator="carol",
        operator_key=signer("carol").public_key,
        organisation="Acme",
        ticket="FH-1",
        reason="printer",
        scopes=["view", "terminal"],
        forward=[],
        minutes=30,
        console_key=signer("console").public_key,
        transcript=hashlib.sha256(b"transcript").digest(),
        targets_version=3,
        issued_at="2026-11-22T08:00:00Z",
        not_before="2026-11-22T08:00:00Z",
        expires="2026-11-22T08:30:00Z",
    )
    return msgspec.structs.replace(made, **changes)


def grant_approval(**changes: Any) -> GrantApproval:
    """Return another operator's approval of the sample grant."""
    made = GrantApproval(
        tenant=TENANT,
        id="s-aaaaaaaaaaaaaaaa",
        grant_sha256=_grant_sha256(),
        approver="bob",
        approver_key=signer("bob").public_key,
        at="2026-11-22T08:00:00Z",
        expires="2026-11-22T09:00:00Z",
    )
    return msgspec.structs.replace(made, **changes)


def widening(**changes: Any) -> Widening:
    """Return the wish to forward as well, in the session of the sample grant."""
    made = Widening(
        tenant=TENANT,
        id="w-aaaaaaaaaaaaaaaa",
        session="s-aaaaaaaaaaaaaaaa",
        device=DEVICE,
        grant_sha256=_grant_sha256(),
        operator="carol",
        operator_key=signer("carol").public_key,
        scopes=["forward"],
        forward=["printer.example:631"],
        reason="the printer's own page",
        targets_version=3,
        issued_at="2026-11-22T08:10:00Z",
        expires="2026-11-22T08:15:00Z",
    )
    return msgspec.structs.replace(made, **changes)


def _grant_sha256() -> str:
    return hashlib.sha256(encode_envelope(seal(grant(), signer("carol")))).hexdigest()


def enrolment_token(**changes: Any) -> EnrolmentToken:
    """Return a valid enrolment token."""
    made = EnrolmentToken(
        url="https://relay.example:8443",
        relay_key=signer("relay").public_key,
        tls_sha256=hashlib.sha256(b"certificate").digest(),
        tenant=TENANT,
        token="t-aaaaaaaaaaaaaaaa",
        group="default",
        root_version=1,
        root_sha256=hashlib.sha256(b"root").digest(),
        targets_version=3,
        seed=seed("token"),
    )
    return msgspec.structs.replace(made, **changes)


def signin_token(**changes: Any) -> SigninToken:
    """Return a valid sign-in token."""
    made = SigninToken(
        relay_key=signer("relay").public_key,
        tls_sha256=b"",
        tenant=TENANT,
        secret=seed("sign-in"),
    )
    return msgspec.structs.replace(made, **changes)


def registration() -> Token:
    """Return the statement behind the enrolment token."""
    return Token(
        tenant=TENANT,
        id="t-aaaaaaaaaaaaaaaa",
        key=signer("token").public_key,
        group="default",
        uses=1,
        created_at="2026-11-22T08:00:00Z",
        expires="2026-11-22T09:00:00Z",
    )


def enrolment() -> Enrolment:
    """Return a device's wish to enrol under that token."""
    return Enrolment(
        tenant=TENANT,
        token="t-aaaaaaaaaaaaaaaa",
        device=DEVICE,
        device_key=DEVICE_KEY,
        group="default",
        name="desk-7",
        at="2026-11-22T08:05:00Z",
    )


def receipt(**changes: Any) -> Receipt:
    """Return the receipt of a session under the sample grant."""
    made = Receipt(
        tenant=TENANT,
        id="r-aaaaaaaaaaaaaaaa",
        session="s-aaaaaaaaaaaaaaaa",
        device=DEVICE,
        device_key=DEVICE_KEY,
        host_name="desk-7",
        guest=False,
        operator="carol",
        organisation="Acme",
        ticket="FH-1",
        scopes=["view"],
        started_at="2026-11-22T08:01:00Z",
        ended_at="2026-11-22T08:20:00Z",
        active_s=600,
        reason="done",
        note="cleared the queue",
        actions=[],
        actions_omitted=0,
        grant=seal(grant(), signer("carol")),
    )
    return msgspec.structs.replace(made, **changes)
