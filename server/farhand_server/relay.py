"""The relay as one object: what every service and every route needs, passed in, never global.

`Relay` is made by `app.open_relay` (or by a test from parts).  A service that lives as long as the
relay is reached with `relay.service(make_thing)`, where `make_thing(relay) -> Thing` stands in the
module that owns the thing: made at first use, one per relay.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from farhand_protocol.keys import Signer
from farhand_server.audit import Audit
from farhand_server.bus.bus import Bus
from farhand_server.clock import Clock, stamp
from farhand_server.config import Settings
from farhand_server.store.database import Database
from farhand_server.tasks import Tasks

__all__ = ["Relay"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Relay:
    """The wiring.

    Attributes:
        settings: what was configured.
        tenant: the organisation's id (same as `settings.tenant`).
        db: the database.
        bus: messages between nodes.
        signer: the relay key: link handshakes, audit heads, TUF snapshot and timestamp.
        tls_sha256: SHA-256 of the own certificate (DER), empty without one.
        audit: the audit chain.
        clock: the time.
        tasks: owner of all background work.
        random: cryptographic random bytes.
    """

    settings: Settings
    db: Database
    bus: Bus
    signer: Signer
    tls_sha256: bytes
    audit: Audit
    clock: Clock
    tasks: Tasks
    random: Callable[[int], bytes] = os.urandom
    _services: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def tenant(self) -> str:
        """Return the organisation's id."""
        return self.settings.tenant

    def now(self) -> datetime:
        """Return the aware UTC time."""
        return self.clock.now()

    def stamp(self) -> str:
        """Return the time as the tables keep it."""
        return stamp(self.clock.now())

    def service(self, make: Callable[[Relay], T]) -> T:
        """Return the one service that `make` makes for this relay."""
        if make not in self._services:
            self._services[make] = make(self)
        made: T = self._services[make]
        return made
