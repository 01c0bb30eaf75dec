"""The shapes of the relay's answers, as far as the console looks at them.

They say what a field is, not that it is true.  Unknown fields are left out, so that a newer relay
may say more; a missing one or another type is refused where the answer is read.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from farhand_protocol.campaigns import CampaignPlan

__all__ = [
    "Account",
    "AddedAccount",
    "Campaign",
    "CampaignReport",
    "Cause",
    "Claimed",
    "Created",
    "Device",
    "Differences",
    "FilledOrders",
    "JumpAddress",
    "JumpKeyAnswer",
    "Mail",
    "Me",
    "Nothing",
    "OrderLine",
    "OrderStates",
    "OrderView",
    "Page",
    "PipeToken",
    "Ring",
    "Script",
    "ScriptDetail",
    "Section",
    "SectionDifference",
    "SectionName",
    "Session",
    "SignedIn",
    "Tags",
    "Target",
    "TokenRegistration",
    "TrustState",
    "WaitingGrant",
]

T = TypeVar("T")

# An answer that nobody looks at.
Nothing: Any = Any


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    items: list[T]
    next: str | None = None


# Signing in.


class Who(_Answer, frozen=True, kw_only=True):
    """An account."""

    id: str
    name: str
    role: str


class Organisation(_Answer, frozen=True, kw_only=True):
    """The tenant."""

    tenant: str
    name: str


class SignedIn(_Answer, frozen=True, kw_only=True):
    """Who signed in, and with what it goes on; `audit_head` is checked by `audit.keep_head`."""

    token: str
    account: Who
    organisation: Organisation
    relay_key: bytes
    audit_head: dict[str, Any]


class Me(_Answer, frozen=True, kw_only=True):
    """Who is signed in."""

    account: Who
    organisation: Organisation


class Account(_Answer, frozen=True, kw_only=True):
    """An account in the list."""

    id: str
    name: str
    role: str
    created_at: str
    disabled_at: str | None = None


class AddedAccount(_Answer, frozen=True, kw_only=True):
    """A new account and its one-use token."""

    id: str
    name: str
    role: str
    signin_token: str


class TrustState(_Answer, frozen=True, kw_only=True):
    """What the relay holds of the trust root; version 0 is none."""

    root_version: int
    online_key: bytes


class TokenRegistration(_Answer, frozen=True, kw_only=True):
    """A registered enrolment token."""

    id: str
    group: str
    uses: int
    uses_left: int
    signed_by: str
    created_by: str
    created_at: str
    expires_at: str


# The fleet.


class Device(_Answer, frozen=True, kw_only=True):
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


class Product(_Answer, frozen=True, kw_only=True):
    """What people know of a device; of the fields named in `reported`, only it says so."""

    device: str
    make: str | None
    model: str | None
    serial: str | None
    purchased_on: str | None
    warranty_ends_on: str | None
    vendor_contract: str | None
    asset_number: str | None
    notes: str | None
    warranty: str
    reported: list[str]
    revision: int
    updated_by: str | None
    updated_at: str | None


class Twin(_Answer, frozen=True, kw_only=True):
    """One of two devices that may be one machine."""

    id: str
    name: str
    last_seen: str | None


class SharedHint(_Answer, frozen=True, kw_only=True):
    """What both say of themselves."""

    kind: str
    value: str


class Dismissal(_Answer, frozen=True, kw_only=True):
    """Two devices that a person called two."""

    one: str
    other: str
    dismissed_by: str
    dismissed_at: str


class Duplicate(_Answer, frozen=True, kw_only=True):
    """Two devices that may be one machine."""

    keep: Twin
    other: Twin
    score: int
    strength: str
    shared: list[SharedHint]
    dismissed: Dismissal | None = None


class Merge(_Answer, frozen=True, kw_only=True):
    """The record of a merge."""

    id: str
    kept: str
    other: str
    merged_by: str
    merged_at: str
    undone_by: str | None = None
    undone_at: str | None = None


class Tags(_Answer, frozen=True, kw_only=True):
    """A device's tags."""

    tags: list[str]


class SectionName(_Answer, frozen=True, kw_only=True):
    """A section in the list."""

    name: str


class Section(_Answer, frozen=True, kw_only=True):
    """One inventory section."""

    status: str
    reason: str
    items: list[dict[str, Any]]
    hash: str
    collected_at: str
    duration_ms: int


class Change(_Answer, frozen=True, kw_only=True):
    """One item before and after."""

    before: dict[str, Any]
    after: dict[str, Any]


class ItemChange(_Answer, frozen=True, kw_only=True):
    """One thing that came, went, or became another."""

    change: str
    identity: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class HistoryEntry(_Answer, frozen=True, kw_only=True):
    """One report that changed a section."""

    seq: int
    device: str
    section: str
    status_before: str | None
    status: str
    seen_at: str
    received_at: str
    added_count: int
    removed_count: int
    is_first: bool
    is_whole: bool
    changes: list[ItemChange]


class HistoryPage(_Answer, frozen=True, kw_only=True):
    """How a device's inventory changed."""

    device: str
    items: list[HistoryEntry]
    next: str | None = None


class CheckState(_Answer, frozen=True, kw_only=True):
    """How one check stands, by the device's word."""

    id: str
    subject: str
    state: str
    summary: str
    value: str | None
    unit: str | None
    since: str | None
    seen_at: str


