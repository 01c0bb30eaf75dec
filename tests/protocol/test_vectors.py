"""The vectors hold: the code makes them again byte for byte, and an independent reading agrees."""

from __future__ import annotations

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
