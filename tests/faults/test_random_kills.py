"""Two hundred kill -9 at random moments: script runners, session processes, the agent, the relay.

One real relay, one real agent.  Orders come in all the time; sessions are opened one after the
other, each with a command and an upload under way.  Runners and session processes are killed beside
each other, each strike all of a kind that live at its moment, and for every four of these the agent
or the relay.  How long each strike waits is drawn from a fixed seed; what it meets depends on the
machine.  After each kill the journal opens.
Before that each of the four is struck once while it is known what it is doing: a body is in its
middle, a command under way, held there by a file (`Aimed`).
In the end every order that the relay accepted has ended once, no body and no command has started
twice, every session has ended once, on both ends (another process goes on with one whose process
was killed), and the relay's audit and the device's log are whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import psutil
import pytest
from sqlalchemy import select

from farhand_console.session.ending import end_on_device
from farhand_console.session.record import SessionRecord
from farhand_console.session.ssh import connect_ssh
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import FINAL_STATES
from farhand_server.store.schema import orders, session_events, sessions
from tests.support.faults.house import FaultHouse, fault_house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

SEED = 20261122
VICTIMS = {"runner": 110, "session": 50, "agent": 28, "relay": 12}
MODULES = {"runner": "farhand_agent.scripts.runner", "session": "farhand_agent.session"}
_SESSION = re.compile(r"\bs-[a-z2-7]{26}\b")
_CUT_OFF = (FarhandError, asyncssh.Error, OSError, asyncio.CancelledError)
WORKERS = 4
ORDERS = 12
# Within so long of a process's life it is struck: a runner's body takes 0.3 s, a session about one
# to open, and then some to work in.
LIFE_S = {"runner": 0.6, "session": 2.5}
PATIENCE_S = 6.0
SESSION_S = 10.0
TRIES = 6
SETTLE_S = 240.0
AIMED_S = 60.0
GATE = "gate"
UPLOAD = 400_000
T = TypeVar("T")


class Chaos:
    """What goes on while the kills strike, and what was seen of it."""

    def __init__(self, house: FaultHouse, place: Path, draw: random.Random) -> None:
        self.house = house
        self.place = place
        self.draw = draw
        self.kills: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.whole: dict[str, str] = {}  # uploads that were reported as done, with their hash
        self.commands: set[str] = set()  # commands whose end was reported
        self.cut: dict[str, asyncio.Event] = {}
        self.sent: dict[str, bytes] = {}
        self._number = 0
        self.ending: list[asyncio.Future[None]] = []
        rest = [kind for kind in ("agent", "relay") for _ in range(VICTIMS[kind])]
        draw.shuffle(rest)
        self._rest = rest
        self._one_at_a_time = asyncio.Lock()
        # Calls of the console block, some of them for as long as a device may take to decide.
        self._threads = ThreadPoolExecutor(max_workers=24)

    async def call(self, act: Callable[[], T]) -> T:
        """Do something of the console's in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)

    # Orders.

    async def order(self) -> None:
        """Keep orders coming; runs until cancelled.

        One whose runner was killed is taken up after half a minute only, so there are many.  One
        whose answer was lost is given again before there is another: else they would pile up
        while the relay is away.
        """
        while True:
            await asyncio.sleep(0.2)
            if await self.call(self._orders_under_way) >= ORDERS:
                continue
            order, sealed = self.house.sign()
            self.sent[order] = sealed
            while order not in self.house.accepted:
                await asyncio.sleep(0.1)
                await self.call(lambda sealed=sealed: self.house.order(sealed))  # type: ignore[misc]

    def _orders_under_way(self) -> int:
        """Count what has not ended; asked all the time, so without a whole database for it."""
        path = self.house.stage.relay_home / "farhand.db"
        ends = ",".join("?" * len(FINAL_STATES))
        query = f"SELECT count(*) FROM orders WHERE state NOT IN ({ends})"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            count: int = connection.execute(query, sorted(FINAL_STATES)).fetchone()[0]
        return count

    # Sessions.

    async def technician(self) -> None:
        """Open one session after the other and work in it; runs until cancelled."""
        while True:
            try:
                record = await self.call(self.house.open_session)
            except FarhandError:
                # The relay or the device is gone, or the answer is; what was left open is ended.
                await asyncio.sleep(0.2)
                await self.end_strays()
                continue
            self.cut[record.session] = asyncio.Event()
            try:
                was_cut = False
                for _ in range(TRIES):
                    if await self._work_until_cut(record):
                        self.seen["revived"] += was_cut
                        break
                    was_cut = was_cut or self.cut[record.session].is_set()
                    self.cut[record.session].clear()
                    # The agent looks after its children each second, and starts the next one.
                    await asyncio.sleep(2.5)
            finally:
                del self.cut[record.session]
            await self.end(record.session)

    async def _work_until_cut(self, record: SessionRecord) -> bool:
        """Work until done, or until the session's process is killed; True for done.

        A session outlives its process, so what was cut off is tried once more in the same one.
        """
        work = asyncio.ensure_future(self._work(record))
        cut = asyncio.ensure_future(self.cut[record.session].wait())
        try:
            await asyncio.wait({work, cut}, timeout=SESSION_S, return_when="FIRST_COMPLETED")
        finally:
            work.cancel()
            cut.cancel()
            (outcome, _) = await asyncio.gather(work, cut, return_exceptions=True)
        for error in _leaves(outcome):
            if not isinstance(error, _CUT_OFF):
                raise error
        return outcome is None

    async def _work(self, record: SessionRecord) -> None:
        self._number += 1
        name = f"{self._number:04d}"
        async with connect_ssh(
            self.house.context.home, self.house.context.relay, record, notice=self._noted
        ) as connection:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._command(connection, name))
                group.create_task(self._upload(connection, name))
            self.seen["worked"] += 1
            receipt, digest = await end_on_device(self.house.context.home, record, connection, "")
            assert receipt.session == record.session
            self.seen["receipt"] += 1
            body = {"note": "", "active_s": receipt.active_s, "receipt_sha256": digest}
            await self.call(lambda: self.house.post(f"/sessions/{record.session}/end", body))

    def _noted(self, words: str) -> None:
        self.seen["resumed"] += words == "connected again"

    async def _command(self, connection: asyncssh.SSHClientConnection, name: str) -> None:
        trace = self.place / f"command-{name}"
        done = await connection.run(f"echo start >> {trace}; sleep 0.3; echo {name}; exit 3")
        if done.exit_status == 3:
            assert done.stdout == f"{name}\n"
            self.commands.add(name)

    async def _upload(self, connection: asyncssh.SSHClientConnection, name: str) -> None:
        data = self.draw.randbytes(UPLOAD)
        target = self.place / f"upload-{name}"
        async with connection.start_sftp_client() as sftp:
            async with sftp.open(str(target), "wb") as file:
                for start in range(0, UPLOAD, 40_000):
                    await file.write(data[start : start + 40_000])
                    await asyncio.sleep(0.02)  # it is to be under way for a while
        self.whole[name] = hashlib.sha256(data).hexdigest()

    async def end(self, session: str) -> None:
        """Tell the relay that a session is over; it may be down just now."""
        await self.call(lambda: self.house.post(f"/sessions/{session}/end", {"note": ""}))

    async def end_strays(self) -> None:
        """End sessions that nobody here works in."""
        with suppress(OSError):
            live = await self.house.rows(select(sessions.c.id).where(sessions.c.state == "active"))
            for one in live:
                if one["id"] not in self.cut:
                    await self.end(one["id"])

    # Kills.

    async def strike_all(self, kind: str) -> None:
        """Strike every runner, or every session process, that is to be; and some of the rest."""
        while left := VICTIMS[kind] - self.kills[kind]:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    struck = await self._strike_children(kind, at_most=left)
            except TimeoutError:
                continue  # there was none; the agent or the relay has just been killed
            for _ in range(struck):
                self._count(kind)
            async with self._one_at_a_time:
                while self._is_turn_of_the_rest():
                    await self._strike_one_of_the_rest(self._rest.pop())

    def _is_turn_of_the_rest(self) -> bool:
        struck = sum(self.kills[kind] for kind in VICTIMS if kind not in MODULES)
        return struck < sum(self.kills[kind] for kind in MODULES) // 4

    async def _strike_one_of_the_rest(self, kind: str) -> None:
        await asyncio.sleep(self.draw.uniform(0.0, 0.5))
        if kind == "relay":
            assert self.house.stage.relay is not None
            self.house.stage.relay.popen.kill()
            await self.call(self._restart_relay)
        else:
            await self.call(self.restart_agent)
        self._count(kind)

    def _count(self, kind: str) -> None:
        self.kills[kind] += 1
        self.house.journal().close()

    async def _strike_children(self, kind: str, *, at_most: int) -> int:
        """Kill what lives of a kind; returns how many were there to be killed."""
        module = MODULES[kind]
        while True:
            if await self.call(lambda: self.find(module)):
                # Alive now; it is struck a random part of its life later, if it still is.
                await asyncio.sleep(self.draw.uniform(0.0, LIFE_S[kind]))
                found = await self.call(lambda: self.find(module))
                if found:
                    break
            await asyncio.sleep(0.02)  # others start it; there is nothing to wait on
        for process in found[:at_most]:
            session = self._kill(process)
            if session is not None and session not in self.cut:
                # It may not have been open yet, and nobody waits for what is dead.
                self.ending.append(asyncio.ensure_future(self.end(session)))
        return len(found[:at_most])

    def _kill(self, process: psutil.Process) -> str | None:
        """Kill a process; returns the session that it served or was about to."""
        with suppress(psutil.NoSuchProcess):
            words = " ".join(process.cmdline())
            process.kill()
            found = _SESSION.search(words)
            if found is not None and found[0] in self.cut:
                self.cut[found[0]].set()
            return found[0] if found is not None else None
        return None

    def find(self, module: str) -> list[psutil.Process]:
        """Return the living processes of one module that belong to this house's agent.

        Not what one of them has forked and that is no program of its own yet: it still has its
        parent's words.  Killed then, a body was killed by somebody else while its runner lived, and
        its order rightly ends as `failed`, by a signal.
        """
        home = str(self.house.agent.home).encode()
        found = {}
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if module.encode() in words and any(home in word for word in words):
                    process = psutil.Process(pid)
                    found[pid] = (process, process.ppid())
        return [process for process, parent in found.values() if parent not in found]

    def _restart_relay(self) -> None:
        assert self.house.stage.relay is not None
        self.house.stage.relay.end()
        self.house.stage.start_relay()

    def restart_agent(self) -> None:
        """kill -9, and start again; it need not be ready when this returns."""
        assert self.house.agent.process is not None
        # Not `Process.end`: sessions outlive the agent, and hold the stderr that it would close.
        self.house.agent.process.popen.kill()
        self.house.agent.process.popen.wait()
        self.house.agent.process = self.house.stage.start(self.house.agent.words("run"))

    def close(self) -> None:
        """Wait for what the threads still do."""
        self._threads.shutdown()


