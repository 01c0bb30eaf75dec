"""Makes the test vectors in tests/protocol/vectors from fixed inputs.

`python -m tests.protocol.vector_maker` writes them; test_vectors.py checks that they still hold.
All binary values are lower-case hex, seeds are Ed25519 seeds (RFC 8032 s5.1.5).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import structs

from farhand_protocol import frames
from farhand_protocol.audit import AuditHead, encode_head, head_mark, head_message
from farhand_protocol.codes import format_code
from farhand_protocol.envelopes import Statement, encode_envelope, pae, seal
from farhand_protocol.link import DeviceHandshake, RelayHandshake
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.pairing import ConsolePairing, DevicePairing
from farhand_protocol.pipe import ResumablePipe
from farhand_protocol.tokens import format_enrolment_token, format_signin_token
from tests.protocol import recordings, samples

FOLDER = Path(__file__).parent / "vectors"
SESSION = "s-aaaaaaaaaaaaaaaa"


def link() -> dict[str, Any]:
    """A whole link handshake."""
    device_key, relay_key = samples.signer("device"), samples.signer("relay")
    device = DeviceHandshake(
        "device",
        samples.TENANT,
        device_key.public_key,
        relay_key.public_key,
        nonce=samples.seed("device nonce"),
    )
    relay = RelayHandshake(relay_key.public_key, nonce=samples.seed("relay nonce"))
    relay_message = relay.receive_hello(device.hello())
    challenge = relay.challenge(relay_key.sign(relay_message))
    device.receive_challenge(challenge)
    device_message = device.message_to_sign()
    return {
        "role": "device",
        "tenant": samples.TENANT,
        "device_seed": samples.seed("device").hex(),
        "relay_seed": samples.seed("relay").hex(),
        "device_nonce": samples.seed("device nonce").hex(),
        "relay_nonce": samples.seed("relay nonce").hex(),
        "hello": device.hello().hex(),
        "relay_signs": relay_message.hex(),
        "challenge": challenge.hex(),
        "device_signs": device_message.hex(),
        "proof": device_key.sign(device_message).hex(),
        "device": samples.DEVICE,
    }


def pipe() -> dict[str, Any]:
    """A pipe that is cut once: every message of both ends, in order."""
    ends = {
        "device": ResumablePipe(pipe_id=b"D" * 16),
        "console": ResumablePipe(pipe_id=b"C" * 16),
    }
    steps: list[dict[str, Any]] = []

    def carry(name: str, *, lost: bool = False) -> None:
        other = ends["console" if name == "device" else "device"]
        for message in ends[name].messages_to_send():
            steps.append({"from": name, "message": message.hex(), "lost": lost})
            if not lost:
                other.receive_message(message, 0.0)

    for end in ends.values():
        end.attach(0.0)
    carry("console")
    carry("device")
    ends["console"].send(b"SSH-2.0-console\r\n", 0.0)
    carry("console")
    ends["device"].handle_timeout(0.0)
    ends["device"].handle_timeout(0.2)
    carry("device")
    ends["device"].send(b"SSH-2.0-device\r\n", 0.3)
    carry("device", lost=True)
    for end in ends.values():
        end.detach(1.0)
        end.attach(2.0)
    steps.append({"event": "both websockets are cut, both ends attach again"})
    carry("console")
    carry("device")
    for name in ("console", "device", "console"):
        ends[name].send_eof(2.0)
        carry(name)
    ends["console"].close(3.0)
    carry("console")
    return {
        "device_pipe_id": (b"D" * 16).hex(),
        "console_pipe_id": (b"C" * 16).hex(),
        "steps": steps,
    }


def attach() -> dict[str, Any]:
    """The frame that opens a pipe, and both answers."""
    token = samples.seed("pipe token")[:16]
    return {
        "session": SESSION,
        "token": token.hex(),
        "device": frames.write_attach("device", SESSION, token).hex(),
        "console": frames.write_attach("console", SESSION, token).hex(),
        "attached": frames.write_attach_reply(True).hex(),
        "refused": frames.write_attach_reply(False).hex(),
    }


def pairing() -> dict[str, Any]:
    """A pairing with fixed entropy, up to one sealed blob each way."""
    origin, nameplate, secret = "https://relay.example:8443", "4071", "H7M3QX"
    device = DevicePairing(origin, nameplate, secret, entropy=samples.entropy("device"))
    console = ConsolePairing(origin, nameplate, secret, entropy=samples.entropy("console"))
    from_console = console.send_pake()
    from_device = device.receive_pake(from_console)
    console_proof = console.receive_pake(from_device)
    device_proof = device.receive_confirm(console_proof)
    console.receive_confirm(device_proof)
    return {
        "origin": origin,
        "code": format_code(nameplate, secret),
        "console_entropy": "SHA-256('console' | u64 counter) blocks; 64 bytes, then 32",
        "device_entropy": "SHA-256('device' | u64 counter) blocks; 64 bytes",
        "console_pake": from_console.hex(),
        "device_pake": from_device.hex(),
        "console_confirm": console_proof.hex(),
        "device_confirm": device_proof.hex(),
        "transcript": device.transcript.hex(),
        "words": device.words,
        "device_plaintext": b"offer".hex(),
        "device_sealed": device.seal(b"offer").hex(),
        "console_plaintext": b"request".hex(),
        "console_sealed": console.seal(b"request").hex(),
    }


def _sealed(statement: Statement, *names: str) -> dict[str, Any]:
    envelope = seal(statement, *(samples.signer(name) for name in names))
    return {
        "seeds": {name: samples.seed(name).hex() for name in names},
        "payload_type": envelope.payload_type,
        "payload": envelope.payload.decode(),
        "pae": pae(envelope.payload_type, envelope.payload).hex(),
        "envelope": encode_envelope(envelope).decode(),
    }


def envelope() -> dict[str, Any]:
    """A manifest signed by its author and two approvers."""
    made = _sealed(samples.manifest(), "alice", "bob", "carol")
    digest = manifest_digest(seal(samples.manifest(), samples.signer("alice")))
    return made | {"manifest_digest": digest}


def order() -> dict[str, Any]:
    """An order."""
    return _sealed(samples.order(), "carol")


def grant() -> dict[str, Any]:
    """A grant, another operator's approval of it, and a widening of its session."""
    return _sealed(samples.grant(), "carol") | {
        "approval": _sealed(samples.grant_approval(), "bob"),
        "widening": _sealed(samples.widening(), "carol"),
    }


