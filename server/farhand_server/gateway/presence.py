"""Who is connected, in memory, on this node and by the others' word; last-seen in batches.

No heartbeat reaches the database.  A node tells the others when a device comes and goes, beats
every few seconds, and is forgotten with its devices when its beat stops.  `last_seen` is written
for all connected devices together, in batches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from sqlalchemy import bindparam, update

from farhand_server.clock import Clock, stamp
from farhand_server.store.database import Database
from farhand_server.store.schema import devices

__all__ = ["BEAT_S", "FLUSH_S", "Presence"]

logger = logging.getLogger(__name__)

BEAT_S = 10.0
FLUSH_S = 60.0
_NODE_LOST_S = 35.0
_BATCH = 500


class Presence:
    """Connected devices of one tenant.

    Args:
        tenant: organisation.
        db: where last-seen is kept.
        clock: both times are used.
        node: this node's random name.
    """

    def __init__(self, *, tenant: str, db: Database, clock: Clock, node: str) -> None:
        self._tenant = tenant
        self._db = db
        self._clock = clock
        self.node = node
        self._here: set[str] = set()
        self._elsewhere: dict[str, set[str]] = {}
        self._beats: dict[str, float] = {}
        self._left: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._here)

    def is_online(self, device: str) -> bool:
        """Tell whether the device is connected to any node, as far as this one knows."""
        return device in self._here or any(device in held for held in self._elsewhere.values())

    def online(self) -> frozenset[str]:
        """Return every device that is connected to any node, as far as this one knows."""
        return frozenset().union(self._here, *self._elsewhere.values())

    def came(self, device: str) -> None:
        """Note a device on this node."""
        self._here.add(device)
        self._left.pop(device, None)

    def went(self, device: str) -> None:
        """Note that a device left this node; its time goes out with the next flush."""
        self._here.discard(device)
        self._left[device] = stamp(self._clock.now())

    def here(self, *, chunk: int = _BATCH) -> Iterator[list[str]]:
        """Yield the devices of this node in lists of at most `chunk`."""
        held = sorted(self._here)
        for start in range(0, len(held), chunk):
            yield held[start : start + chunk]

    # Other nodes.

    def heard_here(self, node: str, found: list[str]) -> None:
        """Note devices on another node."""
        self.heard_beat(node)
        self._elsewhere.setdefault(node, set()).update(found)

    def heard_gone(self, node: str, left: list[str]) -> None:
        """Note that devices left another node."""
        self._elsewhere.get(node, set()).difference_update(left)

    def heard_beat(self, node: str, count: int | None = None) -> bool:
        """Note that another node is alive.

        Returns: False when it has another number of devices than this node knows of; these are
            forgotten, and it should be asked.
        """
        self._beats[node] = self._clock.monotonic()
        known = self._elsewhere.get(node, set())
        if count is None or count == len(known):
            return True
        self._elsewhere[node] = set()
        return False

    def forget_silent(self) -> None:
        """Drop nodes whose beat stopped."""
        limit = self._clock.monotonic() - _NODE_LOST_S
        for node in [node for node, at in self._beats.items() if at < limit]:
            logger.warning("node %s is silent; its devices count as gone", node)
            del self._beats[node]
            self._elsewhere.pop(node, None)

    # The database.

    async def flush(self) -> int:
        """Write last-seen of all connected and of all just left devices; return how many.

        Raises:
            FarhandError: as `Database.write`; what was not written comes with the next flush.
        """
        now = stamp(self._clock.now())
        due = {**dict.fromkeys(self._here, now), **self._left}
        left, self._left = self._left, {}
        rows = [{"device": device, "at": at} for device, at in due.items()]
        statement = (
            update(devices)
            .where(devices.c.tenant == self._tenant, devices.c.id == bindparam("device"))
            .values(last_seen=bindparam("at"))
        )
        try:
            for start in range(0, len(rows), _BATCH):
                async with self._db.write() as c:
                    await c.execute(statement, rows[start : start + _BATCH])
        except BaseException:
            self._left = {**left, **self._left}
            raise
        return len(rows)
