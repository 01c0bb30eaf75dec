"""What the relay answers about people, organisations and what belongs to them."""

from __future__ import annotations

import msgspec

from farhand_console.relay.bounds import Count

__all__ = [
    "Address",
    "CardTerms",
    "Hours",
    "Notice",
    "Organisation",
    "Paper",
    "Person",
    "PersonPanel",
    "PersonView",
    "Proof",
    "Proposal",
    "Referral",
    "Skill",
    "SupportCard",
]


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody that the desk works for, or asks."""

    id: str
    name: str
    title: str
    zone: str
    locale: str
    calendar: str
    contract: str | None
    notes: str
    retention_days: Count | None
    created_at: str
    revision: Count


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One person."""

    id: str
    name: str
    organisation: str | None
    locale: str
    zone: str
    kind: str
    account: str | None
    active: bool
    notes: str
    created_at: str
    revision: Count


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One address; verified or only claimed."""

    kind: str
    value: str
    verified_at: str | None


class PersonView(Person, frozen=True, kw_only=True):
    """A person with her addresses."""

    addresses: list[Address]
    merged: list[str]


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """An address that was asked."""

    address: str
    expires_at: str


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Whether somebody is there now."""

    open: bool
    until: str | None
    zone: str
    calendar: str


class SupportCard(msgspec.Struct, frozen=True, kw_only=True):
    """How the desk is reached."""

    title: str
    phone: str
    mail: str
    portal: str
    words: str
    hours: Hours


class CardTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What was written on a card."""

    phone: str
    mail: str
    portal: str
    calendar: str
    words: str


class _Belongs(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    zone: str
    notes: str
    hours: Hours


class _Balance(msgspec.Struct, frozen=True, kw_only=True):
    balance_s: Count


class _Cover(msgspec.Struct, frozen=True, kw_only=True):
    contract: str
    kind: str
    balance: _Balance | None
    refuses: bool


class _Device(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    os: str
    last_seen: str | None
    make: str | None
    model: str | None
    serial: str | None
    warranty: str
    warranty_ends_on: str | None


class _Ticket(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    title: str
    state: str
    created_at: str


class _Session(msgspec.Struct, frozen=True, kw_only=True):
    session: str
    operator: str
    state: str
    started_at: str | None
    active_s: Count


class PersonPanel(msgspec.Struct, frozen=True, kw_only=True):
    """Whose ticket it is, and what is known of her."""

    ticket: str
    requester: str | None
    person: Person | None
    addresses: list[Address]
    language: str
    organisation: _Belongs | None
    contract: _Cover
    device: _Device | None
    tickets: list[_Ticket]
    sessions: list[_Session]


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """An order, a shipment or an invoice."""

    ticket: str
    kind: str
    number: str
    url: str
    added_by: str
    added_at: str


class Referral(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor who has a ticket, and what happens to the thing itself."""

    id: str
    ticket: str
    vendor: str
    vendor_name: str
    contact: str
    rma_no: str
    carrier: str
    tracking: str
    sent_on: str | None
    received_on: str | None
    loaner: str | None
    outcome: str
    created_by: str
    created_at: str
    updated_at: str
    revision: Count


class Skill(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody of the desk can do."""

    account: str
    skill: str
    certificate: str
    ends_on: str | None
    holds: bool
    noted_by: str
    noted_at: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who could own a ticket."""

    account: str
    skill: str
    ends_on: str | None
    open_tickets: Count


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that many people should know."""

    id: str
    audience: str
    target: str
    title: str
    body: str
    link: str
    source: str
    created_by: str
    created_at: str
    published_at: str | None
    until_at: str | None
