"""Others in a session: whose grant holds, what a member may, how she goes, what watchers see."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import pytest
from click.testing import CliRunner
from msgspec import structs

from farhand_agent.cli import cli
from farhand_agent.consent import consent_lines
from farhand_agent.policy import SERVED_SCOPES
from farhand_agent.session.events import Asked, Decided, Ended, Opened, Paused
from farhand_agent.session.grant import Facts
from farhand_agent.session.host import host_key
from farhand_agent.session.join_check import MAX_JOINS, MAX_MEMBERS, JoinFacts, check_join
from farhand_agent.session.mirror import MAX_QUEUE_BYTES, MAX_WATCHERS, Mirror
from farhand_agent.session.roll import Member
from farhand_agent.session.scopes import LiveScopes
from farhand_agent.session.subsystems import Subsystem
from farhand_agent.trust.verified import Verified
from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant, Widening
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import EndSession, OfferGrant
from farhand_protocol.receipts import verify_receipt
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    Floors,
    GroupPolicy,
    Operator,
    Policy,
    Revocation,
    Revocations,
    Roster,
)
from tests.agent.session.code_console import CodeConsole, make_grant
from tests.agent.session.running import Run, open_session
from tests.agent.session.ssh_pair import SESSION, Pair, make_terms, ssh_pair
from tests.agent.session.test_process_enrolled import enrolled
from tests.protocol.samples import DEVICE, TENANT, grant, signer

NOW = datetime(2026, 11, 22, 8, 10, tzinfo=UTC)
MEMBER_SEED = bytes(range(64, 96))


def _operator(name: str, *permissions: str) -> Operator:
    return Operator(name=name, keys=[signer(name).public_key], permissions=list(permissions))


LATER = "2026-12-22T00:00:00Z"
TRUST = Verified(
    format=1,
    root_version=1,
    targets_version=3,
    snapshot_version=3,
    timestamp_version=3,
    root_expires=LATER,
    targets_expires=LATER,
    snapshot_expires=LATER,
    timestamp_expires=LATER,
    roster=Roster(
        tenant=TENANT,
        operators=[
            *(_operator(name, "session:*@*") for name in ("carol", "bob", "dave")),
            _operator("eve", "session:view@*"),
        ],
    ),
    policy=Policy(tenant=TENANT, approvals=DEFAULT_APPROVALS, groups={}),
    revocations=Revocations(tenant=TENANT, revoked=[]),
    floors=Floors(tenant=TENANT, scripts={}),
    targets={},
)
EXPIRED = structs.replace(TRUST, targets_expires="2026-11-22T08:00:00Z")
GONE = Revocation(kind="device", subject=DEVICE, reason="lost", at="2026-11-22T08:00:00Z")
REVOKED = structs.replace(TRUST, revocations=Revocations(tenant=TENANT, revoked=[GONE]))
PLACE = Facts(
    device=DEVICE,
    tenant=TENANT,
    host_name="desk-7",
    group="default",
    guest=False,
    trust=TRUST,
    policy=GroupPolicy(),
    offered=SERVED_SCOPES,
    offered_minutes=0,
    session=None,
    transcript=None,
    relay_operator=None,
    now=NOW,
    was_seen=False,
)


def facts(**changes: Any) -> JoinFacts:
    place = {name: changes.pop(name) for name in list(changes) if hasattr(PLACE, name)}
    made = JoinFacts(
        place=replace(PLACE, **place),
        session=grant(),
        scopes=frozenset({"view", "terminal"}),
        expires=NOW + timedelta(minutes=15),
        inside=(),
        seen=frozenset(),
    )
    return replace(made, **changes)


def join(name: str = "bob", *, by: str | None = None, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "id": "j-aaaaaaaaaaaaaaaa",
        "joins": "s-aaaaaaaaaaaaaaaa",
        "mode": "peer",
        "transcript": None,
        "operator": name,
        "operator_key": signer(name).public_key,
        "console_key": signer(f"{name} console").public_key,
        **changes,
    }
    return encode_envelope(seal(grant(**fields), signer(by or name)))


def member(name: str = "dave", mode: Any = "peer", **changes: Any) -> Member:
    fields: dict[str, Any] = {
        "join": f"j-{name}",
        "operator": name,
        "mode": mode,
        "console_key": SeedSigner(MEMBER_SEED).public_key,
        "scopes": frozenset({"view", "terminal"}),
        "expires": NOW + timedelta(minutes=10),
        "envelope": seal(grant(), signer(name)),
    }
    return Member(**{**fields, **changes})


def test_a_peer_gets_what_is_open_and_what_she_asks_for() -> None:
    made = check_join(join(scopes=["view", "terminal", "files"]), facts())
    assert (made.operator, made.mode) == ("bob", "peer")
    assert made.scopes == {"view", "terminal"}
    assert made.expires == NOW + timedelta(minutes=15)  # no later than the session


def test_an_observer_gets_no_scope_to_work_under() -> None:
    made = check_join(join(mode="observer", scopes=["view"]), facts())
    assert not any(made.may(scope) for scope in SERVED_SCOPES)


@pytest.mark.parametrize(
    ("data", "given", "code"),
    [
        (b"{}", {}, "join-malformed"),
        (join(mode=""), {}, "join-malformed"),
        (join(mode="observer", scopes=["view", "terminal"]), {}, "join-malformed"),
        (join(transcript=b"t" * 32), {}, "join-malformed"),
        (join(joins="s-bbbbbbbbbbbbbbbb"), {}, "grant-wrong-session"),
        (join(joins=""), {}, "grant-wrong-session"),
        (join(tenant="t-other"), {}, "grant-wrong-tenant"),
        (join(device="d-" + "a" * 26), {}, "grant-wrong-device"),
        (join(host_name="other"), {}, "grant-wrong-host"),
        (join(group="other"), {}, "grant-wrong-group"),
        (join(), {"guest": True, "trust": None}, "policy-refused"),
        (join(), {"trust": None}, "trust-missing"),
        (join(), {"trust": EXPIRED}, "trust-expired"),
        (join(targets_version=4), {}, "trust-behind"),
        (join(), {"trust": REVOKED}, "device-revoked"),
        (join("mallory"), {}, "grant-operator-unknown"),
        (join(operator_key=signer("eve").public_key, by="eve"), {}, "grant-operator-unknown"),
        (join(by="eve"), {}, "grant-signature"),
        (join(), {"now": NOW + timedelta(hours=1)}, "grant-expired"),
        (join(), {"now": NOW - timedelta(hours=1)}, "grant-early"),
        (join(), {"seen": frozenset({"j-aaaaaaaaaaaaaaaa"})}, "grant-reused"),
        (join(console_key=signer("console").public_key), {}, "grant-reused"),
        (join(), {"seen": frozenset(f"j-{n}" for n in range(MAX_JOINS))}, "grant-reused"),
        (join("carol"), {}, "join-own"),
        (join(), {"inside": (member("bob"),)}, "join-own"),
        (
            join(),
            {"inside": tuple(member(f"p{n}") for n in range(MAX_MEMBERS))},
            "join-full",
        ),
        (join("eve"), {}, "grant-not-permitted"),
        (join(scopes=["files"]), {}, "scope-empty"),
        (join(), {"scopes": frozenset()}, "scope-empty"),
    ],
)
def test_the_first_check_that_fails_decides(data: bytes, given: Any, code: str) -> None:
    with pytest.raises(FarhandError) as caught:
        check_join(data, facts(**given))
    assert caught.value.code == code


# What a member may, on real SSH.


@contextlib.asynccontextmanager
async def joined(tmp_path: Path, who: Member) -> AsyncIterator[Pair]:
    """A session whose one client is the member."""
    terms = make_terms(tmp_path)
    terms.subsystems = {
        **terms.subsystems,
        "farhand-watch": Subsystem(None, terms.mirror.serve, "observer"),
        "farhand-end": Subsystem(None, terms.mirror.serve),
    }
    terms.roll.admit(who)
    async with ssh_pair(terms, client_keys=[host_key(MEMBER_SEED)]) as pair:
        yield pair


async def test_an_observer_may_only_look_on(tmp_path: Path) -> None:
    async with joined(tmp_path, member(mode="observer")) as pair:
        for request in ({"command": "id"}, {"subsystem": "sftp"}, {"subsystem": "farhand-view"}):
            with pytest.raises(asyncssh.ChannelOpenError):
                await pair.ssh.create_process(**request)
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.create_process(subsystem="farhand-end")
        watching = await pair.ssh.create_process(subsystem="farhand-watch", encoding=None)
        pair.host.terms.mirror.open_stream("top", by="", size=(80, 24))
        line = json.loads(await watching.stdout.readline())
        assert line["begin"]["title"] == "top"
        denied = [one.by for one in pair.host.terms.actions.actions if one.kind == "denied"]
        assert denied == ["dave"] * 4


async def test_a_peer_works_within_the_sessions_scopes_and_under_her_name(tmp_path: Path) -> None:
    async with joined(tmp_path, member(scopes=frozenset({"terminal"}))) as pair:
        assert (await pair.ssh.run("echo here", check=True)).stdout == "here\n"
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.create_process(subsystem="sftp")
        pair.scopes.withdraw("terminal")
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.create_process("id")
        done = [(one.kind, one.by) for one in pair.host.terms.actions.actions]
        assert done == [("exec", "dave"), ("denied", "dave"), ("denied", "dave")]


async def test_whoever_is_put_out_is_gone_with_what_she_runs(tmp_path: Path) -> None:
    async with joined(tmp_path, member()) as pair:
        running = await pair.ssh.create_process("exec sleep 1000")
        assert pair.host.terms.roll.put_out("j-dave", "session-ended: for you") is not None
        await pair.ssh.wait_closed()
        assert running.exit_status is None
        assert pair.host.terms.roll.put_out("j-dave", "again") is None


async def test_a_stranger_is_let_in_by_nobody(tmp_path: Path) -> None:
    terms = make_terms(tmp_path)
    assert terms.session == SESSION
    with pytest.raises(ExceptionGroup) as caught:
        async with ssh_pair(terms, client_keys=[host_key(MEMBER_SEED)]):
            raise AssertionError("signed in")
    assert caught.group_contains(asyncssh.PermissionDenied)


# A whole session process, and the person who is asked.

OTTO = SeedSigner(bytes(range(96, 128)))


async def ask_to_join(run: Run, console: CodeConsole, ident: str, **changes: Any) -> None:
    """Have the relay bring otto's grant to the session."""
    fields = {
        "id": ident,
        "operator": "otto",
        "operator_key": OTTO.public_key,
        "console_key": SeedSigner(MEMBER_SEED).public_key,
        "joins": console.session,
        "mode": "peer",
        **changes,
    }
    envelope = encode_envelope(seal(make_grant(console.offer, **fields), OTTO))
    await run.relay.say(OfferGrant(session=console.session, envelope=envelope))