class SectionDifference(_Answer, frozen=True, kw_only=True):
    """What changed in one section."""

    name: str
    status_after: str
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[Change]
    added_count: int = 0
    removed_count: int = 0
    changed_count: int = 0
    status_before: str | None = None
    before_at: str | None = None
    after_at: str | None = None
    is_whole: bool = True


class Differences(_Answer, frozen=True, kw_only=True):
    """What changed on a device."""

    device: str
    since: str
    items: list[SectionDifference]
    next: str | None = None


class Script(_Answer, frozen=True, kw_only=True):
    """A script version in the list."""

    id: str
    version: int
    state: str
    risk: str
    digest: str
    title: str
    author: str


class ScriptDetail(_Answer, frozen=True, kw_only=True):
    """A script version with its sealed manifest and its body."""

    state: str
    envelope: bytes
    body: bytes


class OrderState(_Answer, frozen=True, kw_only=True):
    """What became of one order handed in."""

    order: str
    state: str


class OrderStates(_Answer, frozen=True, kw_only=True):
    """What became of the orders handed in."""

    items: list[OrderState]


class FilledOrder(OrderState, frozen=True, kw_only=True):
    """What became of one order of a campaign; with `code`, why it was not stored."""

    code: str | None = None


class FilledOrders(_Answer, frozen=True, kw_only=True):
    """What became of each order of a campaign, in the order in which they were handed in."""

    items: list[FilledOrder]


class OrderLine(_Answer, frozen=True, kw_only=True):
    """An order in the list."""

    order: str
    device: str
    state: str
    exit_code: int | None = None
    refusal: str | None = None
    operator: str | None = None


class OrderView(OrderLine, frozen=True, kw_only=True):
    """An order; `result` is the device's envelope."""

    result: bytes | None = None


class Campaign(_Answer, frozen=True, kw_only=True):
    """A campaign."""

    campaign: str
    name: str
    state: str
    script: str
    version: int
    digest: str
    query: str
    parameters: dict[str, Any]
    ttl_s: int
    targets: int
    plan: CampaignPlan = CampaignPlan()
    target_set: str | None = None
    source: str | None = None
    reason: str | None = None
    open_ring: int = 0
    risk: str = ""
    counts: dict[str, int] = {}
    created_by: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


class Target(_Answer, frozen=True, kw_only=True):
    """A frozen device of a campaign, with what proves its key."""

    order: str
    state: str
    device: str
    name: str
    host_name: str
    group: str
    key: bytes
    enrolment: bytes
    ring: int = 0
    token_envelope: bytes | None = None
    confirmation: bytes | None = None


class Ring(_Answer, frozen=True, kw_only=True):
    """One ring's counts, and what holds up the one after it."""

    ring: int
    counts: dict[str, int]
    name: str = ""
    targets: int = 0
    opened_at: str | None = None
    settled_at: str | None = None
    held: str | None = None
    approved_by: str | None = None
    approved_at: str | None = None


class Cause(_Answer, frozen=True, kw_only=True):
    """Failures that look alike."""

    signature: str
    count: int
    example: str | None


class CampaignReport(_Answer, frozen=True, kw_only=True):
    """A campaign's states, counted."""

    campaign: str
    state: str
    counts: dict[str, int]
    rings: list[Ring]
    causes: list[Cause]
    reason: str | None = None


class CampaignStep(_Answer, frozen=True, kw_only=True):
    """A step of an order, or of the campaign itself."""

    seq: int
    at: str
    state: str
    order: str | None = None
    device: str | None = None
    ring: int | None = None
    detail: dict[str, Any] = {}


class CampaignEvents(_Answer, frozen=True, kw_only=True):
    """What happened after a cursor, and the cursor to go on from."""

    items: list[CampaignStep]
    next: str
    state: str


# The desk and sessions.


class Created(_Answer, frozen=True, kw_only=True):
    """A new ticket."""

    id: str
    number: str


class Claimed(_Answer, frozen=True, kw_only=True):
    """A nameplate that is ours now."""

    session: str
    ticket: str


class Mail(_Answer, frozen=True, kw_only=True):
    """The device's pairing blob."""

    body: bytes


class JumpAddress(_Answer, frozen=True, kw_only=True):
    """Where the jump port is; `signature` is checked against the pinned relay key."""

    host: str
    port: int
    host_key: bytes
    signature: bytes


class JumpKeyAnswer(_Answer, frozen=True, kw_only=True):
    """A jump key is registered until then."""

    expires_at: str


class PipeToken(_Answer, frozen=True, kw_only=True):
    """Where to attach a pipe, and with what."""

    url: str
    token: bytes
    number: int | None = None


class SessionMember(_Answer, frozen=True, kw_only=True):
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


class Session(_Answer, frozen=True, kw_only=True):
    """A session as the relay knows it."""

    session: str
    device: str
    operator: str
    state: str
    reason: str
    scopes: list[str]
    active_s: int
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


class WaitingGrant(_Answer, frozen=True, kw_only=True):
    """A session that waits for approvals; only `envelope`, once verified, is believed."""

    session: str
    device: str
    operator: str
    needed: int
    approvers: list[str]
    envelope: bytes
    ticket: str | None = None
    expires_at: str | None = None
