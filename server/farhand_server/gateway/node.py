"""The gateway of one node: everything about its websockets, put together and kept going.

`relay.service(make_gateway)` is the one of this relay.  `open` subscribes, `start` also runs the
loops (timer ticks, presence, sweeps), `drain` lets all peers go in a fixed order.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from farhand_protocol.errors import FarhandError
from farhand_server.bus.bus import Subscription
from farhand_server.gateway.announcer import Announcer
from farhand_server.gateway.doorway import Doorway
from farhand_server.gateway.figures import REFUSED, GatewayFigures
from farhand_server.gateway.limits import GatewayLimits
from farhand_server.gateway.links import Links
from farhand_server.gateway.pipes import Pipes
from farhand_server.gateway.presence import BEAT_S, FLUSH_S, Presence
from farhand_server.gateway.rendezvous import Rendezvous
from farhand_server.gateway.timers import TimerWheel
from farhand_server.gateway.trust_files import TrustFiles, notice_of
from farhand_server.metrics import make_metrics
from farhand_server.relay import Relay
from farhand_server.sessions import control
from farhand_server.sessions.members import make_members
from farhand_server.sessions.recordings import make_recordings
from farhand_server.sessions.reports import make_reports
from farhand_server.sessions.service import make_sessions

__all__ = ["Gateway", "make_gateway"]

logger = logging.getLogger(__name__)

_TICK_S = 0.25
_SWEEP_S = 30.0


class Gateway:
    """One node's links, pipes and rendezvous.

    Args:
        relay: the wiring.
        limits: bounds.
        node_url: address under which consoles reach this very node.

    Attributes:
        doorway, links, pipes, presence, rendezvous, wheel: the parts.
    """

    def __init__(self, relay: Relay, *, limits: GatewayLimits, node_url: str) -> None:
        self._relay = relay
        self._subscriptions: list[Subscription] = []
        self.node = secrets.token_hex(8)
        self.sessions = relay.service(make_sessions)
        self.recordings = relay.service(make_recordings)
        self.wheel = TimerWheel(now=relay.clock.monotonic(), tick_s=_TICK_S)
        self.presence = Presence(
            tenant=relay.tenant, db=relay.db, clock=relay.clock, node=self.node
        )
        self.pipes = Pipes(clock=relay.clock, wheel=self.wheel, limits=limits)
        self._announcer = Announcer(relay, self.node)
        self.links = Links(relay, limits=limits, presence=self.presence, announcer=self._announcer)
        self.rendezvous = Rendezvous(
            relay, sessions=self.sessions, pipes=self.pipes, limits=limits, node_url=node_url
        )
        self.doorway = Doorway(
            clock=relay.clock,
            wheel=self.wheel,
            limits=limits,
            routes={"/agent": self.links.make_endpoint, "/pipe": self.pipes.make_endpoint},
        )
        self.links.use(self.doorway)
        self.pipes.use(self.doorway)
        self.links.dispatcher.serve_control(self.rendezvous.on_control)
        # Before the session itself, so that nobody is in one that has ended.
        self.plug(relay.service(make_members))
        self.plug(relay.service(make_reports))
        self.plug(self.recordings)
        self.plug(self.rendezvous)
        self.plug(TrustFiles(relay))

    def plug(self, service: object) -> None:
        """Take a service's handlers of device messages; see `handlers.LinkHandler`."""
        self.links.dispatcher.plug(service)

    async def open(self) -> None:
        """Hold the subjects of this node, and ask the others who is where."""
        bus, tenant = self._relay.bus, self._relay.tenant
        self._subscriptions = [
            await bus.subscribe(control.nodes_subject(tenant), self._on_note),
            await bus.subscribe(f"trust.{tenant}", self._on_trust),
        ]
        await self._announcer.tell(control.Join(node=self.node))

    async def start(self) -> None:
        """Open, and keep going until the relay's tasks end."""
        await self.open()
        spawn = self._relay.tasks.spawn
        spawn(self._tick(), name="timer wheel")
        spawn(self._every(BEAT_S, self._beat), name="presence beat")
        spawn(self._every(FLUSH_S, self._flush), name="presence flush")
        spawn(self._every(_SWEEP_S, self._sweep), name="session sweep")

    async def drain(self) -> None:
        """Take no more upgrades, let links and pipes go, write the last presence."""
        self.doorway.is_draining = True
        told = await self.links.drain()
        self.pipes.drain()
        logger.info("drained %d links", told)
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.close()
        await self._flush()

    def figures(self) -> dict[str, int]:
        """Return counters for the metrics; their words stand in `figures`."""
        refused = self.doorway.refused + self.links.refused
        return {
            "connections": self.doorway.connections,
            "unproved": self.doorway.unproved,
            "links": len(self.links),
            "devices": len(self.presence),
            "key_conflicts": self.links.conflicts,
            "pipes": len(self.pipes),
            "pipe_bytes": self.pipes.bytes_spliced,
            "pipes_refused": self.pipes.refused,
            "inbound_bytes": self.links.inbound_bytes,
            **{f"{REFUSED}{code}": count for code, count in refused.items()},
        }

    # Loops.

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.wheel.advance(self._relay.clock.monotonic())

    async def _every(self, period_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(period_s)
            try:
                await work()
            except FarhandError as error:
                # The database or the bus is away; the next round makes up for it.
                logger.warning("%s: %s", work.__name__, error)

    async def _beat(self) -> None:
        self.presence.forget_silent()
        # What is still to be told goes first, so that the count is right when it arrives.
        await self._announcer.flush()
        await self._announcer.tell(control.Beat(node=self.node, count=len(self.presence)))

    async def _flush(self) -> None:
        await self.presence.flush()

    async def _sweep(self) -> None:
        await self.sessions.sweep()
        await self.recordings.sweep()
        await self.rendezvous.sweep()

    # Other nodes.

    async def _on_trust(self, data: bytes) -> None:
        notice = notice_of(data)
        if notice is not None:
            await self.links.broadcast(notice)

    async def _on_note(self, data: bytes) -> None:
        note = control.decode_note(data)
        if isinstance(note, control.Conflict):
            self.links.conflicted(note.device)
        elif isinstance(note, control.Retired):
            self.links.retired(note.device)
        elif isinstance(note, control.Ended):
            self.pipes.end_session(note.session)
        elif note.node == self.node:
            return
        elif isinstance(note, control.Here):
            self.presence.heard_here(note.node, note.devices)
            if note.connected:
                for device in note.devices:
                    await self.links.connected_elsewhere(device)
        elif isinstance(note, control.Gone):
            self.presence.heard_gone(note.node, note.devices)
        elif isinstance(note, control.Beat):
            if not self.presence.heard_beat(note.node, note.count):
                await self._announcer.tell(control.Join(node=self.node, asked=note.node))
        elif note.asked in ("", self.node):
            for devices in self.presence.here():
                await self._announcer.tell(control.Here(node=self.node, devices=devices))


def make_gateway(relay: Relay) -> Gateway:
    """Make the gateway and count it in the metrics; reached as `relay.service(make_gateway)`."""
    limits = GatewayLimits(capacity=float(relay.settings.capacity))
    made = Gateway(relay, limits=limits, node_url=relay.settings.node_url or relay.settings.url)
    relay.service(make_metrics).registry.register(GatewayFigures(made.figures))
    return made
