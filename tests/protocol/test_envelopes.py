"""Envelopes: canonical, of one kind, and readable for securesystemslib, an independent peer."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope as PeerEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from farhand_protocol.envelopes import (
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    Envelope,
    Signature,
    decode_envelope,
    encode_envelope,
    encode_payload,
    open_payload,
    pae,
    seal,
    sign_again,
    signers,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant
from farhand_protocol.identity import key_id
from farhand_protocol.orders import FINAL_STATES, ORDER_STATES, Order
from tests.protocol.samples import grant, manifest, order, seed, signer


def peer_key(name: str) -> SSlibKey:
    """Return the public key as securesystemslib sees it, under our key id."""
    raw = signer(name).public_key
    return SSlibKey(key_id(raw), "ed25519", "ed25519", {"public": raw.hex()})


def test_securesystemslib_verifies_what_we_seal() -> None:
    envelope = seal(order(), signer("carol"), signer("bob"))
    peer = PeerEnvelope.from_dict(json.loads(encode_envelope(envelope)))
    assert peer.pae() == pae(envelope.payload_type, envelope.payload)
    assert set(peer.verify([peer_key("carol"), peer_key("bob")], 2)) == {
        peer_key("carol").keyid,
        peer_key("bob").keyid,
    }
    with pytest.raises(VerificationError):
        peer.verify([peer_key("mallory")], 1)


def test_we_verify_what_securesystemslib_seals() -> None:
    payload = encode_payload(order())
    peer = PeerEnvelope(payload, "application/vnd.farhand.order.v1+json", {})
    private = Ed25519PrivateKey.from_private_bytes(seed("carol"))
    peer.sign(CryptoSigner(private, peer_key("carol")))
    text = json.dumps(peer.to_dict(), sort_keys=True, separators=(",", ":")).encode()
    envelope = decode_envelope(text)
    assert signers(envelope, [signer("carol").public_key]) == {signer("carol").public_key}
    assert open_payload(envelope, Order) == order()


def test_an_envelope_comes_back_as_it_was() -> None:
    envelope = seal(grant(), signer("carol"))
    assert decode_envelope(encode_envelope(envelope)) == envelope
    assert open_payload(envelope, Grant) == grant()


def test_one_kind_is_never_read_as_another() -> None:
    envelope = seal(order(), signer("carol"))
    with pytest.raises(FarhandError, match="envelope-malformed"):
        open_payload(envelope, Grant)
    relabelled = msgspec.structs.replace(
        envelope, payload_type="application/vnd.farhand.grant.v1+json"
    )
    assert signers(relabelled, [signer("carol").public_key]) == set()


def test_only_valid_signatures_count() -> None:
    carol, bob = signer("carol"), signer("bob")
    envelope = seal(order(), carol)
    assert signers(envelope, [bob.public_key]) == set()
    borrowed = Signature(keyid=key_id(bob.public_key), sig=envelope.signatures[0].sig)
    envelope = msgspec.structs.replace(envelope, signatures=[*envelope.signatures, borrowed])
    assert signers(envelope, [bob.public_key, carol.public_key]) == {carol.public_key}


def test_a_key_signs_once_and_not_too_many_sign() -> None:
    envelope = seal(order(), signer("carol"))
    with pytest.raises(FarhandError, match="already-signed"):
        sign_again(envelope, signer("carol"))
    full = msgspec.structs.replace(
        envelope, signatures=[Signature(keyid=str(n), sig=b"") for n in range(MAX_SIGNATURES)]
    )
    assert decode_envelope(encode_envelope(full)) == full
    with pytest.raises(FarhandError, match="envelope-malformed"):
        sign_again(full, signer("carol"))


def variants() -> dict[str, bytes]:
    """Return other texts that a lenient reader would take for the same envelope."""
    envelope = seal(order(), signer("carol"))
    text = encode_envelope(envelope)
    fields: dict[str, Any] = json.loads(text)
    payload = fields["payload"]
    # A payload whose length leaves spare bits in its last base64 character.
    odd = base64.b64encode(b"{}").decode()
    return {
        "spaces": json.dumps(fields).encode(),
        "newline": text + b"\n",
        "unsorted": json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode(),
        "duplicate key": text[:-1] + b',"signatures":[]}',
        "escaped letter": text.replace(b"order", b"\\u006frder"),
        "unknown field": text[:-1] + b',"x":1}',
        "base64 line break": text.replace(payload[:4].encode(), payload[:4].encode() + b"\\n"),
        "base64 spare bits": text.replace(payload.encode(), odd.replace("0=", "1=").encode()),
        "base64 unpadded": text.replace(payload.encode(), odd.rstrip("=").encode()),
        "key twice": encode_envelope(
            msgspec.structs.replace(envelope, signatures=envelope.signatures * 2)
        ),
        "too many": encode_envelope(
            msgspec.structs.replace(
                envelope, signatures=[Signature(keyid=str(n), sig=b"") for n in range(33)]
            )
        ),
        "not JSON": b"\x00",
        "not UTF-8": text.replace(b"order", b"\xff\xff"),
        "lone surrogate": text.replace(b"order", b"\\ud800"),
        "nested": b"[" * 100_000,
        "too large": b" " * (MAX_ENVELOPE_BYTES + 1),
        "empty": b"",
    }


@pytest.mark.parametrize("name", list(variants()))
def test_there_is_one_encoding(name: str) -> None:
    with pytest.raises(FarhandError, match="envelope-malformed"):
        decode_envelope(variants()[name])


def payloads() -> dict[str, bytes]:
    text = encode_payload(order())
    fields = json.loads(text)
    nested: Any = 1
    for _ in range(5000):
        nested = b'{"a":%b}' % (nested if isinstance(nested, bytes) else b"1")
    parameters = b'"parameters":{"name":"ada"}'
    assert parameters in text
    return {
        "spaces": json.dumps(fields).encode(),
        "missing": json.dumps({k: v for k, v in fields.items() if k != "id"}).encode(),
        "unknown": text[:-1] + b',"zz":1}',
        "duplicate": text.replace(b'"version":1', b'"version":1,"version":1'),
        "NaN": text.replace(parameters, b'"parameters":{"name":NaN}'),
        "float": text.replace(parameters, b'"parameters":{"name":1E5}'),
        "infinite": text.replace(parameters, b'"parameters":{"name":1e999}'),
        "minus zero": text.replace(parameters, b'"parameters":{"name":-0}'),
        "long integer": text.replace(parameters, b'"parameters":{"name":' + b"1" * 5000 + b"}"),
        "nested": text.replace(parameters, b'"parameters":' + nested),
        "float version": text.replace(b'"version":1', b'"version":1.0'),
        "unknown risk": text.replace(b'"R2"', b'"R9"'),
    }


@pytest.mark.parametrize("name", list(payloads()))
def test_a_statement_has_one_encoding_too(name: str) -> None:
    envelope = Envelope(
        payload=payloads()[name],
        payload_type="application/vnd.farhand.order.v1+json",
        signatures=[],
    )
    with pytest.raises(FarhandError, match="envelope-malformed"):
        open_payload(envelope, Order)


def test_a_manifest_is_the_same_bytes_for_all_its_signers() -> None:
    one = seal(manifest(), signer("alice"))
    assert sign_again(one, signer("bob")).payload == one.payload


def test_final_states_are_states() -> None:
    assert set(ORDER_STATES) > FINAL_STATES
    assert {"planned", "eligible", "offered", "accepted", "running"} == (
        set(ORDER_STATES) - FINAL_STATES
    )
