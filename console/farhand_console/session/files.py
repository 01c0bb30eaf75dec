"""cp: files and folders both ways over SFTP, in small blocks, with progress.

Blocks are bounded (128 KiB, 16 under way) so that neither end buffers more than about 2 MiB; the
library's own default would take hundreds.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable
from pathlib import Path

import asyncssh

from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["Endpoint", "copy", "parse_endpoint"]

_BLOCK = 128 * 1024
_REQUESTS = 16
Progress = Callable[[bytes, bytes, int, int], None]


class Endpoint:
    """One side of a copy: a local path, or `S:path` on a device."""

    def __init__(self, session: str | None, path: str) -> None:
        self.session = session
        self.path = path


def parse_endpoint(text: str) -> Endpoint:
    """Read `PATH` or `S:PATH`; a path with a slash before the colon is local."""
    name, colon, path = text.partition(":")
    if colon and name and "/" not in name and not name.startswith("."):
        return Endpoint(name, path or ".")
    return Endpoint(None, text)


def check_pair(source: Endpoint, target: Endpoint) -> str:
    """Return the session that one of the two names.

    Raises:
        UsageError: `usage` unless exactly one side is remote.
    """
    if (source.session is None) == (target.session is None):
        raise UsageError(
            "usage", "one of the two must be on a device", hint="farhand cp FILE SESSION:PATH"
        )
    return source.session or target.session or ""


async def copy(
    connection: asyncssh.SSHClientConnection,
    source: Endpoint,
    target: Endpoint,
    *,
    recurse: bool,
    progress: Progress | None,
) -> None:
    """Copy a file or folder up or down.

    Raises:
        FarhandError: `scope-missing`, `copy-failed`.
    """
    try:
        async with connection.start_sftp_client() as sftp:
            if source.session is None:
                local = Path(source.path)
                if not await asyncio.to_thread(local.exists):
                    raise FarhandError("copy-failed", f"there is no {local}")
                remote = target.path
                if await sftp.isdir(remote):
                    remote = posixpath.join(remote, local.name)
                await sftp.put(
                    str(local),
                    remote,
                    recurse=recurse,
                    block_size=_BLOCK,
                    max_requests=_REQUESTS,
                    progress_handler=progress,
                )
            else:
                await sftp.get(
                    source.path,
                    target.path,
                    recurse=recurse,
                    block_size=_BLOCK,
                    max_requests=_REQUESTS,
                    progress_handler=progress,
                )
    except asyncssh.ChannelOpenError as error:
        raise FarhandError(
            "scope-missing", "the session does not include files", detail=str(error)
        ) from error
    except (asyncssh.SFTPError, OSError, UnicodeError) as error:
        words = str(getattr(error, "reason", None) or error)
        what = f"{source.path[:200]} to {target.path[:200]}"
        raise FarhandError("copy-failed", f"{what}: {words[:300]}") from error
    except asyncssh.Error as error:
        raise FarhandError("session-lost", "the session ended during the copy") from error
