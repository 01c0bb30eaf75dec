"""What is fuzzed: one target per parser of the protocol, each with good inputs to start from.

A target takes bytes and holds the parser to its documented errors: it returns or raises
FarhandError.  Whatever else comes out is a finding.  Where a parser accepts an input, the target
also checks that writing it again gives something the parser reads the same way.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from farhand_protocol import frames, messages
from farhand_protocol.audit import MAX_HEAD_BYTES, decode_head, encode_head, head_message
from farhand_protocol.bundles import Bundle, BundleFile, open_bundle_manifest
from farhand_protocol.casts import (
    CastHeader,
    Term,
    encode_cast_event,
    encode_cast_header,
    read_lines,
)
from farhand_protocol.codes import format_code, parse_code
from farhand_protocol.envelopes import (
    Envelope,
    Statement,
    decode_envelope,
    encode_envelope,
    encode_payload,
    open_payload,
    seal,
    signers,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant, Receipt
from farhand_protocol.identity import device_id, parse_public_key_line, public_key_line
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.inventory import SectionReport, decode_section, encode_section, section_hash
from farhand_protocol.link import DeviceHandshake, RelayHandshake
from farhand_protocol.manifest import Manifest, check_approved, check_manifest
from farhand_protocol.order_files import MAGIC, OrderFile, pack_order, unpack_order
from farhand_protocol.orders import Order, Result
from farhand_protocol.pairing import ConsolePairing, DevicePairing
from farhand_protocol.parameters import check_parameters, check_schema
from farhand_protocol.patterns import PatternError, compile_pattern
from farhand_protocol.pipe import Data, ResumablePipe
from farhand_protocol.placements import Placements, check_placements
from farhand_protocol.receipts import open_grant, verify_receipt
from farhand_protocol.recording import RecordingChain, SealedReader, open_head
from farhand_protocol.schedules import parse_schedule
from farhand_protocol.tokens import (
    Confirmation,
    Enrolment,
    Token,
    format_enrolment_token,
    format_signin_token,
    parse_enrolment_token,
    parse_signin_token,
)
from farhand_protocol.trust import (
    Floors,
    Policy,
    Revocation,
    Revocations,
    Roster,
    decode_document,
    encode_document,
)
from tests.protocol import recordings, samples
from tests.protocol.vector_maker import MAKERS

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True)
class Target:
    """A parser under test.

    Attributes:
        run: takes one input; returns, or raises FarhandError.
        seeds: good inputs.
        count: how many cases a test run takes.
    """

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    count: int = 5000


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _codes(data: bytes) -> None:
    nameplate, secret = parse_code(_text(data))
    assert parse_code(format_code(nameplate, secret)) == (nameplate, secret)


def _enrolment_token(data: bytes) -> None:
    token = parse_enrolment_token(_text(data))
    assert parse_enrolment_token(format_enrolment_token(token)) == token


def _signin_token(data: bytes) -> None:
    token = parse_signin_token(_text(data))
    assert parse_signin_token(format_signin_token(token)) == token


def _instant(data: bytes) -> None:
    at = parse_instant(_text(data))
    assert parse_instant(format_instant(at)) == at


def _schedule(data: bytes) -> None:
    schedule = parse_schedule(_text(data))
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    due, last = schedule.next_due(at, UTC, "d"), schedule.last_due(at, UTC, "d")
    assert due is None or due > at
    assert last is None or last <= at


def _key_line(data: bytes) -> None:
    key = parse_public_key_line(_text(data))
    assert parse_public_key_line(public_key_line(key)) == key


def _pattern(data: bytes) -> None:
    text = _text(data)
    try:
        compiled = compile_pattern(text)
    except PatternError as error:
        raise FarhandError("schema-invalid", str(error)) from error
    compiled.matches(text[:50])
    compiled.may_begin_with("-")


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FarhandError("not-json", "the target wants JSON") from error


def _schema(data: bytes) -> None:
    schema = _json(data)
    if isinstance(schema, dict):
        check_schema(schema)


def _parameters(data: bytes) -> None:
    pair = _json(data)
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, dict) for one in pair):
        check_parameters(*pair)


KEYS = [samples.signer(name).public_key for name in ("alice", "bob", "carol", "device")]
ROSTER = samples.roster(
    samples.operator("alice", "author"),
    samples.operator("bob", "approve:change"),
    samples.operator("carol", "approve:change", "order"),
)
STATEMENTS: tuple[type[Statement], ...] = (
    Manifest, Order, Result, Grant, Receipt, Token, Enrolment, Confirmation,
)  # fmt: skip


def _envelope(data: bytes) -> None:
    envelope = decode_envelope(data)
    assert encode_envelope(envelope) == data
    signers(envelope, KEYS)
    if envelope.payload_type.endswith(".manifest.v1+json"):
        check_approved(envelope, ROSTER, samples.policy())


def _bundle(data: bytes) -> None:
    kind = "application/vnd.farhand.bundle.v1+json"
    open_bundle_manifest(Envelope(payload=data, payload_type=kind, signatures=[]))


def _order_file(data: bytes) -> None:
    carried = unpack_order(data)
    assert unpack_order(pack_order(carried)) == carried


def _order_file_inside(data: bytes) -> None:
    _order_file(MAGIC + zlib.compress(data))


def _statement(kind: type[Statement]) -> Callable[[bytes], None]:
    payload_type = f"application/vnd.farhand.{kind.__name__.lower()}.v1+json"

    def run(data: bytes) -> None:
        envelope = Envelope(payload=data, payload_type=payload_type, signatures=[])
        statement = open_payload(envelope, kind)
        assert encode_payload(statement) == data
        if isinstance(statement, Manifest):
            check_manifest(statement, samples.BODY)

    return run


Kind = type[Roster | Policy | Revocations | Floors | Placements]


def _document(kind: Kind) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        document = decode_document(data, kind)
        if isinstance(document, Placements):
            check_placements(document)
        assert decode_document(encode_document(document), kind) == document

    return run


def _section(data: bytes) -> None:
    decode_section(data)


def _section_inside(data: bytes) -> None:
    """Reach past the compression, which hardly a changed blob survives."""
    decode_section(zlib.compress(data, 1))


def _grant(data: bytes) -> None:
    open_grant(decode_envelope(data))


def _audit_head(data: bytes) -> None:
    head = decode_head(data)
    head_message(head)
    again = encode_head(head)
    # Escapes make a text longer; such a head was none that anybody wrote.
    assert len(again) > MAX_HEAD_BYTES or decode_head(again) == head


def _device_message(data: bytes) -> None:
    message = messages.decode_device_message(data)
    assert messages.decode_device_message(messages.encode_message(message)) == message


def _relay_message(data: bytes) -> None:
    message = messages.decode_relay_message(data)
    assert messages.decode_relay_message(messages.encode_message(message)) == message


def _hello(data: bytes) -> None:
    relay = RelayHandshake(samples.signer("relay").public_key, nonce=bytes(32))
    relay.receive_hello(data)
    relay.challenge(bytes(64))
    relay.receive_proof(data[:64])


def _challenge(data: bytes) -> None:
    device = DeviceHandshake("device", "t", samples.DEVICE_KEY, None, nonce=bytes(32))
    device.receive_challenge(data)
    device.message_to_sign()


def _attach(data: bytes) -> None:
    assert frames.write_attach(*frames.parse_attach(data)) == data


def _split(data: bytes) -> Iterable[bytes]:
    """Read the input as messages, each after one length byte."""
    while data:
        size = data[0]
        yield data[1 : 1 + size]
        data = data[1 + size :]


def _join(parts: Iterable[bytes]) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts)


def _pipe(data: bytes) -> None:
    pipe = ResumablePipe(max_message_bytes=8, ack_every_bytes=16)
    pipe.send(b"what this end has to say", 0.0)
    pipe.attach(0.0)
    heard = b""
    failed: FarhandError | None = None
    for at, message in enumerate(_split(data)):
        try:
            pipe.receive_message(message, float(at))
        except FarhandError as error:
            failed = error
            pipe.attach(float(at))
        for event in pipe.events():
            if isinstance(event, Data):
                # Bytes stand where their frame says, right behind those before them.
                assert message[:9] == b"\x01" + len(heard).to_bytes(8, "big")
                heard += event.data
        pipe.messages_to_send()
        pipe.handle_timeout(float(at))
        assert pipe.unacked_bytes <= 25
    if failed:
        raise failed


_DEVICE = DevicePairing("https://relay.example:8443", "4071", "H7M3QX", entropy=bytes)
_CONSOLE = ConsolePairing(
    "https://relay.example:8443", "4071", "H7M3QX", entropy=samples.entropy("console")
)


def _pairing(data: bytes) -> None:
    device, console = copy.copy(_DEVICE), copy.copy(_CONSOLE)
    parts = list(_split(data))
    if not parts:
        return
    console.send_pake()
    try:
        console.receive_pake(parts[0][:34])
    except FarhandError:
        assert console.burned
    device.receive_pake(parts[0])
    for step, part in zip((device.receive_confirm, device.open), parts[1:], strict=False):
        step(part)
        # Without the secret nobody gets past the proof.
        raise AssertionError(f"{step.__name__} took {part.hex()}")


def _encoded(*statements: Any) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode(one, order="sorted") for one in statements)


VECTORS = {name: make() for name, make in MAKERS.items()}
PIPE = [bytes.fromhex(step["message"]) for step in VECTORS["pipe"]["steps"] if "message" in step]
PAIRING = [bytes.fromhex(VECTORS["pairing"][f"console_{step}"]) for step in ("pake", "confirm")]
RESULT = Result(
    tenant="t", device="d", order="o", script="a.b", version=1, digest="ab", state="failed",
    exit_code=1, signal=None, stdout=b"x", stdout_bytes=1, stdout_truncated=False, stderr=b"",
    stderr_bytes=0, stderr_truncated=False, sealed_output=None, refusal=None, words=None,
    started_at=None, ended_at="2026-11-22T08:00:00Z",
)  # fmt: skip
CONFIRMATION = Confirmation(tenant="t", device="d", device_key=bytes(32), group="g", at="x")
STATEMENT_SEEDS: dict[type[Statement], Statement] = {
    Manifest: samples.manifest(),
    Order: samples.order(),
    Result: RESULT,
    Grant: samples.grant(),
    Receipt: samples.receipt(),
    Token: samples.registration(),
    Enrolment: samples.enrolment(),
    Confirmation: CONFIRMATION,
}
SCHEMA = samples.manifest().parameters
REVOKED = Revocation(kind="device", subject="d-x", reason="lost", at="2026-11-22T08:00:00Z")


def _section_seed() -> bytes:
    items = [{"name": "eth0", "mtu": 1500, "up": True, "load": 0.5, "tags": ["a", None]}]
    report = SectionReport(
        name="net.interfaces",
        status="ok",
        reason="",
        items=items,
        hash=section_hash("ok", items),
        collected_at="2026-11-22T08:00:00Z",
        duration_ms=12,
    )
    return encode_section(report)


def _receipt_seed() -> bytes:
    return encode_envelope(
        seal(samples.receipt(), samples.signer("device"), samples.signer("console"))
    )


def _message_seeds(*made: Any) -> tuple[bytes, ...]:
    return tuple(messages.encode_message(one) for one in made)


def _recording_head(data: bytes) -> None:
    opened = open_head(data)
    assert opened.head.device_key == recordings.DEVICE.public_key


def _sealed_recording(data: bytes) -> None:
    reader, chain = SealedReader(), RecordingChain()
    chunks = reader.receive_data(data)
    reader.receive_eof()
    for chunk in chunks:
        chain.add(chunk)
    chain.finish()
    assert data == recordings.sealed_file(chunks)


def _cast_lines(data: bytes) -> None:
    for number, line in read_lines(data):
        if isinstance(line, CastHeader):
            written = encode_cast_header(number, line)
            assert list(read_lines(written)) == [(number, line)]


_RECORDING = recordings.make_chunks([b"sealed one", b"sealed two"])
_LINES = encode_cast_header(
    1, CastHeader(version=3, term=Term(cols=80, rows=24, type="xterm"))
) + encode_cast_event(1, 0.5, "o", "shown")

_CARRIED = OrderFile(order=b"sealed", trust={"metadata/1.root.json": b"{}", "target/a.json": b"x"})
_BUNDLE = Bundle(
    tenant="t",
    device=device_id(bytes(32)),
    device_key=bytes(32),
    made_at="2026-11-22T08:00:00Z",
    cleaned=["user"],
    secrets_removed=1,
    files=[BundleFile(name="logs/system.txt", size_bytes=1, sha256="0" * 64, about="a log")],
    omitted=["nothing"],
)

TARGETS: dict[str, Target] = {
    "recording-head": Target(_recording_head, tuple(one.head for one in _RECORDING)),
    "sealed-recording": Target(_sealed_recording, (recordings.sealed_file(_RECORDING),)),
    "cast-lines": Target(_cast_lines, (_LINES,)),
    "bundle": Target(_bundle, (encode_payload(_BUNDLE),)),
    "order-file": Target(_order_file, (pack_order(_CARRIED),)),
    "order-file-inside": Target(_order_file_inside, (msgspec.msgpack.encode(_CARRIED),)),
    "codes": Target(_codes, (b"4071-H7M 3QX", b"407123h7m3qx")),
    "enrolment-token": Target(
        _enrolment_token, (format_enrolment_token(samples.enrolment_token()).encode(),)
    ),
    "signin-token": Target(_signin_token, (format_signin_token(samples.signin_token()).encode(),)),
    "instant": Target(_instant, (b"2026-11-22T08:00:00Z", b"2026-11-22T08:00:00.5+02:00")),
    "schedule": Target(
        _schedule,
        (
            b"disk: every 15m; checks disk.space warning_percent=80, a.b; confirm 2/3; splay 5m",
            b"night: monthly last fri 03:30; inventory software, updates; misfire skip",
            b"x: yearly 02-29 03:30; checks a.b; zone Europe/Lisbon; until 2027-01-01T00:00:00Z",
        ),
        count=2000,
    ),
    "key-line": Target(_key_line, (public_key_line(samples.DEVICE_KEY, "desk-7").encode(),)),
    "pattern": Target(
        _pattern,
        (b"^[a-z0-9][a-z0-9._-]{0,63}$", b"^(?:a+|b{2,3})*\\d?$", b"^([^x]\\.){1,9}[\\]-]$"),
    ),
    "schema": Target(_schema, _encoded(SCHEMA)),
    "parameters": Target(_parameters, _encoded([SCHEMA, {"name": "ada"}])),
    "envelope": Target(
        _envelope,
        tuple(VECTORS[name]["envelope"].encode() for name in ("envelope", "order", "grant")),
    ),
    "device-message": Target(
        _device_message,
        _message_seeds(
            messages.Present(agent_version="1", host_name="h", os="o", session="s-x"),
            messages.ReportSections(seq=3, changed=[b"x"], hashes={"cpu": "ab"}),
            messages.SessionReport(seq=7, session="s-x", state="ended", scopes=["view"]),
            messages.FetchTrust(seq=2, kind="target", name="roster.json"),
            messages.MailboxReply(session="s-x", phase="pake", body=b"x"),
        ),
    ),
    "relay-message": Target(
        _relay_message,
        _message_seeds(
            messages.Welcome(standing="guest", ping_s=20, reconnect_window_s=1.5, now="x"),
            messages.TrustFile(seq=2, total=-1, body=b"x"),
            messages.OfferOrder(order="o-x", envelope=b"{}"),
            messages.AttachPipe(session="s-x", number=7, token=bytes(16)),
            messages.Resend(sections=["cpu"]),
        ),
    ),
    "section": Target(_section, (_section_seed(),)),
    "section-inside": Target(_section_inside, (zlib.decompress(_section_seed()),)),
    "grant": Target(_grant, (VECTORS["grant"]["envelope"].encode(),)),
    "receipt": Target(verify_receipt, (_receipt_seed(),)),
    "audit-head": Target(_audit_head, (VECTORS["audit"]["device"]["head"].encode(),)),
    "link-hello": Target(_hello, (bytes.fromhex(VECTORS["link"]["hello"]),)),
    "link-challenge": Target(_challenge, (bytes.fromhex(VECTORS["link"]["challenge"]),)),
    "attach": Target(_attach, (bytes.fromhex(VECTORS["attach"]["device"]),)),
    "attach-reply": Target(frames.parse_attach_reply, (frames.write_attach_reply(True),)),
    "pipe": Target(_pipe, (_join(PIPE), _join(PIPE[:4]))),
    "pairing": Target(_pairing, (_join(PAIRING), _join(PAIRING[:1])), count=60),
    "roster": Target(_document(Roster), _encoded(ROSTER)),
    "policy": Target(_document(Policy), _encoded(samples.policy())),
    "revocations": Target(
        _document(Revocations), _encoded(Revocations(tenant="t", revoked=[REVOKED]))
    ),
    "placements": Target(
        _document(Placements),
        _encoded(Placements(tenant="t", groups={device_id(bytes(32)): "lab"})),
    ),
    "floors": Target(_document(Floors), _encoded(Floors(tenant="t", scripts={"a.b": 2}))),
}
TARGETS |= {
    f"{kind.__name__.lower()}-statement": Target(_statement(kind), _encoded(STATEMENT_SEEDS[kind]))
    for kind in STATEMENTS
}
assert json.loads(TARGETS["schema"].seeds[0]) == SCHEMA
