"""A recorded session in its real process: the question, the chunks, the receipt, a stall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyrage
import pytest

from farhand_agent.session.events import ActionSeen, Asked, Ended
from farhand_protocol.casts import CastEvent, read_lines
from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload
from farhand_protocol.grants import Receipt
from farhand_protocol.receipts import verify_receipt
from farhand_protocol.recording import Chunk, RecordingChain, VerifiedRecording
from farhand_protocol.trust import GroupPolicy
from tests.agent.session.code_console import CodeConsole
from tests.agent.session.running import Run, open_session, running
from tests.agent.session.test_process_enrolled import enrolled
from tests.support.session_relay import SessionRelay

IDENTITY = pyrage.x25519.Identity.generate()
MARKER = "what-nobody-else-may-read"


def recorded(**rules: Any) -> GroupPolicy:
    return GroupPolicy(recording="required", audit_keys=[str(IDENTITY.to_public())], **rules)


def verified(relay: SessionRelay, device_key: bytes) -> VerifiedRecording:
    chain = RecordingChain(device_key=device_key)
    # One that was sent again counts once.
    for chunk in {one.head: one for one in relay.chunks}.values():
        chain.add(Chunk(head=chunk.head, ciphertext=chunk.ciphertext))
    return chain.finish()


def text_of(relay: SessionRelay, code: str) -> str:
    return "".join(
        line.data
        for chunk in relay.chunks
        for _, line in read_lines(pyrage.decrypt(chunk.ciphertext, [IDENTITY]))
        if isinstance(line, CastEvent) and line.code == code
    )


async def opened(run: Run) -> CodeConsole:
    """Open a session; the person must have been told that it is recorded."""
    console = await open_session(run)
    asked = [event for event in run.seen if isinstance(event, Asked)]
    assert [event.recorded for event in asked] == [True]
    return console


async def test_a_recorded_session_from_the_question_to_the_receipt(tmp_path: Path) -> None:
    async with enrolled(tmp_path, policy=recorded()) as run:
        console = await opened(run)
        async with console.ssh() as connection:
            done = await connection.run(f"echo {MARKER}; cat", input=f"typed {MARKER[::-1]}\n")
            assert str(done.stdout).startswith(f"{MARKER}\n")
            program = "echo on; read -r line; stty size"
            async with connection.create_process(program, term_type="xterm") as process:
                assert "on" in await process.stdout.readline()
                process.change_terminal_size(132, 50)
                process.stdin.write("\n")
                await process.wait()
            signed, _ = await console.farewell(connection, "done")
        assert await run.end() == 0
        told = verified(run.relay, console.device_key)
        receipt, _, _ = verify_receipt(encode_envelope(signed), console.device_key)
        assert receipt.recording is not None
        assert receipt.recording.head_sha256 == told.head_sha256
        assert (receipt.recording.chunks, receipt.recording.complete) == (told.chunks, True)
        shown = text_of(run.relay, "o")
        assert MARKER in shown
        assert f"typed {MARKER[::-1]}" in shown  # cat wrote it, so it was shown
        assert text_of(run.relay, "i") == ""
        assert text_of(run.relay, "r") == "132x50"
        events = text_of(run.relay, "e")
        assert MARKER in events
        for chunk in run.relay.chunks:
            assert MARKER.encode() not in chunk.head + chunk.ciphertext
        assert not (tmp_path / "home" / "recordings" / told.session).exists()


@pytest.mark.parametrize("stall", ["stop", "flag"])
async def test_a_relay_that_takes_no_recording(tmp_path: Path, stall: Any) -> None:
    async with enrolled(tmp_path, policy=recorded(recording_stall=stall)) as run:
        run.relay.refuses_chunks = "recording-full"
        console = await open_session(run)
        if stall == "flag":
            async with console.ssh() as connection:
                assert (await connection.run("echo goes on")).stdout == "goes on\n"
                signed, _ = await console.farewell(connection, "done")
            receipt = open_payload(signed, Receipt)
        if stall == "stop":
            path = Path((await run.next(Ended)).receipt or "")
            receipt = open_payload(decode_envelope(path.read_bytes()), Receipt)
            assert receipt.reason == "recording-stalled"
        assert [action.kind for action in receipt.actions].count("recording") == 1
        assert await run.end() == 0
        noted = [event for event in run.seen if isinstance(event, ActionSeen)]
        assert ("recording", "the relay refuses the recording") in [
            (event.kind, event.detail) for event in noted
        ]
        # What the relay did not take stays on the device, and the receipt names its end.
        left = tmp_path / "home" / "recordings" / receipt.session
        assert receipt.recording is not None
        assert len(list(left.glob("*.chunk"))) == receipt.recording.chunks


async def test_a_guest_without_a_policy_is_not_recorded(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            signed, _ = await console.farewell(connection, "done")
        assert await run.end() == 0
        assert not [event for event in run.seen if isinstance(event, Asked) and event.recorded]
        assert open_payload(signed, Receipt).recording is None
        assert run.relay.chunks == []
