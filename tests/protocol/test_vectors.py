"""The vectors hold: the code makes them again byte for byte, and an independent reading agrees."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.protocol.vector_maker import FOLDER, MAKERS


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_every_vector_file_has_a_maker() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(MAKERS)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_the_vectors_still_hold(name: str) -> None:
    assert MAKERS[name]() == load(name)


def test_the_link_vector_follows_the_written_layout() -> None:
    vector = load("link")
    device = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["device_seed"]))
    relay = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["relay_seed"]))
    tenant = vector["tenant"].encode()
    hello = (
        b"FHLK\x01\x00"
        + bytes([len(tenant)])
        + tenant.ljust(32, b"\0")
        + bytes.fromhex(vector["device_nonce"])
        + device.public_key().public_bytes_raw()
    )
    head = bytes.fromhex(vector["relay_nonce"]) + relay.public_key().public_bytes_raw()
    to_sign = b"farhand link v1 relay\0" + hashlib.sha256(hello + head).digest()
    challenge = head + relay.sign(to_sign)
    proof = device.sign(b"farhand link v1 device\0" + hashlib.sha256(hello + challenge).digest())
    assert (hello.hex(), challenge.hex(), proof.hex()) == (
        vector["hello"],
        vector["challenge"],
        vector["proof"],
    )
    assert len(hello) == 103


def test_the_attach_vector_follows_the_written_layout() -> None:
    vector = load("attach")
    session, token = vector["session"].encode().ljust(38, b"\0"), bytes.fromhex(vector["token"])
    assert bytes.fromhex(vector["device"]) == b"FHPP\x01\x00" + session + token
    assert bytes.fromhex(vector["console"]) == b"FHPP\x01\x01" + session + token


def test_the_pipe_vector_reads_as_two_streams() -> None:
    streams = {"console": b"", "device": b""}
    ended = set()
    for step in load("pipe")["steps"]:
        if step.get("lost", True):
            continue
        message = bytes.fromhex(step["message"])
        if message[0] == 1:
            (offset,) = struct.unpack(">Q", message[1:9])
            assert offset == len(streams[step["from"]])
            streams[step["from"]] += message[9:]
        if message[0] == 4:
            ended.add(step["from"])
    assert streams == {"console": b"SSH-2.0-console\r\n", "device": b"SSH-2.0-device\r\n"}
    assert ended == {"console", "device"}


@pytest.mark.parametrize("name", ["envelope", "order", "grant"])
def test_the_envelope_vectors_verify_by_the_written_rules(name: str) -> None:
    vector = load(name)
    payload = vector["payload"].encode()
    assert (
        json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":")).encode() == payload
    )
    kind = vector["payload_type"].encode()
    pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    assert pae.hex() == vector["pae"]
    for seed, signature in zip(
        vector["seeds"].values(), json.loads(vector["envelope"])["signatures"], strict=True
    ):
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        raw = key.public_key().public_bytes_raw()
        assert signature["keyid"] == hashlib.sha256(raw).hexdigest()


def test_the_recording_vector_reads_as_the_page_says() -> None:
    vector = load("recording")
    device = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["device_seed"]))
    relay = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["relay_seed"]))
    file, previous = b"farhand recording v1\n", "0" * 64
    for head, witness, body in zip(
        vector["heads"], vector["witnesses"], vector["ciphertexts"], strict=True
    ):
        envelope = json.loads(head)
        payload = base64.b64decode(envelope["payload"])
        told, ciphertext = json.loads(payload), bytes.fromhex(body)
        kind = b"application/vnd.farhand.recordinghead.v1+json"
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        assert base64.b64decode(envelope["signatures"][0]["sig"]) == device.sign(signed)
        assert (told["previous"], told["sha256"]) == (
            previous,
            hashlib.sha256(ciphertext).hexdigest(),
        )
        previous = hashlib.sha256(payload).hexdigest()
        covered = {
            "at": vector["witnessed_at"],
            "head": previous,
            "index": told["index"],
            "session": told["session"],
            "tenant": told["tenant"],
        }
        message = json.dumps(covered, separators=(",", ":")).encode()
        signature = relay.sign(b"farhand recording witness v1\0" + message)
        assert signature.hex() == witness
        seen = {
            "at": vector["witnessed_at"],
            "relay_key": base64.b64encode(relay.public_key().public_bytes_raw()).decode(),
            "signature": base64.b64encode(signature).decode(),
        }
        for field in (
            head.encode(),
            json.dumps(seen, separators=(",", ":")).encode(),
            ciphertext,
        ):
            file += struct.pack(">I", len(field)) + field
    assert told["final"]
    assert file.hex() == vector["sealed"]