class Aimed:
    """One strike at each kind, in a state that is known before it.

    Bodies and commands wait for as long as `gate` is there, so that what is struck is in its
    middle however slow the machine is.
    """

    def __init__(self, chaos: Chaos, gate: Path) -> None:
        self.chaos = chaos
        self.house = chaos.house
        self.gate = gate
        self.order = ""

    async def strike(self) -> None:
        """Strike the runner of a body, then the relay, the agent and the process of a session."""
        await self._strike_runner()
        record = await self.chaos.call(self.house.open_session)
        await self._strike_around(record)
        await self._strike_session(record)
        await self.chaos.end(record.session)

    async def _strike_runner(self) -> None:
        self.gate.touch()
        self.order, sealed = self.house.sign()
        self.chaos.sent[self.order] = sealed
        await self.chaos.call(lambda: self.house.order(sealed))
        await until((self.house.place / self.order).exists)
        (runner,) = self.chaos.find(MODULES["runner"])
        runner.kill()
        self.gate.unlink()

    async def _strike_around(self, record: SessionRecord) -> None:
        """Kill relay and agent: the command goes on, and its end is heard on the same line."""
        heard: list[str] = []
        async with self._connected(record, heard.append) as connection:
            command = asyncio.ensure_future(self._command(connection, "around"))
            try:
                await self._is_under_way("around")
                assert self.house.stage.relay is not None
                self.house.stage.relay.popen.kill()
                await self.chaos.call(self.chaos._restart_relay)
                await until(lambda: "connected again" in heard)
                await self.chaos.call(self.chaos.restart_agent)
                self.gate.unlink()
                assert await command == "over\n"
            finally:
                command.cancel()

    async def _strike_session(self, record: SessionRecord) -> None:
        """Kill the session's process: another takes the session up, and not the command."""
        working = asyncio.ensure_future(self._work(record))
        try:
            await self._is_under_way("cut")
            (process,) = [
                one
                for one in self.chaos.find(MODULES["session"])
                if record.session in " ".join(one.cmdline())
            ]
            process.kill()
            await until(lambda: self._processes(record) - {process.pid} != set())
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        self.gate.unlink()
        async with asyncio.timeout(AIMED_S):
            while await self._says_again(record) != "again\n":
                await asyncio.sleep(0.2)  # its process has only just begun
        trace = self.chaos.place / "aimed-cut"
        assert trace.read_text() == "start\n", "a command was started again"

    def _processes(self, record: SessionRecord) -> set[int]:
        found = set()
        for one in self.chaos.find(MODULES["session"]):
            with suppress(psutil.NoSuchProcess):
                if record.session in " ".join(one.cmdline()):
                    found.add(one.pid)
        return found

    async def _says_again(self, record: SessionRecord) -> str:
        try:
            async with self._connected(record, lambda _: None) as connection:
                return str((await connection.run("echo again")).stdout)
        except (FarhandError, asyncssh.Error, OSError):
            return ""

    def _connected(
        self, record: SessionRecord, notice: Callable[[str], None]
    ) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
        context = self.house.context
        return connect_ssh(context.home, context.relay, record, notice=notice)

    async def _work(self, record: SessionRecord) -> None:
        async with self._connected(record, lambda _: None) as connection:
            await self._command(connection, "cut")

    async def _command(self, connection: asyncssh.SSHClientConnection, name: str) -> str:
        self.gate.touch()
        waits = f"while [ -e {self.gate} ]; do sleep 0.05; done"
        trace = self.chaos.place / f"aimed-{name}"
        return str((await connection.run(f"echo start >> {trace}; {waits}; echo over")).stdout)

    async def _is_under_way(self, name: str) -> None:
        await until((self.chaos.place / f"aimed-{name}").exists)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(AIMED_S):
        while not is_so():
            await asyncio.sleep(0.05)


