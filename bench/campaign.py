"""A campaign as an admin feels it: from start to the last result, through all that breaks.

    fifty      real agents run a signed `true`; beside it the same script as plain subprocesses
    fan-out    simulated devices get an order each and answer; beside it a bare NATS broadcast
               with replies, in the same run
    storm      real and simulated devices in two rings; some fail, the breaker trips and somebody
               resumes, the relay is killed in the middle, and so is NATS; at the end what the relay
               counts is held against every device's own record

How many real agents there are is a matter of memory; the figure says how many there were.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import nats
import psutil
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bench.agents import enrol_simulated
from bench.device import SimulatedDevice, answer_order
from bench.report import Figure
from farhand_agent.journal import Journal
from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import Ack, OfferOrder, ResultReport
from tests.support.servers import NatsServer
from tests.support.stage import AgentHome, ConsoleHome, Stage, free_port

__all__ = ["run"]

_SCRIPT: Final = "bench.true"
_AGENT_MIB: Final = 45
_SETTLE_S: Final = 1800.0
_FAILING: Final = 0.01
_LIMIT: Final = 10
_MANIFEST: Final = f"""id = "{_SCRIPT}"
version = 1
title = "Nothing"
description = "Does nothing, well."
platforms = ["linux"]
interpreter = "sh"
risk = "R0"
timeout_s = 60
run_as = "agent"
sensitive = false

[parameters]
type = "object"
additionalProperties = false

[parameters.properties]
"""


def run(*, quick: bool) -> list[Figure]:
    """Measure fifty real agents, five thousand simulated ones, and both in a storm."""
    fifty, simulated = (2, 40) if quick else (50, 5000)
    fitting = int(psutil.virtual_memory().available / 2**20 * 0.7 / _AGENT_MIB)
    real = min(3 if quick else 300, fitting)
    figures = _fifty(fifty)
    broadcast_s = asyncio.run(_nats_broadcast(simulated))
    with _stage(simulated) as (stage, admin, signers, _):
        figures += asyncio.run(_fan_out(stage, admin, signers, broadcast_s))
    with _stage(simulated, with_nats=True) as (stage, admin, signers, broker):
        agents = _real_agents(stage, admin, real)
        figures += asyncio.run(_storm(stage, admin, agents, signers, broker))
    return figures


# The stage.


@contextlib.contextmanager
def _stage(
    simulated: int, *, with_nats: bool = False
) -> Iterator[tuple[Stage, ConsoleHome, list[SeedSigner], _Broker]]:
    with _Broker(free_port() if with_nats else 0) as broker:
        with Stage(bus=broker.url or None) as stage:
            stage.init_relay()
            stage.start_relay()
            admin = stage.first_admin(library=False)
            technician = stage.technician(admin, "tess")
            _publish(stage, admin, technician)
            assert stage.relay is not None
            stage.relay.end()
            signers = enrol_simulated(stage, admin, simulated) if simulated else []
            stage.start_relay()
            yield stage, admin, signers, broker


class _Broker:
    """NATS that can be killed and comes back at the same address; none where the port is 0."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: NatsServer | None = None
        self.url = f"nats://127.0.0.1:{port}" if port else ""

    def __enter__(self) -> _Broker:
        if self._port:
            self._server = NatsServer(self._port)
            self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """End it at once and start another in its place."""
        assert self._server is not None
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.stop()
        self.__enter__()


def _publish(stage: Stage, admin: ConsoleHome, technician: ConsoleHome) -> None:
    folder = stage.folder / "script"
    folder.mkdir()
    (folder / "manifest.toml").write_text(_MANIFEST)
    (folder / "script.sh").write_text("true\n")
    technician.json("script", "submit", str(folder))
    admin.json("script", "approve", _SCRIPT, "--yes")
    admin.json("script", "publish", _SCRIPT)


def _real_agents(stage: Stage, admin: ConsoleHome, count: int) -> list[AgentHome]:
    agents = []
    for number in range(count):
        agent = stage.agent(f"real-{number}")
        agent.enrol(admin.json("token", "create", "--group", "real")["token"])
        agent.start()
        agents.append(agent)
    return agents


def _relay(admin: ConsoleHome) -> Any:
    return Context(Home(admin.home), as_json=True).relay


# Fifty real agents.


