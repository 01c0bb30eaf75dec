"""The baseline server of the session suite: asyncssh over plain TCP, nothing of Farhand.

Prints its port, then serves until its stdin ends.  Exec runs a shell command; SFTP and forwarding
are asyncssh's.
"""

from __future__ import annotations

import asyncio
import sys

import asyncssh

_CHUNK = 32 * 1024


async def _run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    child = await asyncio.create_subprocess_shell(
        process.command or "cat",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    outlet, inlet = child.stdin, child.stdout

    async def feed() -> None:
        try:
            while data := await process.stdin.read(_CHUNK):
                outlet.write(data)
                await outlet.drain()
        except (asyncssh.BreakReceived, ConnectionError):
            return
        finally:
            outlet.close()

    async with asyncio.TaskGroup() as group:
        feeder = group.create_task(feed())
        while data := await inlet.read(_CHUNK):
            process.stdout.write(data)
            await process.stdout.drain()
        feeder.cancel()
    process.exit(await child.wait())


class _Server(asyncssh.SSHServer):
    """Forwards to anywhere."""

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        return True


async def _serve(authorized: str) -> None:
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=authorized,
        server_factory=_Server,
        process_factory=_run,
        sftp_factory=True,
        encoding=None,
        encryption_algs=["aes128-gcm@openssh.com"],
        compression_algs=["none"],
    )
    print(server.get_port(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