def _leaves(outcome: object) -> list[BaseException]:
    if isinstance(outcome, BaseExceptionGroup):
        return [leaf for one in outcome.exceptions for leaf in _leaves(one)]
    return [outcome] if isinstance(outcome, BaseException) else []


async def settle(chaos: Chaos) -> None:
    """Start relay and agent once more, and wait until nothing is under way."""
    house = chaos.house
    # This also ends the calls that still wait for devices' answers.
    assert house.stage.relay is not None
    house.stage.relay.popen.kill()
    await chaos.call(chaos._restart_relay)
    await chaos.call(chaos.restart_agent)
    for order, sealed in chaos.sent.items():
        if order not in house.accepted:
            # The answer was lost; an order is known by its id, so it is given again.
            await chaos.call(lambda sealed=sealed: house.order(sealed))  # type: ignore[misc]
    deadline = time.monotonic() + SETTLE_S
    while left := await not_quiet(chaos):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.3)  # both work on; there is nothing to wait on
        await chaos.end_strays()


async def not_quiet(chaos: Chaos) -> str:
    """Say what device and relay still have to say to each other; empty for nothing."""
    journal = chaos.house.journal()
    try:
        sessions_left = [one.id for one in journal.live_sessions()]
        unsent = len(journal.outbox())
        begun = [(one.id, one.state) for one in journal.open_orders()]
    finally:
        journal.close()
    states = Counter(one["state"] for one in await chaos.house.rows(select(orders.c.state)))
    open_there = {state: count for state, count in states.items() if state not in FINAL_STATES}
    query = select(sessions.c.id).where(sessions.c.state == "active")
    live = [one["id"] for one in await chaos.house.rows(query)]
    if not (sessions_left or unsent or begun or open_there or live):
        return ""
    return f"device: {sessions_left} {unsent} {begun}; relay: {open_there} {live}"


