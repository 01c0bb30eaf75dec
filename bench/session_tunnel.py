"""Bulk through `farhand forward` beside `ssh -L` through a pair of websocats, in the same run.

    farhand     source <- device's session <- relay <- farhand forward <- receiver
    websocat    source <- ssh server <- websocat <- websocat (ProxyCommand) <- ssh -L <- receiver

Both carry one TCP stream inside SSH inside a websocket.  The ssh server is OpenSSH's sshd on
loopback where it is installed, else asyncssh's.  The receiver counts 64 KiB reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.report import Figure
from bench.session_stage import Opened, open_session
from tests.support.sshd import Sshd
from tests.support.stage import free_port

__all__ = ["run"]

_CHUNK = bytes(64 * 1024)
_ROUNDS = 3
_READY_S = 30.0


@contextlib.asynccontextmanager
async def _source(size: int) -> AsyncIterator[int]:
    """Serve `size` bytes to whoever connects; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(size // len(_CHUNK)):
            writer.write(_CHUNK)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])


async def _receive(port: int) -> float:
    """Return the rate of one stream, in MB/s, from its first byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = len(await reader.read(1))
    start = time.perf_counter()
    while data := await reader.read(256 * 1024):
        got += len(data)
    rate = got / 1e6 / (time.perf_counter() - start)
    writer.close()
    await writer.wait_closed()
    return rate


async def _best(port: int) -> float:
    """Return the best of some rounds, once something listens there."""
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            await _receive(port)
            break
        except (OSError, ZeroDivisionError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
    return max([await _receive(port) for _ in range(_ROUNDS)])


@contextlib.asynccontextmanager
async def _process(*words: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)


async def _farhand(opened: Opened, source: int) -> float:
    local = free_port()
    spec = f"{local}:127.0.0.1:{source}"
    async with _process(*opened.console.words("forward", opened.session, spec)):
        return await _best(local)


@contextlib.asynccontextmanager
async def _ssh_server(folder: Path) -> AsyncIterator[tuple[str, int, Path]]:
    """Run an ssh server that forwards; gives its name, its port and the key it lets in."""
    if shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is not None:
        with Sshd(folder) as server:
            yield "sshd", server.port, server.key
        return
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    async with _process(sys.executable, "-m", "bench.direct_ssh", f"{key}.pub") as process:
        assert process.stdout is not None
        yield "asyncssh", int(await asyncio.to_thread(process.stdout.readline)), key


async def _websocat(source: int) -> tuple[str, float]:
    websocat = str(Path(sys.executable).with_name("websocat"))
    with tempfile.TemporaryDirectory() as text:
        async with _ssh_server(Path(text)) as (name, port, key):
            middle, local = free_port(), free_port()
            there = (f"ws-l:127.0.0.1:{middle}", f"tcp:127.0.0.1:{port}")
            proxy = shlex.join([websocat, "-b", "-E", "-B", "65536", f"ws://127.0.0.1:{middle}"])
            options = {
                "ProxyCommand": proxy,
                "StrictHostKeyChecking": "no",
                "UserKnownHostsFile": "/dev/null",
                "IdentityFile": str(key),
                "IdentitiesOnly": "yes",
                "ExitOnForwardFailure": "yes",
                "LogLevel": "ERROR",
                "Ciphers": "aes128-gcm@openssh.com",
            }
            given = [word for k, v in options.items() for word in ("-o", f"{k}={v}")]
            forward = ["-N", "-L", f"127.0.0.1:{local}:127.0.0.1:{source}", "loopback"]
            async with _process(websocat, "-b", "-E", "-B", "65536", *there):
                await _listening(middle)
                async with _process("ssh", "-F", "none", *given, *forward):
                    return name, await _best(local)


async def _listening(port: int) -> None:
    """Wait until something listens on a port, without connecting to it."""
    wanted = f":{port:04X} "
    while True:
        for line in Path("/proc/net/tcp").read_text().splitlines():
            if wanted in line and " 0A " in line:
                return
        await asyncio.sleep(0.05)


async def _measure(size: int) -> list[Figure]:
    async with _source(size) as source:
        to = f"127.0.0.1:{source}"
        scopes = ("view", "terminal", "files", "forward")
        policy = [word for scope in scopes for word in ("--scope", scope)]
        with open_session(
            scopes=",".join(scopes),
            forward_to=to,
            policy=(*policy, "--forward-to", to, "--cool-down-s", "0"),
        ) as opened:
            first = await _farhand(opened, source)
            name, other = await _websocat(source)
            second = await _farhand(opened, source)
    baseline = f"ssh -L, websocat, {name}"
    return [Figure("farhand forward, bulk", max(first, second), "MB/s", baseline, other)]


def run(*, quick: bool) -> list[Figure]:
    """Measure both, ours before and after."""
    if shutil.which("ssh") is None:
        print("  ssh is not installed: left out", file=sys.stderr)
        return []
    return asyncio.run(_measure(16_000_000 if quick else 256_000_000))
