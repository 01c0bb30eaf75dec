"""One GET over a Unix socket, bounded in time and size: how snapd is asked."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Final

from farhand_agent.inventory.context import Denied, Malformed

__all__ = ["get"]

_MAX_BYTES: Final = 4 * 1024 * 1024


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get(path: Path, target: str, *, timeout_s: float) -> bytes:
    """Return the body of the answer.

    Args:
        path: the socket.
        target: what is asked for.
        timeout_s: for each step.

    Raises:
        Denied: this user may not ask.
        Malformed: there is no answer, a bad one, or one of more than 4 MiB.
    """
    connection = _Connection(path, timeout_s)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        body = answer.read(_MAX_BYTES + 1)
    except PermissionError as error:
        raise Denied(f"{path.name} does not talk to this user") from error
    except (OSError, http.client.HTTPException) as error:
        raise Malformed(path.name) from error
    finally:
        connection.close()
    if answer.status != 200 or len(body) > _MAX_BYTES:
        raise Malformed(path.name)
    return body
