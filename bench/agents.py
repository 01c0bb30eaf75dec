"""Many devices on one relay: connect rate, memory when idle, one order each and its answer.

The relay runs on one core, this simulator on another (where there are two).  Devices are enrolled
by writing their rows (with real tokens and enrolments) before the relay starts; everything after
that is the real path: handshakes, a campaign made, signed and started by the console, results
signed by each device.  The baseline sends one message to as many bare websockets and counts the
replies, on the same core with the same simulator.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.device import SimulatedDevice, answer_order
from bench.report import Figure
from bench.resident import memory_mib
from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import Ack, OfferOrder, ResultReport
from farhand_protocol.tokens import Enrolment, Token
from tests.support.stage import ConsoleHome, Stage

__all__ = ["enrol_simulated", "run"]

_DIALS = 64
_SETTLE_S = 120.0


def run(*, quick: bool) -> list[Figure]:
    """Measure a thousand and five thousand devices."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        figures = []
        for count in (100,) if quick else (1000, 5000):
            with _own_core(1):
                figures += _measure(count)
        return figures
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def _own_core(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, {sorted(before)[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _pin_other_core(pid: int) -> None:
    """Put a server on the first core, away from the simulator."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {0})


def _measure(count: int) -> list[Figure]:
    baseline_s = asyncio.run(_baseline(count))
    with Stage() as stage:
        stage.init_relay()
        stage.start_relay()
        admin = stage.first_admin()
        assert stage.relay is not None
        stage.relay.end()
        signers = enrol_simulated(stage, admin, count)
        relay = stage.start_relay()
        _pin_other_core(relay.popen.pid)
        return asyncio.run(_drive(stage, admin, signers, relay.popen.pid, baseline_s))


def enrol_simulated(stage: Stage, admin: ConsoleHome, count: int) -> list[SeedSigner]:
    """Write `count` enrolled devices, each with an enrolment that the console can verify."""
    context = Context(Home(admin.home), as_json=True)
    settings = context.settings
    now = datetime.now(UTC).replace(microsecond=0)
    token_key = SeedSigner(os.urandom(32))
    token = Token(
        tenant=settings.tenant,
        id="t-benchbenchbenchb",
        key=token_key.public_key,
        group="bench",
        uses=count,
        created_at=format_instant(now),
        expires=format_instant(now + timedelta(days=1)),
    )
    sealed = encode_envelope(seal(token, context.signer()))
    signers = [SeedSigner(os.urandom(32)) for _ in range(count)]
    rows: list[dict[str, Any]] = []
    for number, signer in enumerate(signers):
        device = SimulatedDevice(stage.url, signer, tenant="", role="device").device
        enrolment = Enrolment(
            tenant=settings.tenant,
            token=token.id,
            device=device,
            device_key=signer.public_key,
            group="bench",
            name=f"bench-{number}",
            at=format_instant(now),
        )
        rows.append(
            {
                "tenant": settings.tenant,
                "id": device,
                "key": signer.public_key,
                "name": f"bench-{number}",
                "device_group": "bench",
                "token": token.id,
                "enrolment": encode_envelope(seal(enrolment, token_key, signer)),
                "confirmed": 1,
                "os": "bench",
                "host_name": device,
                "agent_version": "bench",
                "enrolled_at": format_instant(now),
                "timestamp_version": 0,
                "targets_version": 0,
            }
        )
    database = sqlite3.connect(stage.relay_home / "farhand.db")
    with database:
        database.execute(
            "insert into enrolment_tokens (tenant, id, key, envelope, signed_by, device_group,"
            " uses, uses_left, created_by, created_at, expires_at)"
            " values (?, ?, ?, ?, 'admin', 'bench', ?, 0, 'admin', ?, ?)",
            (
                settings.tenant,
                token.id,
                token.key,
                sealed,
                count,
                token.created_at,
                token.expires,
            ),
        )
        names = list(rows[0])
        marks = ", ".join(f":{name}" for name in names)
        database.executemany(
            f"insert into devices ({', '.join(names)}) values ({marks})",
            rows,
        )
    database.close()
    return signers


async def _drive(
    stage: Stage, admin: ConsoleHome, signers: list[SeedSigner], pid: int, baseline_s: float
) -> list[Figure]:
    count = len(signers)
    tenant = Context(Home(admin.home), as_json=True).settings.tenant
    empty_mib, _ = memory_mib(pid)
    devices = [SimulatedDevice(stage.url, one, tenant=tenant, role="device") for one in signers]
    gate = asyncio.Semaphore(_DIALS)

    async def dial(device: SimulatedDevice) -> None:
        async with gate:
            await device.open()

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for device in devices:
            group.create_task(dial(device))
    connect_s = time.perf_counter() - start
    await asyncio.sleep(3)
    full_mib, _ = memory_mib(pid)

    answered = 0
    done = asyncio.Event()

    async def serve_orders(device: SimulatedDevice) -> None:
        nonlocal answered
        while True:
            message = await device.receive()
            if isinstance(message, OfferOrder):
                order, envelope = answer_order(device, message.envelope)
                await device.send(ResultReport(seq=1, order=order, envelope=envelope))
            elif isinstance(message, Ack):
                answered += 1
                if answered == count:
                    done.set()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(serve_orders(device)) for device in devices]
        words = ("campaign", "create", "--script", "check.uptime", "--query", "*")
        campaign = (await asyncio.to_thread(admin.json, *words))["campaign"]
        start = time.perf_counter()
        await asyncio.to_thread(admin.json, "campaign", "start", campaign)
        signed_s = time.perf_counter() - start
        async with asyncio.timeout(_SETTLE_S):
            await done.wait()
        all_s = time.perf_counter() - start
        for task in tasks:
            task.cancel()
    relay = Context(Home(admin.home), as_json=True).relay
    report = await asyncio.to_thread(relay.get, f"/campaigns/{campaign}/report", dict[str, Any])
    for device in devices:
        device.websocket.transport.abort()
    succeeded = report["counts"].get("succeeded", 0)
    per_agent = (full_mib - empty_mib) * 1024 / count
    return [
        Figure(f"{count} agents: connected", count / connect_s, "links/s"),
        Figure(f"{count} agents: relay memory each", per_agent, "KiB", at_most=16),
        Figure(f"{count} agents: one order each, all stored", all_s, "s", "broadcast", baseline_s),
        Figure(f"{count} agents: of that, verified and signed", signed_s, "s"),
        Figure(f"{count} agents: results lost", count - succeeded, "", at_most=0),
    ]


@contextlib.asynccontextmanager
async def _bare_server() -> AsyncIterator[tuple[int, subprocess.Popen[bytes]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.agents"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await asyncio.to_thread(process.stdout.readline))
        _pin_other_core(process.pid)
        yield port, process
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)


async def _baseline(count: int) -> float:
    """Return the seconds that a bare broadcast to `count` websockets and its replies take."""
    async with _bare_server() as (port, process):
        gate = asyncio.Semaphore(_DIALS)

        async def dial() -> ClientConnection:
            async with gate:
                return await connect(
                    f"ws://127.0.0.1:{port}", compression=None, proxy=None, ping_interval=None
                )

        sockets = await asyncio.gather(*(dial() for _ in range(count)))
        replied = 0

        async def reply(websocket: ClientConnection) -> None:
            nonlocal replied
            await websocket.recv()
            await websocket.send(bytes(1000))
            replied += 1

        start = time.perf_counter()
        process.send_signal(signal.SIGUSR1)
        await asyncio.gather(*(reply(one) for one in sockets))
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        took = time.perf_counter() - start
        for one in sockets:
            one.transport.abort()
        return took


async def _serve_bare() -> None:
    """The baseline server: on SIGUSR1 one message to all, then a line when all have replied."""
    connections: set[ServerConnection] = set()
    waiting = 0

    async def handle(connection: ServerConnection) -> None:
        nonlocal waiting
        connections.add(connection)
        async for _ in connection:
            waiting -= 1
            if waiting == 0:
                print("all", flush=True)

    def begin() -> None:
        nonlocal waiting
        waiting = len(connections)
        broadcast(connections, bytes(1000))

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, begin)
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve_bare())
