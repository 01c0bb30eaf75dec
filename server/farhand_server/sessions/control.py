"""What relay nodes say to each other about links and sessions, over the bus.

Two kinds.  *Requests* go to `session.{tenant}.{session}`, which the node holds where the session's
control link is, and are answered.  *Notes* go to `nodes.{tenant}`, which every node holds: who is
connected where, whose key was seen twice, which session is over.  A request to
`device.{tenant}.{device}` is no struct but an encoded RelayMessage, passed on as it is.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "Attach",
    "Attached",
    "Beat",
    "Blob",
    "Conflict",
    "Deliver",
    "Ended",
    "Gone",
    "Here",
    "Join",
    "Mailbox",
    "Note",
    "Request",
    "Retired",
    "decode_attached",
    "decode_blob",
    "decode_note",
    "decode_request",
    "device_subject",
    "encode",
    "nodes_subject",
    "session_subject",
    "state_subject",
]


class _Tagged(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    pass


# Requests to a session's control link.


class Deliver(_Tagged, frozen=True, kw_only=True, tag="deliver"):
    """Send this encoded RelayMessage to the session process; answered with nothing."""

    message: bytes


class Mailbox(_Tagged, frozen=True, kw_only=True, tag="mailbox"):
    """Take a pairing blob to the session process and bring back its answer, a `Blob`."""

    phase: str
    body: bytes


class Attach(_Tagged, frozen=True, kw_only=True, tag="attach"):
    """Make tokens for a pipe, send the session process its own; answered with `Attached`.

    Without a `number` the highest that is free is taken.
    """

    number: int | None


Request: TypeAlias = Deliver | Mailbox | Attach


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """The device's answer in one phase; `error` is empty or a stable code."""

    body: bytes
    error: str = ""


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """Where the console attaches pipe `number`, and with what."""

    url: str
    token: bytes
    number: int


# Notes to all nodes.


class Here(_Tagged, frozen=True, kw_only=True, tag="here"):
    """These devices are connected to `node`; `connected` when it just has been."""

    node: str
    devices: list[str]
    connected: bool = False


class Gone(_Tagged, frozen=True, kw_only=True, tag="gone"):
    """These devices are no longer connected to `node`."""

    node: str
    devices: list[str]


class Beat(_Tagged, frozen=True, kw_only=True, tag="beat"):
    """`node` is alive, and this many devices are connected to it."""

    node: str
    count: int


class Join(_Tagged, frozen=True, kw_only=True, tag="join"):
    """`node` wants to hear who is where: from all nodes, or from `asked` whose count is another."""

    node: str
    asked: str = ""


class Conflict(_Tagged, frozen=True, kw_only=True, tag="conflict"):
    """This device's key was seen alive on two links at once."""

    device: str


class Ended(_Tagged, frozen=True, kw_only=True, tag="ended"):
    """This session is over: close its pipes."""

    session: str


class Retired(_Tagged, frozen=True, kw_only=True, tag="retired"):
    """This device was retired: close its links."""

    device: str


Note: TypeAlias = Here | Gone | Beat | Join | Conflict | Ended | Retired

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_notes: msgspec.msgpack.Decoder[Note] = msgspec.msgpack.Decoder(Note)
_blobs = msgspec.msgpack.Decoder(Blob)
_attached = msgspec.msgpack.Decoder(Attached)
D = TypeVar("D")


def encode(message: Request | Note | Blob | Attached) -> bytes:
    """Return the bytes for the bus."""
    return _encoder.encode(message)


def _decode(data: bytes, decoder: msgspec.msgpack.Decoder[D]) -> D:
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise FarhandError(
            "bus-malformed", "another node sent what this one cannot read", detail=str(error)
        ) from error


def decode_request(data: bytes) -> Request:
    """Read a request; raises `bus-malformed`, for nodes of different versions."""
    return _decode(data, _requests)


def decode_note(data: bytes) -> Note:
    """Read a note; raises `bus-malformed`."""
    return _decode(data, _notes)


def decode_blob(data: bytes) -> Blob:
    """Read the answer to a `Mailbox`; raises `bus-malformed`."""
    return _decode(data, _blobs)


def decode_attached(data: bytes) -> Attached:
    """Read the answer to an `Attach`; raises `bus-malformed`."""
    return _decode(data, _attached)


def device_subject(tenant: str, device: str) -> str:
    """Return the subject of a device's resident link."""
    return f"device.{tenant}.{device}"


def session_subject(tenant: str, session: str) -> str:
    """Return the subject of a session's control link."""
    return f"session.{tenant}.{session}"


def state_subject(tenant: str, session: str) -> str:
    """Return the subject on which a session's change of state is told."""
    return f"session-state.{tenant}.{session}"


def nodes_subject(tenant: str) -> str:
    """Return the subject that all nodes of an organisation hold."""
    return f"nodes.{tenant}"
