"""This machine's host name, as orders and grants must name it."""

from __future__ import annotations

import socket

__all__ = ["host_name"]


def host_name() -> str:
    """Return the host name, at most 255 characters."""
    return socket.gethostname()[:255]
