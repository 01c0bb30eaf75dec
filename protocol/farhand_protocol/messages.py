"""Messages on the link between a device and its relay, after the handshake.

Each websocket message is one MessagePack map with its type
in `t`, of at most
`MAX_MESSAGE_BYTES`.  `RelayMessage` is the closed list of everything a relay may say to a device:
nothing in it commands; orders and grants are only carried, sealed by operators.  Messages with a
`seq` are answered by exactly one Ack, Nack or specific reply with the same `seq`; the sender counts
up from 1 on each link.  Who sets a field is said by the direction; the relay sees all of them.

A link is opened as one of these roles (link.ROLES): `device` by the resident agent, `enrol` by a
device that is not known yet, `session` by a session process.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar, get_args

import msgspec

from farhand_protocol.errors import RemoteError

__all__ = [
    "MAX_HELP_IMAGE_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_PIPES",
    "TRUST_CHUNK_BYTES",
    "Ack",
    "AllocateNameplate",
    "AttachPipe",
    "CancelOrder",
    "DeviceMessage",
    "EndSession",
    "Enrol",
    "FetchTrust",
    "HelpRequest",
    "JoinReport",
    "MailboxBlob",
    "MailboxOpen",
    "MailboxReply",
    "Nack",
    "Nameplate",
    "OfferGrant",
    "OfferOrder",
    "OrderProgress",
    "Present",
    "Reconnect",
    "RecordingChunk",
    "Redirect",
    "RelayMessage",
    "ReportSections",
    "Resend",
    "ResultReport",
    "SessionReport",
    "TrustFile",
    "TrustNotice",
    "Welcome",
    "Witnessed",
    "decode_device_message",
    "decode_relay_message",
    "encode_message",
    "message_types",
]

MAX_MESSAGE_BYTES = 1024 * 1024
TRUST_CHUNK_BYTES = 512 * 1024
MAX_HELP_IMAGE_BYTES = 700 * 1024
MAX_PIPES = 8
# Counts stay within what every JSON implementation carries exactly (RFC 8259 s6).
MAX_COUNT = 2**53 - 1


# Bounds that hold when a message is read; who writes one keeps to them.
Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Version: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
Word: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
Line: TypeAlias = Annotated[str, msgspec.Meta(max_length=512)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=16 * 1024)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
# A signed head of an audit or log (audit.py), or nothing.
Head: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=512)]
Token: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Base of all link messages; unknown fields are ignored, unknown tags are an error."""


# From the device.


class Present(Message, frozen=True, kw_only=True, tag="present"):
    """First message of a `device` or `session` link: what is running here.

    `session` names the session that a session process serves again after a reconnect.
    `audit_head`: the resident agent's, of the device's log; the relay keeps it.
    """

    agent_version: Word
    host_name: Line
    os: Line
    timestamp_version: Version = 0
    targets_version: Version = 0
    session: Word | None = None
    audit_head: Head = b""


class Enrol(Message, frozen=True, kw_only=True, tag="enrol"):
    """The sealed `tokens.Enrolment`; answered by Ack or Nack."""

    seq: Seq
    envelope: bytes


class FetchTrust(Message, frozen=True, kw_only=True, tag="fetch-trust"):
    """Ask for a piece of trust metadata or of a target; answered by TrustFile.

    `name`: for metadata a TUF file name (`2.root.json`, `timestamp.json`), for a target its path
    as TUF names it with consistent snapshots (`DIGEST.roster.json`).
    """

    seq: Seq
    kind: Literal["metadata", "target"]
    name: Line
    offset: Count = 0


class ReportSections(Message, frozen=True, kw_only=True, tag="report-sections"):
    """Inventory: the changed sections whole, all others by hash.

    `changed` holds `inventory.encode_section` blobs; `hashes` maps every section of the
    report, changed or not, to the first 16 hex digits of its hash.  Answered by Ack or Nack; a
    relay that lacks a section answers Resend as well.
    """

    seq: Seq
    changed: Annotated[list[bytes], msgspec.Meta(max_length=256)]
    hashes: Annotated[dict[Word, Word], msgspec.Meta(max_length=256)]


class OrderProgress(Message, frozen=True, kw_only=True, tag="order-progress"):
    """A non-final state of an order; `at` is RFC 3339.  Answered by Ack."""

    seq: Seq
    order: Word
    state: Literal["accepted", "running"]
    at: Word


class ResultReport(Message, frozen=True, kw_only=True, tag="result"):
    """A final, sealed `orders.Result`; repeated until acknowledged.  Answered by Ack or Nack."""

    seq: Seq
    order: Word
    envelope: bytes


class AllocateNameplate(Message, frozen=True, kw_only=True, tag="allocate-nameplate"):
    """A session process asks for a nameplate; answered by Nameplate or Nack."""

    seq: Seq