@pytest.fixture
def house(tmp_path: Path) -> Any:
    """A house whose bodies take a moment, and wait for as long as the gate is there."""
    waits = f"while [ -e {tmp_path / GATE} ]; do sleep 0.05; done"
    with fault_house(tmp_path, work=f"{waits}; sleep 0.3") as house:
        yield house


async def test_two_hundred_kills_at_random_moments(house: FaultHouse, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    place = tmp_path / "work"
    place.mkdir()
    chaos = Chaos(house, place, draw)
    aimed = Aimed(chaos, tmp_path / GATE)
    try:
        await aimed.strike()
        busy = [asyncio.ensure_future(chaos.order())]
        busy += [asyncio.ensure_future(chaos.technician()) for _ in range(WORKERS)]
        kills = [asyncio.ensure_future(chaos.strike_all(kind)) for kind in MODULES]
        try:
            while any(not one.done() for one in kills):
                over, _ = await asyncio.wait(
                    {*busy, *kills} - {one for one in kills if one.done()},
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for one in over:
                    one.result()  # raises what ended it
            # What was struck two hundred times works on.
            async with asyncio.timeout(SETTLE_S):
                while chaos.seen["receipt"] < 3:
                    await asyncio.sleep(0.1)
        finally:
            for task in (*busy, *kills):
                task.cancel()
            await asyncio.gather(*busy, *kills, *chaos.ending, return_exceptions=True)
        await settle(chaos)
    finally:
        await asyncio.to_thread(chaos.close)
    assert chaos.kills == VICTIMS
    await house.laws()
    await check_orders(chaos)
    await check_sessions(chaos)
    # Whether a random strike met something in the middle of its work is chance; the aimed one did.
    (struck,) = await house.rows(select(orders.c.state).where(orders.c.id == aimed.order))
    assert struck["state"] == "interrupted"


async def check_orders(chaos: Chaos) -> None:
    """What the relay calls an order's end is what the device journalled."""
    journal = chaos.house.journal()
    try:
        rows = {one["id"]: one["state"] for one in await chaos.house.rows(select(orders))}
        for order, state in rows.items():
            row = journal.order(order)
            assert row is not None
            assert row.state == state
            # No body fails by itself, and one that dies with its runner is `interrupted`.
            assert state in ("succeeded", "interrupted"), (order, state, row.result)
    finally:
        journal.close()
    states = list(rows.values())
    assert states.count("succeeded") >= 5
    assert states.count("interrupted") >= 1


async def check_sessions(chaos: Chaos) -> None:
    """Each session ended once, on both ends, and what was done in it was done once."""
    journal = chaos.house.journal()
    try:
        rows = await chaos.house.rows(select(sessions))
        for row in rows:
            kept = journal.session(row["id"])
            if row["state"] == "ended" and row["started_at"] is not None:
                assert kept is not None
                assert kept.state == "ended"
        granted = {one for one in (row["id"] for row in rows) if journal.session(one) is not None}
    finally:
        journal.close()
    told = await chaos.house.rows(select(session_events).where(session_events.c.kind == "ended"))
    assert granted <= {one["session"] for one in told}
    for trace in chaos.place.glob("command-*"):
        assert trace.read_text() == "start\n", trace.name
    for name in chaos.commands:
        assert (chaos.place / f"command-{name}").exists()
    for name, digest in chaos.whole.items():
        data = (chaos.place / f"upload-{name}").read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