def _fifty(count: int) -> list[Figure]:
    with _stage(0) as (stage, admin, _, _broker):
        agents = _real_agents(stage, admin, count)
        words = ("campaign", "create", "--script", _SCRIPT, "--query", "group:real")
        campaign = admin.json(*words)["campaign"]
        begin = time.perf_counter()
        report = admin.json("campaign", "start", campaign, "--wait")
        took = time.perf_counter() - begin
        plain = asyncio.run(_plain(count, stage.folder / "script" / "script.sh"))
        lost = len(agents) - report["counts"].get("succeeded", 0)
    return [
        Figure(f"{count} real agents: start to all results", took, "s", "subprocesses", plain),
        Figure(f"{count} real agents: results lost", lost, "", at_most=0),
    ]


async def _plain(count: int, script: Path) -> float:
    begin = time.perf_counter()
    processes = [await asyncio.create_subprocess_exec("sh", str(script)) for _ in range(count)]
    for process in processes:
        await process.wait()
    return time.perf_counter() - begin


# Simulated devices.


class _Simulated:
    """One simulated device that comes back when its link breaks, and repeats what nobody took."""

    def __init__(self, url: str, signer: SeedSigner, tenant: str, *, fails: bool) -> None:
        self._device = SimulatedDevice(url, signer, tenant=tenant, role="device")
        self._fails = fails
        self.results: dict[str, bytes] = {}
        self._sent: dict[int, str] = {}
        self._taken: set[str] = set()
        self.is_open = asyncio.Event()

    @property
    def states(self) -> list[str]:
        """Return how its orders ended by its own record."""
        return ["failed" if self._fails else "succeeded"] * len(self.results)

    async def live(self, gate: asyncio.Semaphore) -> None:
        """Keep a link for ever."""
        while True:
            try:
                async with gate:
                    await self._device.open()
                self.is_open.set()
                for order in self.results.keys() - self._taken:
                    await self._send(order)
                while True:
                    await self._hear()
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                await asyncio.sleep(random.uniform(0.2, 2.0))

    async def _hear(self) -> None:
        message = await self._device.receive()
        if isinstance(message, OfferOrder):
            # An order that is offered again is answered with the very same result.
            if message.order not in self.results:
                _, sealed = answer_order(self._device, message.envelope, has_failed=self._fails)
                self.results[message.order] = sealed
            await self._send(message.order)
        elif isinstance(message, Ack) and message.seq in self._sent:
            self._taken.add(self._sent.pop(message.seq))

    async def _send(self, order: str) -> None:
        seq = len(self._sent) + len(self._taken) + 1
        while seq in self._sent:
            seq += 1
        self._sent[seq] = order
        await self._device.send(ResultReport(seq=seq, order=order, envelope=self.results[order]))

    def close(self) -> None:
        """Drop the link."""
        with contextlib.suppress(AssertionError):
            self._device.websocket.transport.abort()


@contextlib.asynccontextmanager
async def _fleet(stage: Stage, admin: ConsoleHome, signers: list[SeedSigner]) -> Any:
    tenant = Context(Home(admin.home), as_json=True).settings.tenant
    failing = max(1, int(len(signers) * _FAILING)) if signers else 0
    failing = max(failing, 2 * _LIMIT if len(signers) >= 4 * _LIMIT else 1)
    fleet = [
        _Simulated(stage.url, signer, tenant, fails=number < failing)
        for number, signer in enumerate(signers)
    ]
    gate = asyncio.Semaphore(64)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(device.live(gate)) for device in fleet]
        async with asyncio.timeout(_SETTLE_S):
            for device in fleet:
                await device.is_open.wait()
        try:
            yield fleet
        finally:
            for task in tasks:
                task.cancel()
            for device in fleet:
                device.close()