class MailboxReply(Message, frozen=True, kw_only=True, tag="mailbox-reply"):
    """The device's answer to a MailboxBlob of the same session and phase.

    `error` is empty, or the stable code why there is no body; the code is then burned.
    """

    session: Word
    phase: Word
    body: bytes = b""
    error: Word = ""


class SessionReport(Message, frozen=True, kw_only=True, tag="session-report"):
    """What became of a session.  Answered by Ack.

    `state`: active (with `scopes` and `expires`), refused (with `reason`, a stable code) or ended
    (with `reason`, `active_s`, and the hash of the receipt).
    """

    seq: Seq
    session: Word
    state: Literal["active", "refused", "ended"]
    reason: Line = ""
    scopes: Annotated[list[Word], msgspec.Meta(max_length=16)] = msgspec.field(default_factory=list)
    expires: Word = ""
    started_at: Word = ""
    active_s: Count = 0
    receipt_sha256: Word = ""
    note: Text = ""


class RecordingChunk(Message, frozen=True, kw_only=True, tag="recording-chunk"):
    """One sealed chunk of a session's recording: `head` is a sealed `recording.RecordingHead`.

    In order, repeated until answered, by Witnessed or Nack; a resident agent sends what a session
    process has left.
    """

    seq: Seq
    session: Word
    head: Annotated[bytes, msgspec.Meta(max_length=4 * 1024)]
    ciphertext: Annotated[bytes, msgspec.Meta(max_length=56 * 1024)]


class JoinReport(Message, frozen=True, kw_only=True, tag="join-report"):
    """What became of another operator's wish to join a session; said again on each new link.

    `join` is the id of her grant; `state`: `in`, `leads` (the session was handed over to
    her), `refused` or `left` (with `reason`, a stable code).  Answered by Ack or Nack.
    """

    seq: Seq
    session: Word
    join: Word
    state: Literal["in", "leads", "refused", "left"]
    reason: Word = ""


class HelpRequest(Message, frozen=True, kw_only=True, tag="help-request"):
    """What somebody at the device asks the desk; repeated until answered, by Ack or Nack.

    `id` is the device's own, so that it is asked once however often it is said; `image` is
    a PNG or JPEG that the person chose, or empty; `at` is RFC 3339, when she asked.  The Ack's
    `ref` names the ticket.
    """

    seq: Seq
    id: Word
    text: Text
    at: Word
    steps_tried: Text = ""
    language: Word = ""
    image: Annotated[bytes, msgspec.Meta(max_length=MAX_HELP_IMAGE_BYTES)] = b""


# From the relay: a closed list.


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The handshake's end: how the relay knows this key, and the link's parameters.

    `ping_s`: the relay pings this often; a link silent for three times as long is dead.
    `reconnect_window_s`: after a lost link wait a uniformly random time within it.
    `now` is the relay's clock (RFC 3339), a hint that the device shows but never relies on.
    `audit_head`: of the relay's audit; an enrolled device keeps it.
    """

    standing: Literal["enrolled", "guest", "unknown", "retired"]
    ping_s: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    reconnect_window_s: Seconds
    now: Word
    timestamp_version: Version = 0
    audit_head: Head = b""


class Ack(Message, frozen=True, kw_only=True, tag="ack"):
    """The message `seq` is stored; `ref` is what people call what came of it, or empty."""

    seq: Seq
    ref: Word = ""


class Nack(Message, frozen=True, kw_only=True, tag="nack"):
    """The message `seq` is refused for good, with a stable code."""

    seq: Seq
    code: Word
    message: Text


class Witnessed(Message, frozen=True, kw_only=True, tag="witnessed"):
    """The recording's chunk `seq` is stored; `signature` is the relay's over its head, at `at`."""

    seq: Seq
    at: Word
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class TrustNotice(Message, frozen=True, kw_only=True, tag="trust-notice"):
    """There is newer trust metadata; the device fetches and verifies it by itself."""

    timestamp_version: Version


class TrustFile(Message, frozen=True, kw_only=True, tag="trust-file"):
    """A piece, at most `TRUST_CHUNK_BYTES`; `total` is the whole length, -1 when there is none."""

    seq: Seq
    total: Annotated[int, msgspec.Meta(ge=-1, le=MAX_COUNT)]
    body: Annotated[bytes, msgspec.Meta(max_length=TRUST_CHUNK_BYTES)]


class OfferOrder(Message, frozen=True, kw_only=True, tag="offer-order"):
    """A sealed order for this device."""

    order: Word
    envelope: bytes


class CancelOrder(Message, frozen=True, kw_only=True, tag="cancel-order"):
    """Do not start this order if its body has not started."""

    order: Word


class OfferGrant(Message, frozen=True, kw_only=True, tag="offer-grant"):
    """A sealed grant for a session without a code, and what other operators sealed about it.

    On a session's own link: the grant of another operator who joins that session.
    """

    session: Word
    envelope: bytes
    approvals: Annotated[list[bytes], msgspec.Meta(max_length=8)] = msgspec.field(
        default_factory=list
    )


class Nameplate(Message, frozen=True, kw_only=True, tag="nameplate"):
    """The nameplate allocated for `seq`; valid for `expires_in_s`."""

    seq: Seq
    nameplate: Word
    expires_in_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)]


class MailboxOpen(Message, frozen=True, kw_only=True, tag="mailbox-open"):
    """A console claimed the nameplate.  The names are the relay's word, shown only as such."""

    session: Word
    nameplate: Word
    operator: Line
    organisation: Line
    ticket: Line


