"""The session process of a guest device, in this process, against a relay that the test plays."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import pytest

from farhand_agent.config import Home
from farhand_agent.journal import Journal
from farhand_agent.receipts import list_receipts
from farhand_agent.session.events import (
    Asked,
    CodeShown,
    Ended,
    Failed,
    Refused,
)
from farhand_protocol.codes import parse_code
from farhand_protocol.envelopes import Envelope, encode_envelope
from farhand_protocol.messages import AttachPipe, EndSession
from farhand_protocol.pairing import ConsolePairing
from farhand_protocol.receipts import verify_receipt
from tests.agent.session.code_console import SESSION, CodeConsole
from tests.agent.session.running import open_session, running


async def test_the_whole_way_of_a_guest_session(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with running(home) as run:
        console = CodeConsole(run.relay)
        shown = await run.next(CodeShown)
        pairing = await console.pair(shown.code)
        assert console.offer is not None
        assert console.offer.guest
        assert console.offer.tenant == ""
        assert console.offer.scopes == ["view", "terminal", "files", "screen"]
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing, minutes=5))
            asked = await run.next(Asked)
            assert asked.words == console.words
            assert (asked.operator, asked.organisation, asked.ticket) == ("bob", "Acme", "FH-1")
            assert asked.guest
            assert asked.minutes == 5
            run.process.answer(True)
            decision = await asking
        assert decision.scopes == ["view", "terminal", "files"]
        active = await run.relay.reports.get()
        assert (active.state, active.session) == ("active", SESSION)
        async with console.ssh() as first, console.ssh(1) as second:
            assert (await first.run("echo one")).stdout == "one\n"
            assert (await second.run("echo two; exit 3")).exit_status == 3
            signed, answer = await console.farewell(first, "cleaned up")
            assert answer == {"ok": True}
        ended = await run.relay.reports.get()
        assert await run.end() == 0
        receipt, one_sided, pinned = verify_receipt(encode_envelope(signed), console.device_key)
        assert (one_sided, pinned) == (False, True)
        assert (receipt.note, receipt.reason, receipt.guest) == ("cleaned up", "closed", True)
        assert [one.detail for one in receipt.actions if one.kind == "exec"] == [
            "echo one",
            "echo two; exit 3",
        ]
        assert ended.state == "ended"
        assert ended.note == "cleaned up"
        assert ended.active_s >= 1
        stored = home / "receipts" / f"{SESSION}.json"
        assert stored.read_bytes() == encode_envelope(signed)
        assert ended.receipt_sha256 == hashlib.sha256(stored.read_bytes()).hexdigest()
        assert "cleaned up" in stored.with_suffix(".txt").read_text()
        items = list_receipts(Home.at(home))
        assert [(one["session"], one["problem"]) for one in items] == [(SESSION, None)]
        last = run.seen[-1]
        assert isinstance(last, Ended)
        assert (last.reason, last.receipt) == ("closed", str(stored))
    journal = Journal(home / "journal.db")
    row = journal.session(SESSION)
    assert row is not None
    assert (row.state, row.reason) == ("ended", "closed")
    assert journal.outbox() == []
    journal.close()
    assert list((home / "sessions").iterdir()) == []


async def test_a_guest_keeps_its_key_for_the_next_time(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        async with running(tmp_path) as run:
            await run.next(CodeShown)
            keys.add(run.relay.devices[0])
    assert len(keys) == 1
    assert (tmp_path / "device.key").stat().st_mode & 0o777 == 0o600


async def test_a_folder_never_enrolled_needs_an_address(tmp_path: Path) -> None:
    async with running(tmp_path, url=None) as run:
        failed = await run.next(Failed)
        assert failed.code == "url-needed"
        assert await run.end() == 2


async def test_a_relay_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, url="http://127.0.0.1:9") as run:
        assert (await run.next(Failed)).code == "relay-unavailable"
        assert await run.end() == 1


async def test_refused_and_nobody_there_are_different(tmp_path: Path) -> None:
    for answer, code in ((False, "consent-refused"), (None, "consent-timeout")):
        async with running(tmp_path, consent_s=30 if answer is False else 0.05) as run:
            console = CodeConsole(run.relay)
            pairing = await console.pair((await run.next(CodeShown)).code)
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(console.ask(pairing))
                await run.next(Asked)
                if answer is not None:
                    run.process.answer(answer)
                decision = await asking
            assert (decision.granted, decision.code) == (False, code)
            assert (await run.next(Refused)).reason == code
            assert (await run.relay.reports.get()).reason == code
            assert await run.end() == 3


async def test_stopping_while_asked_is_a_refusal_that_the_console_hears(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing))
            await run.next(Asked)
            run.process.stop("stopped")
            decision = await asking
        assert decision.code == "consent-refused"
        assert await run.end() == 3


async def test_an_answer_before_the_question_means_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, consent_s=0.1) as run:
        console = CodeConsole(run.relay)
        shown = await run.next(CodeShown)
        run.process.answer(True)
        decision = await console.ask(await console.pair(shown.code))
        assert decision.code == "consent-timeout"


async def test_a_wrong_code_burns_it(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = CodeConsole(run.relay)
        nameplate, secret = parse_code((await run.next(CodeShown)).code)
        wrong = secret[:-1] + ("2" if secret[-1] != "2" else "3")
        await run.relay.claim(SESSION, nameplate)
        pairing = ConsolePairing(run.relay.url, nameplate, wrong, entropy=lambda n: b"e" * n)
        reply = await console.blob("pake", pairing.send_pake())
        reply = await console.blob("confirm", pairing.receive_pake(reply.body))
        assert (reply.body, reply.error) == (b"", "code-wrong")
        assert (await run.next(Refused)).reason == "code-wrong"
        assert await run.end() == 1


BURNING: list[tuple[str, list[tuple[str, bytes]]]] = [
    ("empty", [("pake", b"")]),
    ("garbage", [("pake", bytes(66))]),
    ("proof-first", [("confirm", bytes(64))]),
    ("request-first", [("request", bytes(64))]),
    ("unknown-phase", [("hello", b"")]),
]


@pytest.mark.parametrize("blobs", [pytest.param(b, id=name) for name, b in BURNING])
async def test_a_malformed_step_burns_the_code(
    tmp_path: Path, blobs: list[tuple[str, bytes]]
) -> None:
    async with running(tmp_path) as run:
        console = CodeConsole(run.relay)
        nameplate, _ = parse_code((await run.next(CodeShown)).code)
        await run.relay.claim(SESSION, nameplate)
        for phase, body in blobs:
            reply = await console.blob(phase, body)
        assert (reply.body, reply.error) == (b"", "pairing-malformed")
        assert (await run.next(Refused)).reason == "pairing-malformed"
        assert await run.end() == 1


async def test_a_tampered_request_burns_the_code(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        sealed = bytearray(pairing.seal(b"whatever"))
        sealed[3] ^= 1
        reply = await console.blob("request", bytes(sealed))
        assert reply.error == "pairing-malformed"
        assert await run.end() == 1


Edit = Callable[[bytes], bytes]
BAD_GRANTS: list[tuple[str, dict[str, Any], str]] = [
    ("other-session", {"id": "s-bbbbbbbbbbbbbbbb"}, "grant-wrong-session"),
    ("other-device", {"device": "d-bbbbbbbbbbbbbbbbbbbbbbbbbb"}, "grant-wrong-device"),
    ("other-host", {"host_name": "elsewhere"}, "grant-wrong-host"),
    ("other-group", {"group": "servers"}, "grant-wrong-group"),
    ("no-transcript", {"transcript": None}, "grant-transcript"),
    ("other-transcript", {"transcript": bytes(32)}, "grant-transcript"),
    ("other-name-than-the-relays", {"operator": "mallory"}, "grant-name-mismatch"),
    ("expired", {"expires": "2020-01-01T00:00:00Z", "not_before": "2019-12-31T23:50:00Z"},
     "grant-expired"),
    ("early", {"not_before": "2090-01-01T00:00:00Z", "expires": "2090-01-01T01:00:00Z"},
     "grant-early"),
    ("endless", {"not_before": "2020-01-01T00:00:00Z", "expires": "2090-01-01T00:00:00Z"},
     "grant-malformed"),
    ("too-many-minutes", {"minutes": 100_000}, "grant-malformed"),
    ("unknown-scope", {"scopes": ["root"]}, "grant-malformed"),
    ("not-offered", {"scopes": ["control", "clipboard", "desktop"]}, "scope-empty"),
    ("forward-to-nowhere", {"scopes": ["forward"], "forward": ["127.0.0.1:22"]}, "scope-empty"),
    ("nothing", {"scopes": []}, "scope-empty"),
    ("another-key-than-signed", {"operator_key": bytes(31) + b"\1"}, "grant-signature"),
    (
        "another-signature",
        {"edit": lambda data: data.replace(b'"sig":"', b'"sig":"AAAA')},
        "grant-signature",
    ),
    ("garbage", {"edit": lambda data: b"{}"}, "grant-malformed"),
    ("not-canonical", {"edit": lambda data: data + b"\n"}, "grant-malformed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code"), [pytest.param(c, code, id=name) for name, c, code in BAD_GRANTS]
)
async def test_a_grant_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    async with running(tmp_path) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        decision = await console.ask(pairing, **changes)
        assert (decision.granted, decision.code) == (False, code)
        assert (await run.next(Refused)).reason == code
        assert (await run.relay.reports.get()).reason == code
        assert await run.end() == 3
        assert not any(isinstance(event, Asked) for event in run.seen)


async def test_a_session_id_opens_once(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await open_session(run)
        run.process.stop("stopped")
        assert await run.end() == 0
    async with running(tmp_path) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        decision = await console.ask(pairing)
        assert decision.code == "grant-reused"


async def test_stop_here_ends_everything_with_a_one_sided_receipt(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            process = await connection.create_process("echo up; sleep 300")
            assert await process.stdout.readline() == "up\n"
            run.process.stop("stopped")
            await asyncio.wait_for(process.wait_closed(), 30)
            await asyncio.wait_for(connection.wait_closed(), 30)
        ended = await run.next(Ended)
        assert ended.reason == "stopped"
        assert ended.receipt is not None
        receipt, one_sided, _ = verify_receipt(Path(ended.receipt).read_bytes())
        assert one_sided
        assert receipt.reason == "stopped"
        assert [one.detail for one in receipt.actions] == ["echo up; sleep 300"]
        assert [(await run.relay.reports.get()).state for _ in range(2)] == ["active", "ended"]


async def test_a_session_whose_receipt_is_none_has_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as run:
        await open_session(run)
        await run.relay.reports.get()
        journal = Journal(tmp_path / "journal.db", read_only=True)
        row = journal.session(SESSION)
        journal.close()
        assert row is not None
        # The grant can be read still; the receipt, which holds it, cannot.
        monkeypatch.setattr("farhand_protocol.envelopes.MAX_ENVELOPE_BYTES", len(row.grant))
        run.process.stop("stopped")
        ended = await run.next(Ended)
        assert (ended.reason, ended.receipt) == ("stopped", None)
        report = await run.relay.reports.get()
        assert (report.state, report.receipt_sha256) == ("ended", "")
        assert report.active_s >= 1
        assert await run.end() == 0
    journal = Journal(tmp_path / "journal.db", read_only=True)
    row = journal.session(SESSION)
    journal.close()
    assert row is not None
    assert (row.state, row.reason) == ("ended", "stopped")


async def test_the_relay_may_end_a_session(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await open_session(run)
        await run.relay.say(EndSession(session="s-zzzzzzzzzzzzzzzz", reason="x"))
        await run.relay.say(EndSession(session=SESSION, reason="\x1b[31mred"))
        assert (await run.next(Ended)).reason == "ended-by-relay"


async def test_an_expired_session_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from farhand_agent.session.serving import SessionServing

    async def at_once(self: SessionServing) -> None:
        return

    monkeypatch.setattr(SessionServing, "expire", at_once)
    async with running(tmp_path) as run:
        await open_session(run)
        assert (await run.next(Ended)).reason == "expired"


async def test_a_link_lost_under_an_unclaimed_code_gives_a_new_code(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        first = await run.next(CodeShown)
        await run.relay.drop_link()
        second = await run.next(CodeShown)
        assert first.code != second.code
        console = CodeConsole(run.relay)
        await console.pair(second.code)


async def test_a_session_survives_the_loss_of_link_and_pipe(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            process = await connection.create_process("cat")
            process.stdin.write("one\n")
            assert await process.stdout.readline() == "one\n"
            await run.relay.drop_link()
            process.stdin.write("two\n")
            assert await process.stdout.readline() == "two\n"
            async with console.ssh(1) as other:
                assert (await other.run("echo back")).stdout == "back\n"
            assert run.relay.presents[-1].session == SESSION


async def test_the_end_is_reported_later_when_the_relay_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farhand_agent.session.reports.REPORT_S", 0.2)
    async with running(tmp_path) as run:
        await open_session(run)
        await run.relay.reports.get()
        run.relay.acknowledge = False
        await run.relay.drop_link()
        run.process.stop("stopped")
        assert await run.end() == 0
    journal = Journal(tmp_path / "journal.db")
    rows = journal.outbox()
    journal.close()
    assert [row.kind for row in rows] == ["session"]
    fields = msgspec.msgpack.decode(rows[0].body)
    assert (fields["session"], fields["state"], fields["reason"]) == (SESSION, "ended", "stopped")


async def test_pipes_that_cannot_be_are_ignored(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        await run.relay.say(AttachPipe(session="s-zzzzzzzzzzzzzzzz", number=0, token=bytes(16)))
        await run.relay.say(AttachPipe(session=SESSION, number=1, token=bytes(16)))
        async with console.ssh() as connection:
            assert (await connection.run("echo fine")).stdout == "fine\n"


def _stranger(envelope: Envelope) -> Envelope:
    return msgspec.structs.replace(
        envelope,
        signatures=[
            envelope.signatures[0],
            msgspec.structs.replace(envelope.signatures[1], sig=bytes(64)),
        ],
    )


def _other(envelope: Envelope) -> Envelope:
    return msgspec.structs.replace(envelope, payload=envelope.payload.replace(b"FH-1", b"FH-2"))


@pytest.mark.parametrize("edit", [_stranger, _other], ids=["bad-signature", "another-receipt"])
async def test_a_console_that_cheats_leaves_a_one_sided_receipt(
    tmp_path: Path, edit: Callable[[Envelope], Envelope]
) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            _, answer = await console.farewell(connection, "done", edit=edit)
            assert answer is None
        ended = await run.next(Ended)
        assert ended.receipt is not None
        receipt, one_sided, _ = verify_receipt(Path(ended.receipt).read_bytes())
        assert one_sided
        assert (receipt.reason, receipt.ticket) == ("closed", "FH-1")


async def test_ending_withdraws_everything_but_the_farewell(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as one, console.ssh(1) as two:
            process = await two.create_process("echo up; sleep 300")
            await process.stdout.readline()
            await console.farewell(one, "done")
            await asyncio.wait_for(process.wait_closed(), 30)
            with pytest.raises((asyncssh.Error, OSError)):
                await two.run("echo no")


@pytest.mark.parametrize(
    "line",
    [
        msgspec.json.encode({"note": "x" * 4001}),
        msgspec.json.encode({"note": "bell\x07"}),
        b'{"note": 7}',
        b"no json",
    ],
    ids=["long", "control", "number", "garbage"],
)
async def test_a_note_that_no_relay_would_store_ends_nothing(tmp_path: Path, line: bytes) -> None:
    async with running(tmp_path) as run:
        console = await open_session(run)
        async with console.ssh() as connection:
            process = await connection.create_process(subsystem="farhand-end", encoding=None)
            process.stdin.write(line + b"\n")
            assert await process.stdout.readline() == b'{"error":"note-malformed"}\n'
            assert (await connection.run("echo still here")).stdout == "still here\n"
            signed, answer = await console.farewell(connection, "x" * 3999 + "\n")
            assert answer == {"ok": True}
        receipt = verify_receipt(encode_envelope(signed), console.device_key)[0]
        assert (len(receipt.note), receipt.reason) == (4000, "closed")