async def _until(
    admin: ConsoleHome, campaign: str, done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Go along with a campaign until it is as wanted; a relay that is away comes back."""
    relay, cursor = _relay(admin), None
    async with asyncio.timeout(_SETTLE_S):
        while True:
            try:
                found = await asyncio.to_thread(relay.get, f"/campaigns/{campaign}", dict[str, Any])
                if done(found):
                    return dict(found)
                told = await asyncio.to_thread(
                    functools.partial(
                        relay.get,
                        f"/campaigns/{campaign}/events",
                        dict[str, Any],
                        cursor=cursor,
                        wait=2,
                        wait_s=30,
                    )
                )
                cursor = told["next"]
            except FarhandError:
                await asyncio.sleep(0.5)


async def _steer(admin: ConsoleHome, *words: str) -> dict[str, Any]:
    return await asyncio.to_thread(admin.json, "campaign", *words)


async def _fan_out(
    stage: Stage, admin: ConsoleHome, signers: list[SeedSigner], broadcast_s: float
) -> list[Figure]:
    async with _fleet(stage, admin, signers):
        made = await _steer(admin, "create", "--script", _SCRIPT, "--query", "group:bench")
        begin = time.perf_counter()
        await _steer(admin, "start", made["campaign"])
        await _until(admin, made["campaign"], lambda found: found["state"] == "finished")
        took = time.perf_counter() - begin
    name = f"{len(signers)} simulated: signed, told, answered and stored"
    return [Figure(name, took, "s", "NATS broadcast with replies", broadcast_s)]


async def _nats_broadcast(count: int) -> float:
    """Return the seconds that one message to `count` subscriptions and their replies take."""
    with NatsServer() as server:
        clients = [await nats.connect(server.url) for _ in range(10)]
        asker = await nats.connect(server.url)
        replied, done = 0, asyncio.Event()

        async def count_reply(_message: Any) -> None:
            nonlocal replied
            replied += 1
            if replied == count:
                done.set()

        async def reply(message: Any) -> None:
            await message.respond(bytes(1000))

        for number in range(count):
            await clients[number % len(clients)].subscribe("bench.all", cb=reply)
        for client in clients:
            await client.flush()
        await asker.subscribe("bench.replies", cb=count_reply)
        await asker.flush()
        begin = time.perf_counter()
        await asker.publish("bench.all", bytes(1000), reply="bench.replies")
        async with asyncio.timeout(_SETTLE_S):
            await done.wait()
        took = time.perf_counter() - begin
        for client in (*clients, asker):
            await client.close()
    return took


# The storm.


async def _storm(
    stage: Stage,
    admin: ConsoleHome,
    agents: list[AgentHome],
    signers: list[SeedSigner],
    broker: _Broker,
) -> list[Figure]:
    async with _fleet(stage, admin, signers) as fleet:
        total = len(agents) + len(signers)
        canary = max(2, total // 100)
        made = await _steer(
            admin, "create", "--script", _SCRIPT, "--query", "*",
            "--ring", f"canary: {canary}; success 0", "--limit", f"failed={_LIMIT}",
            "--max-in-flight", "64",
        )  # fmt: skip
        campaign = made["campaign"]
        begin = time.perf_counter()
        await _steer(admin, "start", campaign)
        await _until(admin, campaign, lambda found: _final(found) >= total // 5 or _stands(found))
        assert stage.relay is not None
        await asyncio.to_thread(stage.relay.end, signal.SIGKILL)
        await asyncio.to_thread(stage.start_relay)
        trips, tripped_at = 0, 0
        while True:
            found = await _until(admin, campaign, _stands)
            if found["state"] == "finished":
                break
            trips += 1
            tripped_at = tripped_at or _failed(found)
            if trips == 1:
                await asyncio.to_thread(broker.kill)
            await _again(lambda: _steer(admin, "resume", campaign))
        took = time.perf_counter() - begin
        own = Counter(state for device in fleet for state in device.states)
        own += await asyncio.to_thread(_in_journals, agents)
        counts = Counter(found["counts"])
    wrong = sum((counts - own).values()) + sum((own - counts).values())
    name = f"storm of {len(agents)} real and {len(signers)} simulated"
    return [
        Figure(f"{name}: start to finished", took, "s"),
        Figure(f"{name}: targets in no final state", total - _final(found), "", at_most=0),
        Figure(f"{name}: counted otherwise than by the devices", wrong, "", at_most=0),
        # Those that had been told already when the limit was passed may still fail.
        Figure(f"{name}: failed when the breaker tripped", tripped_at, "", at_least=_LIMIT + 1),
        Figure(f"{name}: times that it tripped", trips, "", at_least=1),
    ]


async def _again(act: Callable[[], Awaitable[object]]) -> None:
    """Do what a relay whose bus has just died may refuse at first."""
    for _ in range(60):
        try:
            await act()
            return
        except AssertionError:
            await asyncio.sleep(1)
    await act()


def _final(found: dict[str, Any]) -> int:
    open_states = ("planned", "eligible", "offered", "accepted", "running")
    return sum(count for state, count in found["counts"].items() if state not in open_states)


def _failed(found: dict[str, Any]) -> int:
    return int(found["counts"].get("failed", 0))


def _stands(found: dict[str, Any]) -> bool:
    return found["state"] in ("paused", "finished", "aborted")


def _in_journals(agents: list[AgentHome]) -> Counter[str]:
    states: Counter[str] = Counter()
    for agent in agents:
        journal = Journal(agent.home / "journal.db", read_only=True)
        try:
            rows = journal._rows("SELECT state FROM orders WHERE script = ?", _SCRIPT)
            states.update(row[0] for row in rows)
        finally:
            journal.close()
    return states
