"""What the relay answers about chats, calls and visits."""

from __future__ import annotations

import msgspec

from farhand_console.relay.bounds import Count
from farhand_console.relay.desk import Ticket

__all__ = ["Call", "CallView", "LiveChat", "TelephoneToken", "Visit", "Words"]


class LiveChat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat; its words are its ticket's."""

    ticket: str
    state: str
    language: str
    began_at: str
    answered_at: str | None
    seen_at: str
    somebody: bool = False
    open: bool = False


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Something said on a ticket."""

    seq: Count
    ticket: str
    kind: str
    author: str
    body: str
    at: str
    public: bool = False
    channel: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call; `name` is whose number it is, where that is known."""

    id: str
    ticket: str | None
    account: str | None
    person: str | None
    name: str | None
    direction: str
    number: str
    state: str
    began_at: str
    answered_at: str | None
    ended_at: str | None
    time_entry: str | None


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A call, and the last tickets of whoever is at the other end."""

    call: Call
    tickets: list[Ticket]


class TelephoneToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a telephone system shows."""

    token: str


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit on site."""

    id: str
    ticket: str
    technician: str
    place: str
    starts_at: str
    ends_at: str
    state: str
    sequence: Count
    outcome: str
    time_entry: str | None
    created_by: str
    created_at: str
    revision: Count