async def reported(run: Run) -> tuple[str, str, str]:
    report = await asyncio.wait_for(run.relay.joins.get(), 30)
    return report.join, report.state, report.reason


async def test_the_person_is_asked_and_decides(tmp_path: Path) -> None:
    otto = Operator(name="otto", keys=[OTTO.public_key], permissions=["session:*@*"])
    async with enrolled(tmp_path, others=[otto]) as run:
        console = await open_session(run)
        await ask_to_join(run, console, "j-no", mode="observer", scopes=["view"])
        asked = await run.next(Asked)
        assert (asked.asks, asked.operator, asked.beside) == ("join", "otto", "bob")
        assert "They could watch the terminals that bob uses, and change nothing." in (
            consent_lines(asked)
        )
        run.process.answer(False)
        assert await reported(run) == ("j-no", "refused", "consent-refused")
        assert not (await run.next(Decided)).granted

        await ask_to_join(run, console, "j-yes")
        asked = await run.next(Asked)
        assert (asked.mode, asked.scopes) == ("peer", ["view", "terminal", "files"])
        run.process.answer(True)
        assert await reported(run) == ("j-yes", "in", "")
        assert (await run.next(Decided)).granted

        # The next process of the session knows her, and the relay hears it again.
        run.process.leave("shutdown")
        assert await run.end() == 0
        await run.next(Paused)
        again = Run(run.relay, run.home, resume=console.session)
        async with asyncio.TaskGroup() as group:
            again.status = group.create_task(again.process.run())
            await again.next(Opened)
            assert await reported(again) == ("j-yes", "in", "")
            words = ["stop", "--operator", "otto", "--home", str(run.home.path)]
            done = await asyncio.to_thread(CliRunner().invoke, cli, words)
            assert done.output == f"otto is out of {console.session}\n"
            assert await reported(again) == ("j-yes", "left", "stopped")
            await again.relay.say(EndSession(session="j-yes", reason="left"))  # is no news
            again.process.stop("stopped")
            ended = await again.next(Ended)
        assert ended.receipt is not None
        receipt = verify_receipt(Path(ended.receipt).read_bytes()).receipt
        assert [open_payload(one, Grant).id for one in receipt.joined] == ["j-yes"]
        said = [one.detail for one in receipt.actions if one.kind == "join"]
        assert said[0] == "otto was refused (consent-refused)"
        assert said[-1] == "otto is gone: the person at the device ended it for her"


