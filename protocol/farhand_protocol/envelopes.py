"""DSSE envelopes: what is signed, by which keys, over exactly which bytes.

Source: the DSSE specification v1.0 (secure-systems-lab/dsse).  An envelope is JSON
`{"payload": base64, "payloadType": type, "signatures": [{"keyid", "sig"}]}`; each signature is
Ed25519 over PAE(type, payload).  The payload type names the statement, so a signature for one kind
of statement can never be shown as another.  Envelopes are kept and compared in one canonical
encoding (sorted keys, no spaces): `decode_envelope` refuses any other, so no byte of a stored
envelope can change unnoticed.

No key is held here and no trust decided: `signers` says which of the offered keys signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import key_id
from farhand_protocol.keys import Signer, verify

__all__ = [
    "MAX_ENVELOPE_BYTES",
    "Envelope",
    "Signature",
    "Statement",
    "decode_envelope",
    "encode_envelope",
    "encode_payload",
    "open_payload",
    "pae",
    "seal",
    "sign_again",
    "signers",
]

MAX_ENVELOPE_BYTES = 4 * 1024 * 1024
MAX_SIGNATURES = 32
# What msgspec raises on hostile input, alone and when it writes such a value again: ValueError
# stands for bad UTF-8, and for integers beyond Python's limit on digits.
_UNREADABLE = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that is signed; subclasses set `payload_type`.

    Unknown fields are refused: a device must not act on a statement it only half understands.
    """


S = TypeVar("S", bound=Statement)


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature: `keyid` is `identity.key_id` of the signer, `sig` 64 bytes."""

    keyid: str
    sig: bytes


class Envelope(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A DSSE envelope; `payload` is the statement's canonical JSON."""

    payload: bytes
    payload_type: str
    signatures: list[Signature]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def payload_type_of(kind: type[Statement]) -> str:
    """Return the payload type of a statement class, e.g. application/vnd.farhand.order.v1+json."""
    return f"application/vnd.farhand.{kind.__name__.lower()}.v1+json"


def encode_payload(statement: Statement) -> bytes:
    """Return the canonical JSON of a statement: keys sorted, no spaces, bytes as base64."""
    return msgspec.json.encode(statement, order="sorted")


def seal(statement: Statement, *by: Signer) -> Envelope:
    """Sign a statement with one or more keys."""
    payload = encode_payload(statement)
    kind = payload_type_of(type(statement))
    envelope = Envelope(payload=payload, payload_type=kind, signatures=[])
    for signer in by:
        envelope = sign_again(envelope, signer)
    return envelope


def sign_again(envelope: Envelope, by: Signer) -> Envelope:
    """Add one more signature over the same payload; a key signs at most once.

    Raises:
        FarhandError: `already-signed`, or `envelope-malformed` when it carries too many.
    """
    keyid = key_id(by.public_key)
    if any(signature.keyid == keyid for signature in envelope.signatures):
        raise FarhandError("already-signed", "this key has signed it before")
    if len(envelope.signatures) >= MAX_SIGNATURES:
        raise FarhandError("envelope-malformed", "too many signatures, or one key twice")
    signature = Signature(keyid=keyid, sig=by.sign(pae(envelope.payload_type, envelope.payload)))
    return msgspec.structs.replace(envelope, signatures=[*envelope.signatures, signature])


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the canonical bytes of an envelope."""
    return msgspec.json.encode(envelope, order="sorted")


def decode_envelope(data: bytes) -> Envelope:
    """Read an envelope in its canonical encoding.

    Args:
        data: at most `MAX_ENVELOPE_BYTES`.

    Raises:
        FarhandError: `envelope-malformed` when it is too large, not an envelope, or not canonical.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise FarhandError("envelope-malformed", "the envelope is too large")
    try:
        envelope = msgspec.json.decode(data, type=Envelope)
        canonical = encode_envelope(envelope)
    except _UNREADABLE as error:
        raise FarhandError(
            "envelope-malformed", "this is not a signed envelope", detail=str(error)
        ) from error
    if canonical != data:
        raise FarhandError("envelope-malformed", "the envelope is not in its canonical encoding")
    keyids = [signature.keyid for signature in envelope.signatures]
    if len(keyids) > MAX_SIGNATURES or len(set(keyids)) != len(keyids):
        raise FarhandError("envelope-malformed", "too many signatures, or one key twice")
    return envelope


def open_payload(envelope: Envelope, kind: type[S]) -> S:
    """Read the statement inside, without judging who signed it.

    Raises:
        FarhandError: `envelope-malformed` when it is another kind of statement or not canonical.
    """
    if envelope.payload_type != payload_type_of(kind):
        raise FarhandError(
            "envelope-malformed", f"expected a signed {kind.__name__.lower()}, got something else"
        )
    try:
        statement = msgspec.json.decode(envelope.payload, type=kind)
        canonical = encode_payload(statement)
    except _UNREADABLE as error:
        raise FarhandError(
            "envelope-malformed",
            f"the signed {kind.__name__.lower()} cannot be read",
            detail=str(error),
        ) from error
    if canonical != envelope.payload:
        raise FarhandError("envelope-malformed", "the statement is not in its canonical encoding")
    return statement


def signers(envelope: Envelope, public_keys: Iterable[bytes]) -> set[bytes]:
    """Return those of `public_keys` whose valid signature the envelope carries."""
    message = pae(envelope.payload_type, envelope.payload)
    by_id = {signature.keyid: signature.sig for signature in envelope.signatures}
    return {
        key
        for key in public_keys
        if (sig := by_id.get(key_id(key))) is not None and verify(key, sig, message)
    }
