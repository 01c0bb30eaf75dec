"""The shapes of the relay's answers, as far as the console looks at them.

They say what a field is, not that it is true.  Unknown fields are left out, so that a newer relay
may say more; a missing one or another type is refused where the answer is read.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from farhand_console.relay.bounds import Count

__all__ = [
    "Account",
    "AddedAccount",
    "Answer",
    "Begun",
    "Claimed",
    "Created",
    "Device",
    "Differences",
    "Factor",
    "Factors",
    "FilledOrders",
    "JumpAddress",
    "JumpKeyAnswer",
    "Mail",
    "Me",
    "MyNotice",
    "NewTotp",
    "Nothing",
    "OrderLine",
    "OrderStates",
    "OrderView",
    "Page",
    "PipeToken",
    "RecoveryCodes",
    "ResetToken",
    "Script",
    "ScriptDetail",
    "Section",
    "SectionDifference",
    "SectionName",
    "Session",
    "SignInAnswer",
    "SignInLine",
    "SignInSettings",
    "SignedIn",
    "Tags",
    "TokenRegistration",
    "TrustState",
    "WaitingGrant",
]

T = TypeVar("T")

# An answer that nobody looks at.
Nothing: Any = Any


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every shape."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    items: list[T]
    next: str | None = None


# Signing in.


class Who(Answer, frozen=True, kw_only=True):
    """An account."""

    id: str
    name: str
    role: str


class Organisation(Answer, frozen=True, kw_only=True):
    """The tenant."""

    tenant: str
    name: str


class SignedIn(Answer, frozen=True, kw_only=True):
    """Who signed in, and with what it goes on; `audit_head` is checked by `audit.keep_head`."""

    token: str
    account: Who
    organisation: Organisation
    relay_key: bytes
    audit_head: dict[str, Any]


class SignInAnswer(Answer, frozen=True, kw_only=True):
    """Signed in, or with `pending` a second factor of one of `factors` is due."""

    pending: str = ""
    factors: list[str] = []
    token: str = ""
    needs_factor: bool = False
    account: Who | None = None
    organisation: Organisation | None = None
    relay_key: bytes = b""
    audit_head: dict[str, Any] = {}

    def signed_in(self) -> SignedIn | None:
        """Return it as a finished sign-in; None while a factor is due, or where half is missing."""
        if self.account is None or self.organisation is None or not self.token:
            return None
        return SignedIn(
            token=self.token,
            account=self.account,
            organisation=self.organisation,
            relay_key=self.relay_key,
            audit_head=self.audit_head,
        )


class Begun(Answer, frozen=True, kw_only=True):
    """What a browser opens to sign in."""

    url: str


class Me(Answer, frozen=True, kw_only=True):
    """Who is signed in."""

    account: Who
    organisation: Organisation


class Account(Answer, frozen=True, kw_only=True):
    """An account in the list."""

    id: str
    name: str
    role: str
    created_at: str
    disabled_at: str | None = None
    tier: Count = 1


class Factor(Answer, frozen=True, kw_only=True):
    """A second factor."""

    id: str
    kind: str
    label: str
    created_at: str
    used_at: str | None = None


class Factors(Answer, frozen=True, kw_only=True):
    """One's second factors."""

    items: list[Factor]
    recovery_left: Count
    next: str | None = None


class NewTotp(Answer, frozen=True, kw_only=True):
    """What an authenticator app is given."""

    id: str
    secret: str
    uri: str


class RecoveryCodes(Answer, frozen=True, kw_only=True):
    """New recovery codes."""

    recovery_codes: list[str]


class SignInLine(Answer, frozen=True, kw_only=True):
    """Where somebody is signed in."""

    id: str
    how: str
    address: str
    created_at: str
    expires_at: str
    last_used_at: str | None = None
    is_this: bool = False
    is_enrolling: bool = False


class ResetToken(Answer, frozen=True, kw_only=True):
    """What sets a new password."""

    name: str
    token: str
    url: str


class MyNotice(Answer, frozen=True, kw_only=True):
    """One thing that somebody was told."""

    seq: Count
    kind: str
    ticket: str | None = None
    words: str
    at: str
    seen_at: str | None = None


class SignInSettings(Answer, frozen=True, kw_only=True):
    """How people sign in there."""

    factor_roles: list[str]
    links_for: str
    tier_rights: dict[str, Count]


class AddedAccount(Answer, frozen=True, kw_only=True):
    """A new account and its one-use token."""

    id: str
    name: str
    role: str
    signin_token: str


class TrustState(Answer, frozen=True, kw_only=True):
    """What the relay holds of the trust root; version 0 is none."""

    root_version: Count
    online_key: bytes


class TokenRegistration(Answer, frozen=True, kw_only=True):
    """A registered enrolment token."""

    id: str
    group: str
    uses: Count
    uses_left: Count
    signed_by: str
    created_by: str
    created_at: str
    expires_at: str


# The fleet.


class Device(Answer, frozen=True, kw_only=True):
    """A device in the list; its key is `trust.devices`' business."""

    id: str
    name: str
    group: str
    tags: list[str]
    online: bool
    confirmed: bool
    os: str | None
    last_seen: str | None
    host_name: str = ""
    agent_version: str = ""
    enrolled_at: str = ""
    retired_at: str | None = None
    warning: str | None = None
    warning_at: str | None = None
    kind: str = "agent"
    address: str | None = None
    merged_into: str | None = None


