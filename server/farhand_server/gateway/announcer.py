"""Tells the other nodes who came and went, many with one note.

When a node restarts or loses its network, thousands of devices move at once; a note for each would
overrun the bus.  What is still to be told is one entry per device, its last state, and one task
tells it, only while there is something to tell.  A lost note is found by the count that each beat
carries.
"""

from __future__ import annotations

import logging

from farhand_protocol.errors import FarhandError
from farhand_server.relay import Relay
from farhand_server.sessions import control

__all__ = ["Announcer"]

logger = logging.getLogger(__name__)

_BATCH = 500


class Announcer:
    """The notes of one node.

    Args:
        relay: the wiring.
        node: this node's random name.
    """

    def __init__(self, relay: Relay, node: str) -> None:
        self._relay = relay
        self._node = node
        self._pending: dict[str, bool] = {}
        self._is_working = False

    def came(self, device: str) -> None:
        """Tell that a device has just connected here."""
        self._put(device, is_here=True)

    def went(self, device: str) -> None:
        """Tell that a device is no longer connected here."""
        self._put(device, is_here=False)

    def _put(self, device: str, *, is_here: bool) -> None:
        self._pending[device] = is_here
        if not self._is_working:
            self._is_working = True
            self._relay.tasks.spawn(self._work(), name="presence notes")

    async def _work(self) -> None:
        try:
            await self.flush()
        finally:
            self._is_working = False

    async def flush(self) -> None:
        """Tell everything that is still to be told."""
        while self._pending:
            batch = [self._pending.popitem() for _ in range(min(_BATCH, len(self._pending)))]
            came = [device for device, is_here in batch if is_here]
            went = [device for device, is_here in batch if not is_here]
            if came:
                await self.tell(control.Here(node=self._node, devices=came, connected=True))
            if went:
                await self.tell(control.Gone(node=self._node, devices=went))

    async def tell(self, note: control.Note) -> None:
        """Publish a note; a bus that is away is logged, since nothing depends on one note."""
        try:
            subject = control.nodes_subject(self._relay.tenant)
            await self._relay.bus.publish(subject, control.encode(note))
        except FarhandError as error:
            logger.warning("the other nodes were not told: %s", error)
