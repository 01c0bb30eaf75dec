"""Session grants, the sealed exchange of a session opened by code, and receipts.

A grant is sealed by the operator and names the console's SSH key for this one session.  On an
enrolled device the signer must be in the roster; on a guest device (never enrolled) the signature
only ties grant, transcript and receipt together.  The relay never sees the inside of the sealed
exchange, and of a receipt it holds only the hash.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from farhand_protocol.envelopes import Envelope, Statement

__all__ = [
    "MAX_GRANT_MINUTES",
    "SSH_USER",
    "Action",
    "ActionKind",
    "ConsoleRequest",
    "Decision",
    "DeviceOffer",
    "Grant",
    "GrantApproval",
    "Receipt",
    "RecordingMark",
    "Widening",
]

MAX_GRANT_MINUTES = 480

ActionKind: TypeAlias = Literal[
    "exec",
    "shell",
    "file-read",
    "file-write",
    "file-change",
    "forward",
    "view",
    "denied",
    "scope",  # one was added or withdrawn
    "link",  # lost, or back
    "join",  # another operator came or went
    "chat",  # a line was sent; never its text
    "step",
    "tool",
    "recording",
    "screen",  # shown, used, or its clipboard
]
# The user name of ssh programs whose settings are written before the session is known; the grant
# is found by the offered key in any case.
SSH_USER = "farhand"


class Grant(Statement, frozen=True, kw_only=True):
    """Permission for one console key to hold one session with one device.

    `id` is the session id; `console_key` and `operator_key` raw 32-byte Ed25519 keys;
    `transcript` the SHA-256 of the pairing transcript, or None for a session without a code;
    `host_name` and `group` as the signer saw them (empty for a guest).
    `forward` lists `host:port` destinations asked for.  Times are RFC 3339.
    `read_only` asks for less than policy allows: files are read and never written.  `joins` is
    empty, or the session that this grant's operator joins as `mode`: `observer` may only look,
    `peer` may use the scopes as well.
    """

    tenant: str
    id: str
    device: str
    host_name: str
    group: str
    operator: str
    operator_key: bytes
    organisation: str
    ticket: str
    reason: str
    scopes: list[str]
    forward: list[str]
    minutes: int
    console_key: bytes
    transcript: bytes | None
    targets_version: int
    issued_at: str
    not_before: str
    expires: str
    read_only: bool = False
    joins: str = ""
    mode: Literal["", "observer", "peer"] = ""


class GrantApproval(Statement, frozen=True, kw_only=True):
    """Another operator's word that one grant may open a session without a person.

    `id` is the session; `grant_sha256` the hex SHA-256 of the sealed grant's bytes; `approver_key`
    the raw key that signs.  Times are RFC 3339.
    """

    tenant: str
    id: str
    grant_sha256: str
    approver: str
    approver_key: bytes
    at: str
    expires: str


class Widening(Statement, frozen=True, kw_only=True):
    """The operator's wish for more scopes in a session that is open, signed by the grant's key.

    `id` is drawn for this one wish; `session` and `grant_sha256` (hex SHA-256 of the sealed
    grant's bytes) name what is widened.  `scopes` and `forward` are what is to be added.  It goes
    to the device inside SSH; the relay never sees it.  Times are RFC 3339.
    """

    tenant: str
    id: str
    session: str
    device: str
    grant_sha256: str
    operator: str
    operator_key: bytes
    scopes: list[str]
    forward: list[str]
    reason: str
    targets_version: int
    issued_at: str
    expires: str


class DeviceOffer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sealed by the device under the pairing key: who it is and what it offers."""

    session: str
    device: str
    device_key: bytes
    host_name: str
    group: str
    tenant: str
    guest: bool
    scopes: list[str]
    minutes_max: int
    targets_version: int
    at: str


class ConsoleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sealed by the console under the pairing key: the grant, in envelope bytes."""

    grant: bytes
    console_version: str


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device's answer; sealed under the pairing key, or in clear for an unattended grant.

    `code` is empty when granted, else the refusal's stable code.
    """

    granted: bool
    code: str
    words: str
    scopes: list[str]
    expires: str


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing done in a session, as the device saw it.

    `detail` is the command, the path, the destination, or what happened in an English sentence;
    where the device wrote that sentence itself, `message` names it and `facts` fill it in, so that
    whoever shows it can say it in her own language.  `size_bytes` and `sha256` belong to files that
    were read or written whole, else None.  `by` names the operator who joined the session and did
    it; empty for the session's own.
    """

    at: str
    kind: ActionKind
    detail: str
    size_bytes: int | None
    sha256: str | None
    by: str = ""
    # Left out, not empty, where there is none: so older receipts keep their canonical encoding.
    message: str | msgspec.UnsetType = msgspec.UNSET
    facts: dict[str, str | int] | msgspec.UnsetType = msgspec.UNSET


class RecordingMark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recording of a session as its receipt names it.

    `head_sha256` is the place of the last of `chunks` in the chain (recording.py); `complete` that
    its end was written and nothing of it was dropped.
    """

    id: str
    head_sha256: str
    chunks: int
    complete: bool


class Receipt(Statement, frozen=True, kw_only=True):
    """What the end user keeps: who was here, why, and what was done.

    Sealed by the device key and then by the console key named in the grant (one-sided without).
    `grant` embeds the whole sealed grant, `widened` the sealed widenings that were granted,
    `approvals` those of other operators that policy asked for, `joined` the grants of those who
    joined, `recording` is None where nothing was recorded; `actions_omitted` counts those past
    the list's bound.  `audit_head` is the head of the device's log at that moment (audit.py),
    empty where the log could not be read.
    """

    tenant: str
    id: str
    session: str
    device: str
    device_key: bytes
    host_name: str
    guest: bool
    operator: str
    organisation: str
    ticket: str
    scopes: list[str]
    started_at: str
    ended_at: str
    active_s: int
    reason: str
    note: str
    actions: list[Action]
    actions_omitted: int
    grant: Envelope
    widened: list[Envelope] = msgspec.field(default_factory=list)
    approvals: list[Envelope] = msgspec.field(default_factory=list)
    joined: list[Envelope] = msgspec.field(default_factory=list)
    recording: RecordingMark | None = None
    audit_head: str = ""
