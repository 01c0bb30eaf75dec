"""What one part of the application brings along."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from farhand_server.relay import Relay

__all__ = ["Area", "Hook"]

Hook = Callable[[Relay], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Area:
    """A part of the application.

    Attributes:
        name: for logs.
        controllers: Litestar controllers or handlers, under `/api/v1`.
        public: handlers outside `/api/v1`.
        statuses: HTTP status of each error code that only this area raises.
        start: called once the database is open and before the port listens; spawns loops with
            `relay.tasks.spawn`.
        drain: called when the relay stops, after the port was closed: tell peers, let go.
    """

    name: str
    controllers: Sequence[Any] = ()
    public: Sequence[Any] = ()
    statuses: Mapping[str, int] = dataclasses.field(default_factory=dict)
    start: Hook | None = None
    drain: Hook | None = None