class MailboxBlob(Message, frozen=True, kw_only=True, tag="mailbox-blob"):
    """An opaque pairing blob from the console; answered by MailboxReply."""

    session: Word
    phase: Word
    body: bytes


class AttachPipe(Message, frozen=True, kw_only=True, tag="attach-pipe"):
    """The console opened or re-attached a pipe: dial `/pipe` with this token.

    `number` 0 to 7 names the pipe within the session; the token only attaches.  `url` is the node
    that holds the console's half, empty for the relay's own address; followed only to origins that
    token or signed policy name.
    """

    session: Word
    number: Annotated[int, msgspec.Meta(ge=0, lt=MAX_PIPES)]
    token: Token
    url: Line = ""


class EndSession(Message, frozen=True, kw_only=True, tag="end-session"):
    """End the session; a relay may always end one.

    With the id of a grant that joined a session it puts that operator out of it.
    """

    session: Word
    reason: Line


class Resend(Message, frozen=True, kw_only=True, tag="resend"):
    """Send these sections whole with the next report."""

    sections: Annotated[list[Word], msgspec.Meta(max_length=256)]


class Reconnect(Message, frozen=True, kw_only=True, tag="reconnect"):
    """The relay is about to close: come back within a random part of the window."""

    window_s: Seconds


class Redirect(Message, frozen=True, kw_only=True, tag="redirect"):
    """Connect to another node; followed only to origins that token or signed policy name."""

    url: Line


DeviceMessage: TypeAlias = (
    Present
    | Enrol
    | FetchTrust
    | ReportSections
    | OrderProgress
    | ResultReport
    | AllocateNameplate
    | MailboxReply
    | SessionReport
    | RecordingChunk
    | JoinReport
    | HelpRequest
)
RelayMessage: TypeAlias = (
    Welcome
    | Ack
    | Nack
    | Witnessed
    | TrustNotice
    | TrustFile
    | OfferOrder
    | CancelOrder
    | OfferGrant
    | Nameplate
    | MailboxOpen
    | MailboxBlob
    | AttachPipe
    | EndSession
    | Resend
    | Reconnect
    | Redirect
)

_encoder = msgspec.msgpack.Encoder()
_from_device: msgspec.msgpack.Decoder[DeviceMessage] = msgspec.msgpack.Decoder(DeviceMessage)
_from_relay: msgspec.msgpack.Decoder[RelayMessage] = msgspec.msgpack.Decoder(RelayMessage)
M = TypeVar("M")


def encode_message(message: DeviceMessage | RelayMessage) -> bytes:
    """Return the MessagePack bytes of a message.

    Raises:
        ValueError: it is larger than `MAX_MESSAGE_BYTES` (a bug of ours; bound before sending).
    """
    data = _encoder.encode(message)
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a {type(message).__name__} of {len(data)} bytes cannot be sent")
    return data


def _decode(data: bytes, decoder: msgspec.msgpack.Decoder[M]) -> M:
    if len(data) > MAX_MESSAGE_BYTES:
        raise RemoteError("message-too-large", "the peer sent a message that is too large")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise RemoteError(
            "message-malformed", "the peer sent a message that cannot be read", detail=str(error)
        ) from error


def decode_device_message(data: bytes) -> DeviceMessage:
    """Read what a device said.

    Raises:
        RemoteError: `message-malformed` or `message-too-large`; close the link.
    """
    return _decode(data, _from_device)


def decode_relay_message(data: bytes) -> RelayMessage:
    """Read what a relay said.

    Raises:
        RemoteError: `message-malformed` or `message-too-large`; close the link.
    """
    return _decode(data, _from_relay)


def message_types() -> tuple[type[msgspec.Struct], ...]:
    """Return all message classes, for tests and for docs/protocol.md."""
    return (*get_args(DeviceMessage), *get_args(RelayMessage))
