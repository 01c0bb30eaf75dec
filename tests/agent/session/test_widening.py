"""More scopes in an open session: what the device checks, who decides, and what is left of a no."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import asyncssh
import msgspec
import pytest

from farhand_agent import scope_changes
from farhand_agent.journal import Journal
from farhand_agent.policy_changes import note_policy
from farhand_agent.scope_changes import withdraw_scopes_everywhere
from farhand_agent.session.events import Asked, CodeShown, Decided, Ended, Opened, ScopesChanged
from farhand_agent.session.widening import MAX_WIDENINGS
from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal
from farhand_protocol.grants import Grant, Receipt, Widening
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.receipts import verify_receipt
from farhand_protocol.trust import GroupPolicy
from tests.agent.session.code_console import OPERATOR, SESSION, CodeConsole
from tests.agent.session.running import Run
from tests.agent.session.test_process_enrolled import TENANT, enrolled

POLICY = GroupPolicy(forward_to=["printer:631", "printer:80"], cool_down_s=0)
EVE = SeedSigner(b"e" * 32)


class Open:
    """An open session by code, and its technician."""

    def __init__(self, run: Run, console: CodeConsole, ssh: asyncssh.SSHClientConnection) -> None:
        self.run = run
        self.console = console
        self.ssh = ssh

    def wish(self, *scopes: str, **changes: Any) -> Widening:
        assert self.console.grant is not None
        assert self.console.envelope is not None
        now = datetime.now(UTC).replace(microsecond=0)
        fields: dict[str, Any] = {
            "tenant": TENANT,
            "id": make_id("w", os.urandom(16)),
            "session": SESSION,
            "device": self.console.grant.device,
            "grant_sha256": hashlib.sha256(encode_envelope(self.console.envelope)).hexdigest(),
            "operator": "bob",
            "operator_key": OPERATOR.public_key,
            "scopes": list(scopes),
            "forward": ["printer:631"] if "forward" in scopes else [],
            "reason": "the printer's page",
            "targets_version": 1,
            "issued_at": format_instant(now),
            "expires": format_instant(now + timedelta(minutes=5)),
        }
        return Widening(**{**fields, **changes})

    async def ask(self, wish: Widening, *, by: SeedSigner = OPERATOR) -> dict[str, Any]:
        return await self.send(b'{"widening":' + encode_envelope(seal(wish, by)) + b"}\n")

    async def send(self, line: bytes) -> dict[str, Any]:
        process = await self.ssh.create_process(subsystem="farhand-widen", encoding=None)
        process.stdin.write(line)
        async with asyncio.timeout(20):
            return msgspec.json.decode(await process.stdout.readline(), type=dict[str, Any])

    async def answered(self, wish: Widening, allow: bool) -> tuple[Asked, dict[str, Any]]:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self.ask(wish))
            asked = await self.run.next(Asked)
            self.run.process.answer(allow)
            return asked, await asking


@asynccontextmanager
async def opened(tmp_path: Path, **changes: Any) -> AsyncIterator[Open]:
    changes = {"policy": POLICY, **changes}
    async with enrolled(tmp_path, **changes) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing, scopes=["view", "terminal"]))
            await run.next(Asked)
            run.process.answer(True)
            assert (await asking).scopes == ["view", "terminal"]
        await run.next(Opened)
        async with console.ssh() as ssh:
            yield Open(run, console, ssh)


REFUSALS: list[tuple[str, dict[str, Any], SeedSigner, str]] = [
    ("another-session", {"session": "s-ponmlkjihgfedcba"}, OPERATOR, "widening-mismatch"),
    ("another-grant", {"grant_sha256": "0" * 64}, OPERATOR, "widening-mismatch"),
    ("another-device", {"device": "d-" + "a" * 26}, OPERATOR, "widening-mismatch"),
    ("another-tenant", {"tenant": "n-other"}, OPERATOR, "widening-mismatch"),
    ("another-operator", {"operator": "eve"}, OPERATOR, "widening-mismatch"),
    ("another-key", {"operator_key": EVE.public_key}, EVE, "widening-mismatch"),
    ("forged", {}, EVE, "grant-signature"),
    ("newer-trust", {"targets_version": 2}, OPERATOR, "trust-behind"),
    ("expired", {"expires": "2026-01-01T00:05:00Z", "issued_at": "2026-01-01T00:00:00Z"},
     OPERATOR, "widening-expired"),
    ("from-the-future", {"expires": "2090-01-01T00:05:00Z", "issued_at": "2090-01-01T00:00:00Z"},
     OPERATOR, "widening-expired"),
    ("too-long", {"expires": "2090-01-01T00:05:00Z"}, OPERATOR, "widening-malformed"),
    ("nothing", {"scopes": []}, OPERATOR, "widening-malformed"),
    ("unknown-scope", {"scopes": ["root"]}, OPERATOR, "widening-malformed"),
    ("twice", {"scopes": ["files", "files"]}, OPERATOR, "widening-malformed"),
    ("long-words", {"reason": "x" * 501}, OPERATOR, "widening-malformed"),
    ("not-permitted", {"scopes": ["files", "control"]}, OPERATOR, "grant-not-permitted"),
    ("open-already", {"scopes": ["terminal"]}, OPERATOR, "scope-empty"),
    ("nowhere", {"scopes": ["forward"]}, OPERATOR, "scope-empty"),
    ("elsewhere", {"scopes": ["forward"], "forward": ["127.0.0.1:22"]}, OPERATOR, "scope-empty"),
]  # fmt: skip


async def test_what_does_not_hold_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    permissions = [f"session:{scope}@*" for scope in ("view", "terminal", "files", "forward")]
    async with opened(tmp_path, permissions=permissions) as session:
        for name, changes, signer, code in REFUSALS:
            answer = await session.ask(session.wish("files", **changes), by=signer)
            assert (answer["granted"], answer["code"]) == (False, code), name
        for changes, words in (
            ({"scopes": ["terminal"]}, "open in this session already: terminal"),
            ({"scopes": ["forward"]}, "the scope forward came without a destination"),
            (
                {"scopes": ["forward", "view"], "forward": ["127.0.0.1:22"]},
                "this device's policy does not allow forward to 127.0.0.1:22; "
                "open in this session already: view",
            ),
        ):
            answer = await session.ask(session.wish("files", **changes))
            assert answer["words"] == words
        for line in (b"\n", b"[]\n", b'{"widening":7}\n', b'{"wide":{}}\n', b"\xff\n"):
            assert (await session.send(line))["code"] == "widening-malformed"
        assert sum(isinstance(event, Asked) for event in session.run.seen) == 1
        with pytest.raises(asyncssh.Error):
            await session.ssh.start_sftp_client()


async def test_yes_opens_no_leaves_it_and_the_receipt_tells(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        asked, answer = await session.answered(session.wish("files", "forward"), True)
        assert (asked.asks, asked.scopes, asked.forward) == (
            "scopes", ["files", "forward"], ["printer:631"],
        )  # fmt: skip
        assert answer == {
            "granted": True, "scopes": ["files", "forward"], "forward": ["printer:631"],
        }  # fmt: skip
        changed = await session.run.next(ScopesChanged)
        assert changed.scopes == ["view", "terminal", "files", "forward"]
        assert (await session.run.next(Decided)).granted
        async with await session.ssh.start_sftp_client() as files:
            assert await files.exists("/")
        more = session.wish("forward", forward=["printer:631", "Printer:80"])
        asked, answer = await session.answered(more, False)
        assert (asked.forward, answer["code"]) == (["printer:80"], "consent-refused")
        assert (await session.run.next(Decided)).reason == "consent-refused"
        assert (await session.ask(more))["code"] == "widening-reused"
        row = Journal(session.run.home.journal, read_only=True)
        assert row.session(SESSION).scopes == ["view", "terminal", "files", "forward"]  # type: ignore[union-attr]
        row.close()
        session.run.process.stop("stopped")
        ended = await session.run.next(Ended)
        receipt: Receipt = verify_receipt(Path(str(ended.receipt)).read_bytes()).receipt
        assert receipt.scopes == ["view", "terminal", "files", "forward"]
        assert len(receipt.widened) == 1
        assert [one.detail for one in receipt.actions if one.kind == "scope"] == [
            "files was added: the person at the device agreed",
            "forward to printer:631 was added: the person at the device agreed",
        ]
        reports = [await session.run.relay.reports.get() for _ in range(3)]
        assert [one.state for one in reports] == ["active", "active", "ended"]
        assert reports[1].scopes == ["view", "terminal", "files", "forward"]


async def test_a_person_is_not_asked_for_ever(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        for _ in range(MAX_WIDENINGS):
            _, answer = await session.answered(session.wish("files"), False)
            assert answer["code"] == "consent-refused"
            await session.run.next(Decided)
        assert (await session.ask(session.wish("files")))["code"] == "widening-reused"


async def test_silence_is_told_apart_from_no(tmp_path: Path) -> None:
    async with opened(tmp_path, own_policy="consent_s = 5\n", consent_s=None) as session:
        answer = await session.ask(session.wish("files"))
        assert answer["code"] == "consent-timeout"
        assert [e.answer_within_s for e in session.run.seen if isinstance(e, Asked)] == [5, 5]


async def test_stopping_while_the_question_stands_refuses_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as session, asyncio.TaskGroup() as group:

        async def ask() -> None:
            try:
                answer = await session.ask(session.wish("files"))
            except (asyncssh.Error, OSError, msgspec.DecodeError):
                return
            assert answer["code"] == "consent-refused"

        group.create_task(ask())
        await session.run.next(Asked)
        session.run.process.stop("stopped")
        assert await session.run.end() == 0


async def test_a_stricter_policy_takes_from_open_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[tuple[Any, ...]] = []
    # The session's process is the test's own here.
    monkeypatch.setattr(scope_changes, "signal_process", lambda *told: signals.append(told))
    async with opened(tmp_path) as session:
        journal = Journal(session.run.home.journal)
        program = await session.ssh.create_process("sleep 300")
        note_policy(journal, POLICY)
        stricter = msgspec.structs.replace(POLICY, scopes=["view"])
        row = journal.session(SESSION)
        assert row is not None
        assert note_policy(journal, stricter) is not None
        assert journal.session(SESSION).scopes == ["view"]  # type: ignore[union-attr]
        assert signals == [(row.pid, row.pid_started, scope_changes.SIGWITHDRAW)]
        session.run.process.withdraw(None)  # what the signal does, in a process of its own
        async with asyncio.timeout(20):
            await program.wait_closed()
        assert program.exit_signal is not None
        assert "the device's policy does not allow it any more" in program.exit_signal[2]
        assert (await session.run.next(ScopesChanged)).scopes == ["view"]
        assert withdraw_scopes_everywhere(journal, ["terminal"], by="person") == {}
        journal.close()


async def test_a_policy_that_tightens_while_she_is_asked_for_more_counts(tmp_path: Path) -> None:
    async with opened(tmp_path) as session, asyncio.TaskGroup() as group:
        wish = session.wish("files", "forward")
        asking = group.create_task(session.ask(wish))
        await session.run.next(Asked)
        session.run.home.policy.write_text('scopes = ["view", "terminal", "forward"]\n')
        session.run.process.answer(True)
        assert (await asking)["scopes"] == ["forward"]
        changed = await session.run.next(ScopesChanged)
        assert changed.scopes == ["view", "terminal", "forward"]
        assert (await session.run.next(Decided)).granted
        asking = group.create_task(session.ask(session.wish("forward", forward=["printer:80"])))
        await session.run.next(Asked)
        session.run.home.policy.write_text('scopes = ["view", "terminal"]\n')
        session.run.process.answer(True)
        answer = await asking
        assert (answer["granted"], answer["code"]) == (False, "scope-empty")


@pytest.mark.parametrize(("scope", "left"), [("view", ["view"]), ("files", None)])
async def test_a_policy_that_tightens_while_she_is_asked_at_first_counts(
    tmp_path: Path, scope: str, left: list[str] | None
) -> None:
    async with enrolled(tmp_path, policy=POLICY) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing, scopes=["view", "terminal"]))
            await run.next(Asked)
            run.home.policy.write_text(f'scopes = ["{scope}"]\n')
            run.process.answer(True)
            decision = await asking
        assert decision.granted is (left is not None)
        assert decision.code == ("" if left else "scope-empty")
        assert decision.scopes == (left or [])


@pytest.mark.parametrize(("consent", "granted"), [("notify", True), ("ask", False)])
async def test_without_a_person_the_policy_decides(
    tmp_path: Path, consent: Literal["ask", "notify"], granted: bool
) -> None:
    notify = msgspec.structs.replace(POLICY, unattended=True, consent="notify")
    grant = {"scopes": ["view"]}
    async with enrolled(tmp_path, policy=notify, grant=grant, can_ask=False) as run:
        await run.next(Opened)
        row = Journal(run.home.journal, read_only=True)
        sealed = row.session(SESSION)
        row.close()
        assert sealed is not None
        console = CodeConsole(run.relay)
        console.device_key = run.relay.devices[0]
        console.envelope = decode_envelope(sealed.grant)
        console.grant = open_payload(console.envelope, Grant)
        if consent == "ask":
            (run.home.path / "policy.toml").write_text('consent = "ask"\n')
        async with console.ssh() as ssh:
            session = Open(run, console, ssh)
            answer = await session.ask(session.wish("terminal", "forward"))
            assert answer["granted"] == granted
            if granted:
                assert (await run.next(ScopesChanged)).scopes == ["view", "terminal", "forward"]
                assert (await ssh.run("echo wider")).stdout == "wider\n"
            else:
                assert answer["code"] == "consent-timeout"
        assert not any(isinstance(event, Asked) for event in run.seen)
