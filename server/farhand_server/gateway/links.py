"""All device links of a node: who is admitted, who is resident, and how they are let go.

One resident link per device: a newcomer takes its place, and the old link is pinged; if it answers,
the same key is alive twice, which is audited (`device-key-conflict`), kept in the device's row and
told to the link that is closed.  After a few such flips newcomers are refused and the link that is
there stays, so a cloned key shows and does not fight forever.  Between nodes a note says
where a device has just connected.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from sqlalchemy import update

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError
from farhand_protocol.link import NONCE_BYTES, RelayHandshake, Role
from farhand_server.clock import stamp
from farhand_server.gateway import heartbeat
from farhand_server.gateway.admission import Admission, Standing
from farhand_server.gateway.announcer import Announcer
from farhand_server.gateway.doorway import Doorway
from farhand_server.gateway.handlers import Dispatcher
from farhand_server.gateway.limits import GatewayLimits, Windows
from farhand_server.gateway.link import Link, LinkState
from farhand_server.gateway.presence import Presence
from farhand_server.gateway.protocol import (
    CLOSE_OVERLOAD,
    CLOSE_POLICY,
    CLOSE_RESTART,
    Connection,
)
from farhand_server.relay import Relay
from farhand_server.sessions import control
from farhand_server.store.schema import devices

__all__ = ["Links"]

logger = logging.getLogger(__name__)


class Links:
    """All device links of this node.

    Args:
        relay: the wiring.
        limits: bounds.
        presence: told who comes and goes.
        announcer: tells the other nodes.
    """

    def __init__(
        self, relay: Relay, *, limits: GatewayLimits, presence: Presence, announcer: Announcer
    ) -> None:
        self._relay = relay
        self._announcer = announcer
        self.limits = limits
        self._presence = presence
        self._doorway: Doorway | None = None
        self._resident: dict[str, Link] = {}
        self._control: dict[str, Link] = {}
        self._all: set[Link] = set()
        self._guests: Counter[str] = Counter()
        self._conflicts = Windows(limits.conflicts, limits.conflict_window_s)
        self.dispatcher = Dispatcher(relay.tasks, limits)
        self.admission = Admission(relay, self._admitted)
        self.inbound_bytes = 0
        self.conflicts = 0
        self.refused: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def use(self, doorway: Doorway) -> None:
        """Tell this doorway which connections have proved a key."""
        self._doorway = doorway

    # The handshake's needs.

    def make_endpoint(self, connection: Connection) -> Link:
        """Return the endpoint of a new websocket on `/agent`."""
        connection.opener.wheel.set(connection, self._relay.clock.monotonic() + self.limits.prove_s)
        handshake = RelayHandshake(
            self._relay.signer.public_key, nonce=self._relay.random(NONCE_BYTES)
        )
        return Link(self, connection, handshake)

    def sign(self, message: bytes) -> bytes:
        """Sign with the relay key."""
        return self._relay.signer.sign(message)

    def tenants_of(self, role: Role) -> tuple[str, ...]:
        """Return which tenants a link of this role may name; only a guest session names none."""
        return (self._relay.tenant, "") if role == "session" else (self._relay.tenant,)

    def count(self, code: str) -> None:
        """Count a refusal for the metrics."""
        self.refused[code] += 1

    # Admission.

    async def _admitted(
        self, link: Link, standing: Standing, timestamp_version: int, audit_head: bytes
    ) -> None:
        """Welcome a link whose row was looked up; called one after another."""
        if not link.connection.is_open or link._state != "admitting":
            return
        if self._doorway is not None:
            self._doorway.proved(link.connection)
        if link.tenant == "":
            # A guest is one by its own word; an enrolled key must name its organisation.
            if standing != "unknown":
                link._refuse("tenant-missing")
                return
            standing = "guest"
            if (
                self._guests.total() >= self.limits.guests
                or self._guests[link.address] >= self.limits.guests_per_address
            ):
                link._refuse("guests-full")
                return
        if link.role == "device" and standing == "enrolled" and not await self._settle(link):
            return
        link.standing = standing
        link._state = "open"
        self._all.add(link)
        if standing == "guest":
            self._guests[link.address] += 1
        small = standing != "enrolled"
        link.connection.allow(
            self.limits.stranger_message_bytes if small else self.limits.message_bytes
        )
        heartbeat.begin(link.connection, self._relay.clock.monotonic(), self.limits.ping_s)
        link.send(self._welcome(standing, timestamp_version, audit_head))
        if standing == "retired" or (standing == "unknown" and link.role != "enrol"):
            link._refuse(f"device-{standing}")

    def _welcome(
        self, standing: Standing, timestamp_version: int, audit_head: bytes
    ) -> messages.Welcome:
        return messages.Welcome(
            standing=standing,
            ping_s=self.limits.ping_s,
            reconnect_window_s=self._doorway.window_s() if self._doorway is not None else 1.0,
            now=stamp(self._relay.now()),
            timestamp_version=timestamp_version,
            # How busy the relay is concerns nobody who is not of the organisation.
            audit_head=audit_head if standing == "enrolled" else b"",
        )

    async def _settle(self, link: Link) -> bool:
        """Make this the resident link of its device; False when it was refused."""
        now = self._relay.clock.monotonic()
        old = self._resident.get(link.device)
        if old is not None and self._conflicts.wait_s(link.device, now):
            link._refuse("device-key-conflict")
            return False
        subject = control.device_subject(self._relay.tenant, link.device)
        try:
            subscription = await self._relay.bus.subscribe(subject, link.on_bus)
        except FarhandError as error:
            logger.warning("link of %s not served: %s", link.device, error)
            link.close(CLOSE_OVERLOAD, error.code)
            return False
        if not link.connection.is_open:
            await subscription.close()
            return False
        link._subscription = subscription
        # Read again: the old link may have gone, or another have come, during the wait.
        old = self._resident.get(link.device)
        self._resident[link.device] = link
        if old is not None:
            await self._displace(old)
        self._presence.came(link.device)
        self._announcer.came(link.device)
        # It may have gone during the waits above; then its end has cleaned up, or will.
        return link.connection.is_open

    async def _displace(self, old: Link) -> None:
        old.supersede(self._relay.clock.monotonic())
        subscription, old._subscription = old._subscription, None
        if subscription is not None:
            await subscription.close()

    async def connected_elsewhere(self, device: str) -> None:
        """Give way to a link of the same device on another node."""
        old = self._resident.pop(device, None)
        if old is not None:
            self._presence.went(device)
            self._announcer.went(device)
            await self._displace(old)

    def probed(self, link: Link, *, is_alive: bool) -> None:
        """Close a superseded link; if it answered, the key is alive twice."""
        if is_alive:
            link.close(CLOSE_POLICY, "device-key-conflict")
            self._relay.tasks.spawn(self._conflict(link), name="device-key-conflict")
        else:
            link.connection.abort()

    async def _conflict(self, link: Link) -> None:
        self.conflicts += 1
        logger.warning("the key of %s is alive on two links", link.device)
        async with self._relay.db.write() as c:
            await self._relay.audit.append(
                c,
                actor=f"device:{link.device}",
                action="device-key-conflict",
                subject=link.device,
                detail={"address": link.address},
            )
            await c.execute(
                update(devices)
                .where(devices.c.tenant == self._relay.tenant, devices.c.id == link.device)
                .values(key_conflict_at=self._relay.stamp())
            )
        await self._announcer.tell(control.Conflict(device=link.device))

    def conflicted(self, device: str) -> None:
        """Count a conflict that some node saw."""
        self._conflicts.add(device, self._relay.clock.monotonic())

    # Sessions.

    async def follow(self, link: Link, session: str) -> None:
        """Subscribe to the session's subject for this link."""
        if link.session == session:
            return
        await self._unfollow(link)
        old = self._control.get(session)
        subject = control.session_subject(self._relay.tenant, session)
        subscription = await self._relay.bus.subscribe(
            subject, lambda data: self.dispatcher.on_control(link, data)
        )
        if not link.connection.is_open:
            await subscription.close()
            return
        link._subscription, link.session = subscription, session
        self._control[session] = link
        if old is not None:
            await self._unfollow(old)
            old.close(CLOSE_POLICY, "link-superseded")

    async def _unfollow(self, link: Link) -> None:
        if link.session is not None and self._control.get(link.session) is link:
            del self._control[link.session]
        link.session = None
        subscription, link._subscription = link._subscription, None
        if subscription is not None:
            await subscription.close()

    def retired(self, device: str) -> None:
        """Close every link of a device that was retired, also those of its sessions."""
        for link in [link for link in self._all if link.device == device]:
            link.close(CLOSE_POLICY, "device-retired")

    async def broadcast(self, data: bytes) -> int:
        """Send one encoded message to every resident link; return to how many."""
        sent = 0
        for number, link in enumerate(list(self._resident.values()), 1):
            sent += link.send_encoded(data)
            if number % 200 == 0:
                # Ten thousand writes at once would hold up everybody else.
                await asyncio.sleep(0)
        return sent

    # The end.

    def left(self, link: Link, was: LinkState, code: int, reason: str) -> None:
        """Take a closed link out of all tables."""
        connection = link.connection
        self._all.discard(link)
        if was in ("open", "superseded") and link.is_guest:
            self._guests[link.address] -= 1
            if self._guests[link.address] <= 0:
                del self._guests[link.address]
        logger.info(
            "link %s %s closed: %d %s, in %d out %d bytes, %.1f s",
            link.role,
            link.device or "unproved",
            code,
            reason,
            connection.bytes_in,
            connection.bytes_out,
            self._relay.clock.monotonic() - connection.opened_at,
        )
        if was in ("open", "superseded") or link._subscription is not None:
            self._relay.tasks.spawn(self._leave(link), name="link closed")

    async def _leave(self, link: Link) -> None:
        session = link.session
        await self._unfollow(link)
        link.session = session
        if self._resident.get(link.device) is link:
            del self._resident[link.device]
            self._presence.went(link.device)
            self._announcer.went(link.device)
        await self.dispatcher.closed(link)

    async def drain(self) -> int:
        """Tell every device to come back later and close all links at a bounded rate.

        Returns: how many links were told.  The window follows their number and the node's capacity,
        so that the others, or this node restarted, are not run over.
        """
        links = list(self._all)
        window_s = self._doorway.window_s() if self._doorway is not None else 1.0
        batch = max(1, int(self.limits.drain_rate / 20))
        for start in range(0, len(links), batch):
            if start:
                await asyncio.sleep(batch / self.limits.drain_rate)
            for link in links[start : start + batch]:
                link.send(messages.Reconnect(window_s=window_s))
                link.close(CLOSE_RESTART, "relay-restart")
        return len(links)
