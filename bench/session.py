"""A relayed session against the same asyncssh pair over direct TCP.

Three processes for the relayed path (agent's session process, relay, this one), two for the direct
one.  Bulk is counted in MB (10^6 bytes) a second; echo is one byte there and back through `cat`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh

from bench.report import Figure, percentile
from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_console.session.record import load
from farhand_console.session.ssh import connect_ssh
from tests.support.stage import Stage

__all__ = ["echo", "receive", "run"]

_BLOCK = 128 * 1024
_REQUESTS = 16
_ROUNDS = 3


async def receive(
    connection: asyncssh.SSHClientConnection, size: int, *, source: str = "</dev/zero"
) -> float:
    """Have a program write `size` bytes to us; return the rate in MB/s."""
    start = time.perf_counter()
    process = await connection.create_process(f"{source} head -c {size}", encoding=None)
    got = 0
    while data := await process.stdout.read(256 * 1024):
        got += len(data)
    await process.wait_closed()
    if got != size:
        raise AssertionError(f"{got} of {size} bytes arrived")
    return size / 1e6 / (time.perf_counter() - start)


async def _get(connection: asyncssh.SSHClientConnection, source: Path, target: Path) -> float:
    async with connection.start_sftp_client() as sftp:
        start = time.perf_counter()
        await sftp.get(str(source), str(target), block_size=_BLOCK, max_requests=_REQUESTS)
        return source.stat().st_size / 1e6 / (time.perf_counter() - start)


async def _put(connection: asyncssh.SSHClientConnection, source: Path, target: Path) -> float:
    async with connection.start_sftp_client() as sftp:
        start = time.perf_counter()
        await sftp.put(str(source), str(target), block_size=_BLOCK, max_requests=_REQUESTS)
        return source.stat().st_size / 1e6 / (time.perf_counter() - start)


async def echo(connection: asyncssh.SSHClientConnection, count: int) -> list[float]:
    """Send one byte there and back so many times; return what each took, in ms."""
    process = await connection.create_process("cat", encoding=None)
    took = []
    for _ in range(count):
        start = time.perf_counter()
        process.stdin.write(b"x")
        await process.stdout.readexactly(1)
        took.append((time.perf_counter() - start) * 1000)
    process.stdin.write_eof()
    await process.wait_closed()
    return took


async def _measure(
    connection: asyncssh.SSHClientConnection, folder: Path, size: int, echoes: int
) -> dict[str, float]:
    source = folder / "source"
    with source.open("wb") as file:
        for _ in range(size // 1_000_000):
            file.write(bytes(1_000_000))
    best: dict[str, float] = {}

    async def keep(name: str, work: Callable[[], Awaitable[float]]) -> None:
        best[name] = max(best.get(name, 0.0), await work())

    for _ in range(_ROUNDS):
        await keep("exec", lambda: receive(connection, size))
        await keep("get", lambda: _get(connection, source, folder / "got"))
        await keep("put", lambda: _put(connection, source, folder / "put"))
    await echo(connection, 50)
    took = await echo(connection, echoes)
    best["echo_p50"], best["echo_p99"] = percentile(took, 0.5), percentile(took, 0.99)
    return best


async def _relayed(
    stage: Stage, home: Path, session: str, size: int, echoes: int
) -> dict[str, float]:
    context = Context(Home(home), as_json=True)
    record = load(context.home, session)
    with tempfile.TemporaryDirectory() as folder:
        async with connect_ssh(
            context.home, context.relay, record, notice=lambda words: print(words, file=sys.stderr)
        ) as connection:
            return await _measure(connection, Path(folder), size, echoes)


async def _direct(size: int, echoes: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        key = asyncssh.generate_private_key("ssh-ed25519")
        (folder / "authorized").write_bytes(key.export_public_key())
        server = subprocess.Popen(
            [sys.executable, "-m", "bench.direct_ssh", str(folder / "authorized")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert server.stdout is not None
        try:
            port = int(await asyncio.to_thread(server.stdout.readline))
            async with asyncssh.connect(
                "127.0.0.1",
                port,
                username="bench",
                client_keys=[key],
                known_hosts=None,
                config=None,
                agent_path=None,
                encryption_algs=["aes128-gcm@openssh.com"],
                compression_algs=["none"],
            ) as connection:
                return await _measure(connection, folder, size, echoes)
        finally:
            server.communicate(timeout=20)


def run(*, quick: bool) -> list[Figure]:
    """Measure both paths, direct before and after, and compare with the better direct run."""
    size, echoes = (8_000_000, 100) if quick else (96_000_000, 1000)
    with Stage() as stage:
        stage.init_relay()
        stage.start_relay()
        admin = stage.first_admin(library=False)
        agent = stage.agent("bench")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        helper = agent.code("--yes")
        opened = admin.json("session", "open", "--code", helper.next_json()["code"])
        first = asyncio.run(_direct(size, echoes))
        relayed = asyncio.run(_relayed(stage, admin.home, opened["session"], size, echoes))
        second = asyncio.run(_direct(size, echoes))
    figures = []
    for name in ("exec", "get", "put"):
        direct = max(first[name], second[name])
        figures.append(
            Figure(f"relayed {name}", relayed[name], "MB/s", "direct TCP", direct, at_least=0.5)
        )
    for name, bound in (("echo_p50", 2.5), ("echo_p99", None)):
        direct = min(first[name], second[name])
        figures.append(
            Figure(f"relayed {name}", relayed[name], "ms", "direct TCP", direct, at_most=bound)
        )
    return figures
