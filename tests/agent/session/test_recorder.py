"""The recorder and its upload, against a relay that witnesses, stalls, lies or refuses."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyrage
import pytest

from farhand_agent.config import Home
from farhand_agent.locks import try_lock
from farhand_agent.session.recording.left import LeftRecordings
from farhand_agent.session.recording.plan import RecordingPlan, plan_recording
from farhand_agent.session.recording.recorder import Recorder
from farhand_agent.session.recording.session import STALLED, SessionRecording
from farhand_agent.session.recording.spool import Spool, leftovers, make_room
from farhand_agent.session.recording.streams import RecordedStreams
from farhand_agent.session.recording.upload import RecordingUpload
from farhand_protocol.casts import CastEvent, CastHeader, read_lines
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import Action
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import Nack, RecordingChunk, Witnessed
from farhand_protocol.recording import (
    MAX_PLAINTEXT_BYTES,
    Chunk,
    RecordingChain,
    open_head,
    sign_witness,
)
from farhand_protocol.trust import GroupPolicy
from tests.protocol.samples import grant

DEVICE, RELAY = SeedSigner(bytes([7]) * 32), SeedSigner(bytes([8]) * 32)
SESSION = "s-aaaaaaaaaaaaaaaaaaaaaaaaaa"
AT = "2026-11-22T08:00:00Z"
IDENTITY = pyrage.x25519.Identity.generate()
MARKER = "the-secret-that-was-typed"


def plan(**fields: Any) -> RecordingPlan:
    made = RecordingPlan(
        recipients=(IDENTITY.to_public(),), keep_days=30, with_input=False, stall="flag"
    )
    return RecordingPlan(**{**vars(made), **fields})


class FakeRelay:
    """Stores chunks and witnesses them, unless told otherwise."""

    def __init__(self) -> None:
        self.chunks: dict[int, Chunk] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.nack = ""
        self.signer = RELAY
        self.asked = 0

    async def ask(self, build: Callable[[int], Any]) -> Any:
        self.asked += 1
        message = build(self.asked)
        assert isinstance(message, RecordingChunk)
        await self.open.wait()
        if self.nack:
            return Nack(seq=self.asked, code=self.nack, message="no")
        opened = open_head(message.head)
        witness = sign_witness(opened, AT, self.signer)
        self.chunks[opened.head.index] = Chunk(
            head=message.head, ciphertext=message.ciphertext, witness=witness
        )
        return Witnessed(seq=message.seq, at=AT, signature=witness.signature)

    def verified(self) -> Any:
        chain = RecordingChain(device_key=DEVICE.public_key, relay_key=RELAY.public_key)
        for index in sorted(self.chunks):
            chain.add(self.chunks[index])
        return chain.finish()

    def lines(self) -> list[tuple[int, CastHeader | CastEvent]]:
        return [
            line
            for index in sorted(self.chunks)
            for line in read_lines(pyrage.decrypt(self.chunks[index].ciphertext, [IDENTITY]))
        ]

    def text(self, stream: int, code: str = "o") -> str:
        return "".join(
            event.data
            for number, event in self.lines()
            if number == stream and isinstance(event, CastEvent) and event.code == code
        )


class Console:
    """The channel that is recorded; what it typed, and what it was shown."""

    def __init__(self, *typed: bytes) -> None:
        self._typed = [*typed, b""]
        self.shown = b""

    async def read(self) -> bytes:
        return self._typed.pop(0)

    async def write(self, data: bytes, *, error: bool = False) -> None:
        self.shown += data


class Scene:
    """A recorder with its upload, on one relay."""

    def __init__(self, folder: Path, relay: FakeRelay, **fields: Any) -> None:
        self.relay = relay
        self.stalls: asyncio.Queue[str] = asyncio.Queue()
        self.spool = Spool(folder / SESSION)
        self.spool.make()
        self.recorder = Recorder(
            fields.pop("plan", plan()),
            session=SESSION,
            tenant="n-test",
            signer=DEVICE,
            spool=self.spool,
            now=lambda: datetime.now(UTC).replace(microsecond=0),
            on_stall=lambda words, _: self.stalls.put_nowait(words),
            cut_s=0.01,
            **fields,
        )
        self.upload = RecordingUpload(
            self.recorder, relay.ask, relay_key=RELAY.public_key, pause_s=0.01
        )

    def streams(self, console: Console, command: str | None = None) -> RecordedStreams:
        size = None if command else (80, 24)
        return RecordedStreams(console, self.recorder, command=command, size=size, term="xterm")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Scene]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.recorder.run()), group.create_task(self.upload.run())]
            try:
                async with asyncio.timeout(30):
                    yield self
            finally:
                for task in tasks:
                    task.cancel()


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay()


async def test_what_was_shown_is_in_it_and_nobody_else_can_read_it(
    tmp_path: Path, relay: FakeRelay
) -> None:
    async with Scene(tmp_path, relay).running() as scene:
        console = Console(MARKER.encode())
        streams = scene.streams(console)
        await streams.write(f"$ {MARKER} ä".encode()[:-1])
        await streams.write("ä".encode()[-1:] + b"\xff!\n")
        assert await streams.read() == MARKER.encode()
        streams.resize(132, 50)
        streams.end(-15)
        scene.recorder.event(
            Action(at=AT, kind="file-read", detail="/etc/hosts", size_bytes=1, sha256=None)
        )
        mark = await scene.recorder.finish()
        assert await scene.upload.settle(20)
    told = relay.verified()
    assert (mark.id, mark.chunks, mark.complete) == (SESSION, told.chunks, True)
    assert mark.head_sha256 == told.head_sha256
    assert told.witnessed == told.chunks
    assert relay.text(1) == f"$ {MARKER} ä\ufffd!\n"
    assert relay.text(1, "i") == ""  # typing is left out unless policy asks for it
    assert (relay.text(1, "r"), relay.text(1, "x")) == ("132x50", "143")
    (event,) = [e for n, e in relay.lines() if n == 0 and isinstance(e, CastEvent)]
    assert msgspec.json.decode(event.data)["detail"] == "/etc/hosts"
    assert console.shown == f"$ {MARKER} ä".encode() + b"\xff!\n"
    for chunk in relay.chunks.values():
        assert MARKER.encode() not in chunk.ciphertext + chunk.head
    assert scene.spool.waiting() == []


async def test_input_is_recorded_where_policy_says_so(tmp_path: Path, relay: FakeRelay) -> None:
    async with Scene(tmp_path, relay, plan=plan(with_input=True)).running() as scene:
        streams = scene.streams(Console(b"secret\r"))
        while await streams.read():
            pass
        streams.end(0)
        await scene.recorder.finish()
        assert await scene.upload.settle(20)
    assert relay.text(1, "i") == "secret\r"


async def test_what_is_no_text_is_kept_whole(tmp_path: Path, relay: FakeRelay) -> None:
    archive = os.urandom(100_000)
    euro = "\u20ac".encode()
    async with Scene(tmp_path, relay).running() as scene:
        streams = scene.streams(Console(), "tar c .")
        for piece in (b"a text ", euro[:1], euro[1:], b"\n", euro[:2], archive, b"end\n", euro[:1]):
            await streams.write(piece)
        await streams.write(b"trouble\n", error=True)
        streams.end(0)
        await scene.recorder.finish()
        assert await scene.upload.settle(20)
    assert relay.text(1) == "a text \u20ac\nend\ntrouble\n"
    kept = [e for n, e in relay.lines() if n == 1 and isinstance(e, CastEvent) and e.code == "b"]
    assert b"".join(base64.b64decode(e.data) for e in kept) == euro[:2] + archive + euro[:1]
    assert relay.verified().complete


async def test_much_output_keeps_its_order_and_chunks_their_bound(
    tmp_path: Path, relay: FakeRelay
) -> None:
    wanted = "".join(f"\x01\x1b[{i}m" for i in range(60_000))
    async with Scene(tmp_path, relay).running() as scene:
        streams = scene.streams(Console(), "cat")
        for at in range(0, len(wanted), 32_768):
            await streams.write(wanted[at : at + 32_768].encode())
        streams.end(0)
        await scene.recorder.finish()
        assert await scene.upload.settle(20)
    assert relay.text(1) == wanted
    assert relay.verified().complete
    sizes = [len(pyrage.decrypt(chunk.ciphertext, [IDENTITY])) for chunk in relay.chunks.values()]
    assert len(sizes) > 20
    assert max(sizes) <= MAX_PLAINTEXT_BYTES


async def test_a_stalled_recording_is_told_and_its_gap_is_counted(
    tmp_path: Path, relay: FakeRelay
) -> None:
    relay.open.clear()
    scene = Scene(tmp_path, relay, stall_s=0.05, spool_bytes=100_000)
    async with scene.running():
        streams = scene.streams(Console(), "yes")
        shown = 0
        while scene.stalls.empty() or shown < 2_000_000:
            await streams.write(b"y\n" * 10_000)  # never blocks for longer than a stall
            shown += 20_000
        assert scene.spool.size_bytes < 300_000
        relay.open.set()
        assert await scene.upload.settle(20)
        await streams.write(b"the end\n")
        streams.end(0)
        mark = await scene.recorder.finish()
        assert await scene.upload.settle(20)
    told = relay.verified()
    assert told.dropped_bytes > 1_000_000
    assert (told.complete, mark.complete) == (True, False)
    assert relay.text(1).endswith("the end\n")


async def test_a_slow_relay_slows_the_session_and_loses_nothing(
    tmp_path: Path, relay: FakeRelay
) -> None:
    scene = Scene(tmp_path, relay, stall_s=30, spool_bytes=60_000)
    async with scene.running():
        streams = scene.streams(Console(), "seq")
        for _ in range(50):
            await streams.write(b"0123456789abcdef" * 2_000)
        streams.end(0)
        mark = await scene.recorder.finish()
        assert await scene.upload.settle(20)
    assert mark.complete
    assert relay.text(1) == "0123456789abcdef" * 100_000
    assert scene.stalls.empty()


async def test_a_relay_that_refuses_or_signs_with_another_key_is_a_stall(
    tmp_path: Path, relay: FakeRelay
) -> None:
    relay.nack = "recording-full"
    async with Scene(tmp_path / "a", relay).running() as scene:
        assert "refuses" in await scene.stalls.get()
        assert not await scene.upload.settle(0.01)
        assert scene.spool.waiting() == [0]
    liar = FakeRelay()
    liar.signer = SeedSigner(bytes([9]) * 32)
    async with Scene(tmp_path / "b", liar, stall_s=0.05).running() as scene:
        assert "no more" in await scene.stalls.get()
        assert 0 in scene.spool.waiting()


async def test_a_gap_on_the_wire_is_sent_again(tmp_path: Path, relay: FakeRelay) -> None:
    relay.nack = "recording-gap"
    async with Scene(tmp_path, relay).running() as scene:
        await scene.recorder.finish()
        while relay.asked < 3:
            await asyncio.sleep(0)
        relay.nack = ""
        assert await scene.upload.settle(20)
    assert relay.verified().complete
    assert scene.stalls.empty()


async def test_a_full_disk_is_a_stall_and_what_was_lost_is_counted(
    tmp_path: Path, relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = Spool.put, True

    def put(self: Spool, index: int, head: bytes, ciphertext: bytes) -> None:
        if full:
            raise OSError(28, "No space left on device")
        real(self, index, head, ciphertext)

    monkeypatch.setattr(Spool, "put", put)
    async with Scene(tmp_path, relay).running() as scene:
        await scene.streams(Console(), "echo").write(b"lost\n")
        assert "No space left" in await scene.stalls.get()
        full = False
        mark = await scene.recorder.finish()
        assert await scene.upload.settle(20)
    assert relay.verified().dropped_bytes > 0
    assert not mark.complete


async def test_a_disk_that_stays_full_leaves_no_end(
    tmp_path: Path, relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "put", put)
    mark = await Scene(tmp_path, relay).recorder.finish()
    assert (mark.chunks, mark.complete, mark.head_sha256) == (0, False, "0" * 64)


def test_a_spool_outlives_its_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / SESSION)
    spool.make()
    spool.put(3, b"head", b"cipher")
    spool.put(12, b"h" * 4000, b"c" * 56_000)
    again = Spool(tmp_path / SESSION)
    assert again.waiting() == [3, 12]
    assert again.get(3) == (b"head", b"cipher")
    (tmp_path / SESSION / "00000003.chunk").write_bytes(b"\xff\xff\xff\xffx")
    with pytest.raises(FarhandError, match="recording-spool"):
        again.get(3)
    again.drop(3)
    again.drop(3)
    again.drop(12)
    again.close()
    assert not again.folder.exists()


AGE = str(IDENTITY.to_public())


@pytest.mark.parametrize(
    ("rules", "guest", "recorded"),
    [
        ({}, False, False),
        ({"audit_keys": [AGE]}, False, False),
        ({"recording": "on"}, False, False),
        ({"recording": "on", "audit_keys": [AGE]}, False, True),
        ({"recording": "required", "audit_keys": [AGE]}, False, True),
        ({"recording": "on"}, True, True),
        ({"recording": "required"}, True, True),
    ],
)
def test_policy_decides_whether_it_is_recorded(
    rules: dict[str, Any], guest: bool, recorded: bool
) -> None:
    found = plan_recording(GroupPolicy(**rules), grant(), guest=guest)
    assert (found is not None) is recorded


@pytest.mark.parametrize(
    "rules",
    [
        {"recording": "required"},
        {"recording": "required", "audit_keys": ["age1nonsense"]},
        {"recording": "on", "audit_keys": ["ssh-rsa AAAAB3NzaC1yc2E"]},
        {"recording": "on", "audit_keys": [AGE, "ssh-ed25519 AAAA"]},
        {"recording": "on", "audit_keys": [f"ssh-ed25519 {i}" for i in range(17)]},
    ],
)
def test_what_cannot_be_recorded_as_policy_wants_is_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="recording-impossible"):
        plan_recording(GroupPolicy(**rules), grant(), guest=False)


def test_a_guest_is_recorded_for_the_operator() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = Ed25519PrivateKey.generate()
    asked = msgspec.structs.replace(grant(), operator_key=private.public_key().public_bytes_raw())
    found = plan_recording(GroupPolicy(recording="on"), asked, guest=True)
    assert found is not None
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    sealed = found.seal(b"shown")
    assert pyrage.decrypt(sealed, [pyrage.ssh.Identity.from_buffer(pem)]) == b"shown"


async def test_another_process_goes_on_with_the_chain(tmp_path: Path, relay: FakeRelay) -> None:
    async with Scene(tmp_path, relay).running() as scene:
        streams = scene.streams(Console())
        await streams.write(b"before\n")
        await scene.recorder.pause()
    async with Scene(tmp_path, relay).running() as scene:
        streams = scene.streams(Console())
        await streams.write(b"after\n")
        mark = await scene.recorder.finish()
        assert await scene.upload.settle(20)
    told = relay.verified()
    assert (told.complete, told.dropped_bytes, mark.complete) == (True, 0, True)
    assert mark.chunks == told.chunks
    assert (relay.text(1), relay.text(2)) == ("before\n", "after\n")
    headers = [number for number, line in relay.lines() if isinstance(line, CastHeader)]
    assert headers == [0, 1, 2]
    scene.spool.close()
    assert not scene.spool.folder.exists()


async def test_a_killed_process_leaves_a_visible_gap(tmp_path: Path, relay: FakeRelay) -> None:
    async with Scene(tmp_path, relay).running() as scene:
        await scene.streams(Console()).write(b"before\n")
        while not relay.chunks:
            await asyncio.sleep(0)
    scene.spool.close()
    assert scene.spool.chain() is not None  # somebody may go on with it
    async with Scene(tmp_path, relay).running() as scene:
        mark = await scene.recorder.finish()
        assert await scene.upload.settle(20)
    told = relay.verified()
    assert (told.complete, mark.complete) == (True, False)
    assert told.dropped_bytes == 1


async def test_a_process_killed_before_its_first_chunk_shows_too(
    tmp_path: Path, relay: FakeRelay
) -> None:
    scene = Scene(tmp_path, relay)
    scene.recorder.keep_chain()
    async with Scene(tmp_path, relay).running() as scene:
        mark = await scene.recorder.finish()
        assert await scene.upload.settle(20)
    told = relay.verified()
    assert (told.dropped_bytes, mark.complete) == (1, False)
    assert [number for number, _ in relay.lines()] == [0]


async def test_a_stall_ends_the_session_where_policy_says_so(tmp_path: Path) -> None:
    for stall, ends in (("stop", True), ("flag", False)):
        noted: list[str] = []
        ended: list[str] = []
        relay = FakeRelay()
        relay.nack = "recording-full"
        async with asyncio.TaskGroup() as group:
            recording = SessionRecording(
                plan(stall=stall),
                Home.at(tmp_path / stall),
                session=SESSION,
                tenant="n-test",
                signer=DEVICE,
                relay_key=RELAY.public_key,
                ask=relay.ask,
                now=lambda: datetime.now(UTC),
                note=_into(noted),
                stop=ended.append,
                group=group,
            )
            await recording.begin()
            await recording.finish()
            async with asyncio.timeout(20):
                while not noted:
                    await asyncio.sleep(0)
            await recording.close(settle_s=0.0)
        assert noted == ["the relay refuses the recording"]
        assert ended == ([STALLED] if ends else [])
        assert (tmp_path / stall / "recordings" / SESSION / "00000000.chunk").exists()


def test_what_dead_sessions_left_is_found_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.at(tmp_path)
    home.make()
    names = [f"s-{letter * 26}" for letter in "bcd"]
    for at, name in enumerate(names):
        spool = Spool(home.recordings / name)
        spool.make()
        spool.put(0, b"head", b"x" * 1000)
        os.utime(spool.folder, (at, at))
    served = try_lock(home.session_lock(names[2]))
    assert served is not None
    assert [spool.session for spool in leftovers(home)] == names[:2]
    monkeypatch.setattr("farhand_agent.session.recording.spool.MAX_LEFT_BYTES", 1500)
    assert make_room(home) == names[:1]
    assert [spool.session for spool in leftovers(home)] == names[1:2]
    served.release()


async def test_what_is_left_is_sent_by_whoever_comes_next(
    tmp_path: Path, relay: FakeRelay, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home.at(tmp_path)
    home.make()
    relay.nack = "session-unknown"
    async with Scene(home.recordings, relay).running() as scene:
        await scene.streams(Console()).write(b"x" * 100_000)
        await scene.recorder.finish()
    assert len(scene.spool.waiting()) > 2
    left = LeftRecordings(home)
    await left.send_all(relay.ask)
    await left.send_all(relay.ask)  # what was refused is not asked for again
    assert capsys.readouterr().err.count("session-unknown") == 1
    relay.nack = ""
    await LeftRecordings(home).send_all(relay.ask)
    assert relay.verified().complete
    assert not scene.spool.folder.exists()


def _into(noted: list[str]) -> Callable[[str, str], None]:
    return lambda words, _message: noted.append(words)