class Tags(Answer, frozen=True, kw_only=True):
    """A device's tags."""

    tags: list[str]


class SectionName(Answer, frozen=True, kw_only=True):
    """A section in the list."""

    name: str


class Section(Answer, frozen=True, kw_only=True):
    """One inventory section."""

    status: str
    reason: str
    items: list[dict[str, Any]]
    hash: str
    collected_at: str
    duration_ms: Count


class Change(Answer, frozen=True, kw_only=True):
    """One item before and after."""

    before: dict[str, Any]
    after: dict[str, Any]


class ItemChange(Answer, frozen=True, kw_only=True):
    """One thing that came, went, or became another."""

    change: str
    identity: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class HistoryEntry(Answer, frozen=True, kw_only=True):
    """One report that changed a section."""

    seq: Count
    device: str
    section: str
    status_before: str | None
    status: str
    seen_at: str
    received_at: str
    added_count: Count
    removed_count: Count
    is_first: bool
    is_whole: bool
    changes: list[ItemChange]


class HistoryPage(Answer, frozen=True, kw_only=True):
    """How a device's inventory changed."""

    device: str
    items: list[HistoryEntry]
    next: str | None = None


class CheckState(Answer, frozen=True, kw_only=True):
    """How one check stands, by the device's word."""

    id: str
    subject: str
    state: str
    summary: str
    value: str | None
    unit: str | None
    since: str | None
    seen_at: str


class SectionDifference(Answer, frozen=True, kw_only=True):
    """What changed in one section."""

    name: str
    status_after: str
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[Change]
    added_count: Count = 0
    removed_count: Count = 0
    changed_count: Count = 0
    status_before: str | None = None
    before_at: str | None = None
    after_at: str | None = None
    is_whole: bool = True


class Differences(Answer, frozen=True, kw_only=True):
    """What changed on a device."""

    device: str
    since: str
    items: list[SectionDifference]
    next: str | None = None


class Script(Answer, frozen=True, kw_only=True):
    """A script version in the list."""

    id: str
    version: Count
    state: str
    risk: str
    digest: str
    title: str
    author: str


class ScriptDetail(Answer, frozen=True, kw_only=True):
    """A script version with its sealed manifest and its body."""

    state: str
    envelope: bytes
    body: bytes


class OrderState(Answer, frozen=True, kw_only=True):
    """What became of one order handed in."""

    order: str
    state: str


class OrderStates(Answer, frozen=True, kw_only=True):
    """What became of the orders handed in."""

    items: list[OrderState]


class FilledOrder(OrderState, frozen=True, kw_only=True):
    """What became of one order of a campaign; with `code`, why it was not stored."""

    code: str | None = None


class FilledOrders(Answer, frozen=True, kw_only=True):
    """What became of each order of a campaign, in the order in which they were handed in."""

    items: list[FilledOrder]


class OrderLine(Answer, frozen=True, kw_only=True):
    """An order in the list."""

    order: str
    device: str
    state: str
    exit_code: Count | None = None
    refusal: str | None = None
    operator: str | None = None


class OrderView(OrderLine, frozen=True, kw_only=True):
    """An order; `envelope` is its operator's and `result` the device's."""

    envelope: bytes | None = None
    result: bytes | None = None


# The desk and sessions.


class Created(Answer, frozen=True, kw_only=True):
    """A new ticket."""

    id: str
    number: str


class Claimed(Answer, frozen=True, kw_only=True):
    """A nameplate that is ours now."""

    session: str
    ticket: str


class Mail(Answer, frozen=True, kw_only=True):
    """The device's pairing blob."""

    body: bytes


class JumpAddress(Answer, frozen=True, kw_only=True):
    """Where the jump port is; `signature` is checked against the pinned relay key."""

    host: str
    port: Count
    host_key: bytes
    signature: bytes


class JumpKeyAnswer(Answer, frozen=True, kw_only=True):
    """A jump key is registered until then."""

    expires_at: str


class PipeToken(Answer, frozen=True, kw_only=True):
    """Where to attach a pipe, and with what."""

    url: str
    token: bytes
    number: Count | None = None


class SessionMember(Answer, frozen=True, kw_only=True):
    """Somebody who asked to join a session, as the relay knows it."""

    join: str
    session: str
    operator: str
    mode: str
    state: str
    reason: str
    asked_at: str
    joined_at: str | None = None
    left_at: str | None = None
    leads_at: str | None = None


class Session(Answer, frozen=True, kw_only=True):
    """A session as the relay knows it."""

    session: str
    device: str
    operator: str
    state: str
    reason: str
    scopes: list[str]
    active_s: Count
    purpose: str = ""
    ticket: str | None = None
    guest: bool = False
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    expires_at: str | None = None
    receipt_sha256: str | None = None
    time_entry: str | None = None
    note: str = ""


class WaitingGrant(Answer, frozen=True, kw_only=True):
    """A session that waits for approvals; only `envelope`, once verified, is believed."""

    session: str
    device: str
    operator: str
    needed: Count
    approvers: list[str]
    envelope: bytes
    ticket: str | None = None
    expires_at: str | None = None