async def test_whoever_is_taken_off_the_roster_is_put_out(tmp_path: Path) -> None:
    otto = Operator(name="otto", keys=[OTTO.public_key], permissions=["session:*@*"])
    async with enrolled(tmp_path, others=[otto]) as run:
        console = await open_session(run)
        await ask_to_join(run, console, "j-yes")
        await run.next(Asked)
        run.process.answer(True)
        assert await reported(run) == ("j-yes", "in", "")
        file = run.home.trust / "verified.json"
        known = msgspec.json.decode(file.read_bytes(), type=Verified)
        people = [one for one in known.roster.operators if one.name != "otto"]
        roster = structs.replace(known.roster, operators=people)
        file.write_bytes(msgspec.json.encode(structs.replace(known, roster=roster)))
        run.process.withdraw(None)  # what the resident agent's signal does after new metadata
        assert await reported(run) == ("j-yes", "left", "grant-operator-unknown")
        async with console.ssh() as connection:
            assert (await connection.run("echo goes on")).stdout == "goes on\n"


async def _line(connection: asyncssh.SSHClientConnection, subsystem: str, line: bytes) -> Any:
    """Say one line to a subsystem and return its answer."""
    process = await connection.create_process(subsystem=subsystem, encoding=None)
    process.stdin.write(line + b"\n")
    return msgspec.json.decode(await process.stdout.readline())


