"""Looks up the devices that have just proved their keys, many with one query.

After a restart thousands of devices prove themselves within seconds; one query each would cost more
than all signatures together.  So whoever waits is looked up together with the others that wait.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select

from farhand_protocol.audit import encode_head
from farhand_protocol.errors import FarhandError
from farhand_server.gateway.protocol import CLOSE_OVERLOAD
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, trust_metadata

if TYPE_CHECKING:
    from farhand_server.gateway.link import Link

__all__ = ["Admission", "Standing"]

logger = logging.getLogger(__name__)

Standing = Literal["enrolled", "guest", "unknown", "retired"]

_BATCH = 200


class Admission:
    """The queue of proved links.

    Args:
        relay: the wiring.
        admitted: called for each link, one after another, with its standing, the version of the
            newest timestamp metadata, and the encoded head of the audit.
    """

    def __init__(
        self, relay: Relay, admitted: Callable[[Link, Standing, int, bytes], Awaitable[None]]
    ) -> None:
        self._relay = relay
        self._admitted = admitted
        self._waiting: deque[Link] = deque()
        self._is_working = False

    def ask(self, link: Link) -> None:
        """Queue a link whose key was proved."""
        self._waiting.append(link)
        if not self._is_working:
            self._is_working = True
            self._relay.tasks.spawn(self._work(), name="link admission")

    async def _work(self) -> None:
        try:
            while self._waiting:
                size = min(_BATCH, len(self._waiting))
                await self._admit([self._waiting.popleft() for _ in range(size)])
        finally:
            self._is_working = False

    async def _admit(self, batch: list[Link]) -> None:
        try:
            version, head, found = await self._look_up({link.device for link in batch})
        except FarhandError as error:
            logger.warning("%d links were not admitted: %s", len(batch), error)
            for link in batch:
                link.close(CLOSE_OVERLOAD, error.code)
            return
        for link in batch:
            key, is_retired = found.get(link.device, (b"", False))
            standing: Standing = "unknown"
            # The id is a hash of the key cut to 128 bits; the whole key decides.
            if key == link.device_key:
                standing = "retired" if is_retired else "enrolled"
            await self._admitted(link, standing, version, head)

    async def _look_up(self, ids: set[str]) -> tuple[int, bytes, dict[str, tuple[bytes, bool]]]:
        tenant = self._relay.tenant
        async with self._relay.db.read() as c:
            version = await c.scalar(
                select(func.max(trust_metadata.c.version)).where(
                    trust_metadata.c.tenant == tenant, trust_metadata.c.role == "timestamp"
                )
            )
            rows = await c.execute(
                select(devices.c.id, devices.c.key, devices.c.retired_at).where(
                    devices.c.tenant == tenant, devices.c.id.in_(ids)
                )
            )
            found = {row.id: (bytes(row.key), row.retired_at is not None) for row in rows}
            head = await self._relay.audit.head(c)
        return version or 0, encode_head(head), found