def audit() -> dict[str, Any]:
    """The head of a relay's audit and of a device's log, and the mark of a receipt."""
    made: dict[str, Any] = {"mark": head_mark(3, "ab" * 32)}
    for name, owner in (("relay", samples.TENANT), ("device", samples.DEVICE)):
        unsigned = AuditHead(owner=owner, seq=3, hash="ab" * 32, at="2026-11-22T08:00:00Z")
        message = head_message(unsigned)
        signed = structs.replace(unsigned, signature=samples.signer(name).sign(message))
        made[name] = {
            "seed": samples.seed(name).hex(),
            "signs": message.hex(),
            "head": encode_head(signed).decode(),
        }
    return made


def token() -> dict[str, Any]:
    """Both kinds of token, and the statements behind an enrolment."""
    return {
        "enrolment_token": format_enrolment_token(samples.enrolment_token()),
        "signin_token": format_signin_token(samples.signin_token()),
        "registration": _sealed(samples.registration(), "admin"),
        "enrolment": _sealed(samples.enrolment(), "token", "device"),
    }


def recording() -> dict[str, Any]:
    """A whole recording of two chunks, with stand-ins for ciphertext, as a sealed file."""
    chunks = recordings.make_chunks([b"sealed one", b"sealed two"], dropped=3)
    return {
        "device_seed": recordings.DEVICE_SEED.hex(),
        "relay_seed": recordings.RELAY_SEED.hex(),
        "heads": [chunk.head.decode() for chunk in chunks],
        "witnesses": [chunk.witness.signature.hex() for chunk in chunks if chunk.witness],
        "witnessed_at": recordings.AT,
        "ciphertexts": [chunk.ciphertext.hex() for chunk in chunks],
        "sealed": recordings.sealed_file(chunks).hex(),
    }


MAKERS: dict[str, Callable[[], dict[str, Any]]] = {
    "attach": attach,
    "audit": audit,
    "envelope": envelope,
    "grant": grant,
    "link": link,
    "order": order,
    "pairing": pairing,
    "pipe": pipe,
    "recording": recording,
    "token": token,
}

if __name__ == "__main__":
    for name, make in MAKERS.items():
        text = json.dumps(make(), indent=2, sort_keys=True, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n")
