"""SSH on a session's pipe: asyncssh as the client, the device's key pinned, nothing forwarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncssh

from farhand_console.home import Home
from farhand_console.relay import Relay
from farhand_console.session.pipe import ConsolePipe, PipeTunnel
from farhand_console.session.record import SessionRecord, claim_pipe, key_file
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import public_key_line

__all__ = ["connect_ssh", "open_pipe"]

_LOGIN_S = 30.0


@asynccontextmanager
async def open_pipe(
    home: Home, relay: Relay, record: SessionRecord, *, notice: Callable[[str], None]
) -> AsyncIterator[ConsolePipe]:
    """Hold one of the session's pipes and drive it while the block runs."""
    with claim_pipe(home, record.session) as number:
        pipe = ConsolePipe(relay, record.session, number, notice=notice)
        async with asyncio.TaskGroup() as group:
            driver = group.create_task(pipe.run())
            try:
                yield pipe
            finally:
                pipe.end()
                # The last frames, CLOSE among them, get a moment to leave.
                await asyncio.wait((driver,), timeout=2)
                driver.cancel()


@asynccontextmanager
async def connect_ssh(
    home: Home, relay: Relay, record: SessionRecord, *, notice: Callable[[str], None]
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Open an SSH connection of its own on the session.

    Raises:
        FarhandError: `session-ended`, `session-not-connected`, `session-busy` and other answers of
            the relay; `host-key-mismatch` when whoever answers is not the device;
            `session-denied` when the device no longer accepts the session's key.
    """
    async with open_pipe(home, relay, record, notice=notice) as pipe:
        host_key = asyncssh.import_public_key(public_key_line(record.device_key))
        try:
            async with asyncio.timeout(_LOGIN_S):
                connection = await asyncssh.connect(
                    record.device,
                    tunnel=PipeTunnel(pipe),
                    username=record.session,
                    client_keys=[str(key_file(home, record.session))],
                    known_hosts=([host_key], [], []),
                    config=None,
                    agent_path=None,
                    agent_forwarding=False,
                    x11_forwarding=False,
                    keepalive_interval=0,
                    preferred_auth="publickey",
                    encryption_algs=[
                        "aes128-gcm@openssh.com",
                        "aes256-gcm@openssh.com",
                        "chacha20-poly1305@openssh.com",
                    ],
                    compression_algs=["none"],
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise FarhandError(
                "host-key-mismatch",
                "whoever answers does not hold the device's key",
                hint="the relay may be lying; nothing was sent",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise FarhandError(
                "session-denied", "the device does not accept this session any more"
            ) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            words = f"the session could not be joined ({pipe.reason or 'no answer'})"
            code = pipe.reason if pipe.reason == "session-ended" else "session-lost"
            raise FarhandError(code, words, detail=str(error)) from error
        try:
            yield connection
        finally:
            connection.close()
            try:
                async with asyncio.timeout(2):
                    await connection.wait_closed()
            except (TimeoutError, asyncssh.Error, OSError):
                connection.abort()