def _widening(console: CodeConsole, envelope: bytes) -> bytes:
    """Return otto's sealed wish for files."""
    mine = open_payload(decode_envelope(envelope), Grant)
    wish = Widening(
        tenant=mine.tenant,
        id="w-aaaaaaaaaaaaaaaa",
        session=console.session,
        device=mine.device,
        grant_sha256=hashlib.sha256(envelope).hexdigest(),
        operator="otto",
        operator_key=OTTO.public_key,
        scopes=["files"],
        forward=[],
        reason="the log",
        targets_version=mine.targets_version,
        issued_at=mine.issued_at,
        expires=mine.expires,
    )
    return encode_envelope(seal(wish, OTTO))


async def test_a_handover_outlives_the_process(tmp_path: Path) -> None:
    otto = Operator(name="otto", keys=[OTTO.public_key], permissions=["session:*@*"])
    async with enrolled(tmp_path, others=[otto]) as run:
        first = await open_session(run, scopes=["view", "terminal"])
        async with first.ssh() as connection:
            answer = await _line(connection, "farhand-handover", b'{"hand_over":true}')
            assert answer == {"error": "handover-nobody"}
            await ask_to_join(run, first, "j-yes")
            await run.next(Asked)
            run.process.answer(True)
            assert await reported(run) == ("j-yes", "in", "")
            assert (await run.next(Decided)).granted
            answer = await _line(connection, "farhand-handover", b'{"hand_over":true}')
            assert answer == {"handed_over": "otto"}
            assert await reported(run) == ("j-yes", "leads", "")
            await asyncio.wait_for(connection.wait_closed(), 30)
        with pytest.raises(ExceptionGroup) as refused:
            async with first.ssh(1):
                pass
        assert isinstance(refused.value.exceptions[0], asyncssh.PermissionDenied)

        run.process.leave("shutdown")
        assert await run.end() == 0
        await run.next(Paused)
        again = Run(run.relay, run.home, resume=first.session)
        async with asyncio.TaskGroup() as group:
            again.status = group.create_task(again.process.run())
            await again.next(Opened)
            assert await reported(again) == ("j-yes", "leads", "")
            with pytest.raises(ExceptionGroup) as refused:
                async with first.ssh(2):
                    pass
            assert isinstance(refused.value.exceptions[0], asyncssh.PermissionDenied)
            first.seed = MEMBER_SEED
            async with first.ssh(3) as connection:
                assert (await connection.run("echo mine")).stdout == "mine\n"
                kept = (run.home.sessions / f"{first.session}.joined").read_bytes()
                envelope = bytes(msgspec.json.decode(kept, type=dict[str, msgspec.Raw])["grant"])
                wish = b'{"widening":' + _widening(first, envelope) + b"}"
                asking = group.create_task(_line(connection, "farhand-widen", wish))
                asked = await again.next(Asked)
                assert (asked.operator, asked.scopes) == ("otto", ["files"])
                again.process.answer(True)
                assert (await asking)["granted"]
                sftp = await connection.start_sftp_client()
                assert await sftp.exists(str(tmp_path))
            # Nobody has it when she has to go, so it ends.
            words = ["stop", "--operator", "otto", "--home", str(run.home.path)]
            await asyncio.to_thread(CliRunner().invoke, cli, words)
            while not isinstance(ended := await again.events.get(), Ended):
                pass
        assert ended.reason == "stopped"
        assert ended.receipt is not None
        receipt = verify_receipt(Path(ended.receipt).read_bytes()).receipt
        assert [open_payload(one, Widening).operator for one in receipt.widened] == ["otto"]
        done = [(one.kind, one.by, one.detail) for one in receipt.actions]
        assert ("join", "", "bob handed the session over to otto and left") in done
        assert ("exec", "otto", "echo mine") in done


# The gate.


async def test_a_gate_above_the_scopes() -> None:
    scopes = LiveScopes(["terminal"])
    ended: list[str] = []
    scopes.hold("terminal", lambda: ended.append("first"))
    scopes.shut("nobody else is here")
    assert ended == ["first"]
    assert not scopes.allows("terminal")
    assert not await scopes.ready("terminal")
    assert scopes.why_closed("terminal") == "nobody else is here"
    scopes.hold("terminal", lambda: ended.append("at once"))
    scopes.widen("files")
    assert not scopes.allows("files")
    assert ended == ["first", "at once"]
    scopes.reopen()
    assert scopes.allows("files")
    assert await scopes.ready("terminal")
    assert scopes.granted == ["files", "terminal"]


# The mirror.


class _Watching:
    """One watcher; takes lines only while `flows` is set, and stays until `leave` is."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.flows = asyncio.Event()
        self.flows.set()
        self.leave = asyncio.Event()
        self.came = asyncio.Event()

    async def read_line(self, limit: int) -> bytes:
        await self.leave.wait()
        return b""

    async def write(self, data: bytes) -> None:
        await self.flows.wait()
        self.lines += [json.loads(line) for line in data.splitlines()]
        self.came.set()

    async def until(self, count: int) -> list[dict[str, Any]]:
        while len(self.lines) < count:
            self.came.clear()
            await self.came.wait()
        return self.lines


@contextlib.asynccontextmanager
async def watched(mirror: Mirror) -> AsyncIterator[_Watching]:
    watching = _Watching()
    async with asyncio.TaskGroup() as group:
        group.create_task(mirror.serve(watching))
        await asyncio.sleep(0)
        yield watching
        watching.flows.set()
        watching.leave.set()


async def test_who_comes_late_sees_what_runs_and_the_last_of_it() -> None:
    mirror = Mirror()
    over = mirror.open_stream("over", by="", size=None)
    mirror.close_stream(over, 0)
    stream = mirror.open_stream("shell", by="bob", size=(100, 30))
    mirror.write(stream, b"x" * 100_000 + b"last")
    mirror.resize(stream, 90, 20)
    async with asyncio.timeout(20), watched(mirror) as watching:
        begin, tail = await watching.until(2)
        assert begin["begin"] == {
            "title": "shell", "by": "bob", "columns": 90, "rows": 20, "terminal": True
        }  # fmt: skip
        shown = base64.b64decode(tail["data"])
        assert shown.endswith(b"last")
        assert len(shown) < 20_000
        mirror.close_stream(stream, -9)
        assert (await watching.until(3))[2] == {"stream": stream, "end": -9}


async def test_a_slow_watcher_loses_output_and_is_told_how_much() -> None:
    mirror = Mirror()
    stream = mirror.open_stream("flood", by="", size=None)
    piece = b"y" * 30_000
    async with asyncio.timeout(20), watched(mirror) as slow:
        await slow.until(1)
        slow.flows.clear()
        for _ in range(100):
            mirror.write(stream, piece)
        slow.flows.set()
        mirror.close_stream(stream, 0)
        while "end" not in slow.lines[-1]:
            await slow.until(len(slow.lines) + 1)
        shown = sum(len(base64.b64decode(line.get("data", ""))) for line in slow.lines)
        lost = sum(line.get("lost", 0) for line in slow.lines)
        assert shown + lost == 100 * len(piece)
        assert lost
        assert shown < MAX_QUEUE_BYTES


async def test_there_is_an_end_to_how_many_watch() -> None:
    mirror = Mirror()
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_WATCHERS):
            await stack.enter_async_context(watched(mirror))
        late = _Watching()
        await mirror.serve(late)
        assert late.lines == [{"error": {"code": "watchers-full"}}]
