"""The resident agent: wires link, outbox, orders, sessions, inventory and trust together.

One root TaskGroup.  Each link to the relay is one child task with a TaskGroup of its own; when it
ends, for whatever reason, another is opened after a wait (farhand_agent.reconnect).  Orders and
sessions go on without a link.  This process imports neither `cryptography` nor any parser of what
operators sign: keys and checks belong to short-lived children.

On SIGTERM or SIGINT, in this order: the local socket and the door (people/) close, the processes of
sessions that were started here go, the link closes, the journal closes.  The sessions themselves
stay open in the journal and go on when the agent starts again.  Runners stay: they finish, journal,
and are found again.

The program that runs it is `farhand_agent.resident`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from asyncio import sslproto
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import structs

from farhand_agent.alarms import alarms, raise_alarm
from farhand_agent.clock_check import note_skew
from farhand_agent.config import Home, Settings, load_settings
from farhand_agent.errors import AlreadyRunning, LinkLost
from farhand_agent.hostname import host_name
from farhand_agent.inventory_upload import InventoryUpload
from farhand_agent.journal import Journal
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import KeeperProver, Link, RelayAddress, open_link, origin
from farhand_agent.local_server import LocalServer
from farhand_agent.locks import try_lock
from farhand_agent.notices import say, say_error
from farhand_agent.os_name import os_name
from farhand_agent.outbox import Outbox
from farhand_agent.people.desk import PeopleDesk
from farhand_agent.people.opening import open_door
from farhand_agent.processes import command
from farhand_agent.reconnect import Backoff
from farhand_agent.scripts.dispatch import OrderDispatch
from farhand_agent.session.recording.left import LeftRecordings
from farhand_agent.session_children import SessionChildren
from farhand_agent.shown_heads import keep_relay_head, own_head
from farhand_agent.standing.watch import StandingWatch
from farhand_agent.trust_watch import TrustWatch
from farhand_agent.update_desk import UpdateDesk
from farhand_agent.version import VERSION
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import (
    CancelOrder,
    EndSession,
    FetchTrust,
    OfferGrant,
    OfferOrder,
    Present,
    Reconnect,
    Redirect,
    RelayMessage,
    Resend,
    TrustNotice,
)

__all__ = ["VERSION", "Daemon", "main"]

# Nothing a device does by itself makes a relay know it again; it asks now and then.
UNKNOWN_PAUSE_S: Final = 60.0
RETIRED_PAUSE_S: Final = 3600.0
CLOCK_TICK_S: Final = 60.0
STOP_SESSIONS_S: Final = 5.0
# A TLS record holds no more (RFC 8446 s5.1); asyncio keeps room for sixteen of them.
TLS_READ_BYTES: Final = 16 * 1024


class _Standing(FarhandError):
    """The relay knows this device's key, but not as an enrolled device."""

    def __init__(self, standing: str) -> None:
        super().__init__(
            f"device-{standing}",
            "this device was retired; nobody works on it any more until it is enrolled again"
            if standing == "retired"
            else "the relay does not count this device among the enrolled ones",
            hint="enrol it again with a new token and --again",
        )


class Daemon:
    """The resident agent of one home.

    Args:
        home: of an enrolled device.
        settings: its config.toml.
        journal: open; closed at the end.
    """

    def __init__(self, home: Home, settings: Settings, journal: Journal) -> None:
        self._home = home
        self._settings = settings
        self._journal = JournalThread(journal)
        self._backoff = Backoff(random.random)
        self._os = os_name()
        self._posted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_told_to_stop = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connected_since = ""
        self._was_ready = False
        self._last_trouble = ""
        trust_wanted, trust_updated = asyncio.Event(), asyncio.Event()
        self._trust_wanted = trust_wanted
        self._recordings = LeftRecordings(home)
        self._outbox = Outbox(home, self._journal, self._posted)
        self._orders = OrderDispatch(
            home,
            self._journal,
            self._posted,
            update_trust=trust_wanted,
            trust_updated=trust_updated,
        )
        self._sessions = SessionChildren(home, self._journal, self._posted)
        self._people = PeopleDesk(home, self._journal, self._stop)
        self._updates = UpdateDesk(home, self._journal, self._stopping)
        self._inventory = InventoryUpload(
            home, self._journal, settings.inventory_interval_s, random.random
        )
        self._standing = StandingWatch(home, self._journal)
        self._trust = TrustWatch(
            home,
            settings,
            self._journal,
            drop_operators=self._sessions.drop_operators,
            schedules_noted=self._standing.note_policy,
            wanted=trust_wanted,
            updated=trust_updated,
        )

    def stop(self, *_: object) -> None:
        """Begin to stop; also as the handler of a signal, at whatever moment it comes."""
        self._is_told_to_stop = True
        if self._loop is None:
            self._stopping.set()
        else:
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def run(self) -> None:
        """Run until told to stop."""
        self._loop = asyncio.get_running_loop()
        handlers = {
            "status": self._status,
            "stop": self._stop_sessions,
            "sessions-changed": self._sessions_changed,
            "watch": self._people.watch,
            "orders-changed": self._orders_changed,
            "trust-changed": self._trust_changed,
            "release-piece": self._updates.piece,
            "hand-over": self._updates.hand_over,
        }
        try:
            async with asyncio.TaskGroup() as root:
                async with LocalServer(self._home, handlers), open_door(self._home, self._people):
                    await self._tick()
                    await self._guarded(self._updates.begin())
                    tasks = [
                        root.create_task(self._orders.take_in(), name="orders-in"),
                        root.create_task(self._orders.run(), name="orders-run"),
                        root.create_task(self._sessions.run(), name="sessions"),
                        root.create_task(self._keep_time(), name="clock"),
                        root.create_task(self._standing.run(), name="standing"),
                        root.create_task(self._keep_link(root), name="link"),
                    ]
                    await self._stopping.wait()
                await self._sessions.close(STOP_SESSIONS_S)
                for task in reversed(tasks):
                    task.cancel()
        finally:
            self._loop = None  # it closes now, and takes nothing from a second signal
            self._journal.close()

    def give_way(self) -> None:
        """Become whoever runs after us, where an update asked for it; call without the lock.

        Not where we were told to stop as well: the update waits for the next start.
        """
        arguments = command("farhand_agent", "run", "--home", str(self._home.path))
        if self._updates.is_handing_over and not self._is_told_to_stop:
            os.execv(arguments[0], arguments)  # noqa: S606

    # The link.

    async def _keep_link(self, root: asyncio.TaskGroup) -> None:
        """Open one link after the other, for ever."""
        while True:
            # In a task of its own, because of python/cpython#116720.
            trouble = await root.create_task(self._one_link(), name="one-link")
            await self._look_for_a_twin(trouble)
            self._connected_since = ""
            if self._stopping.is_set():
                # A link that broke while it was cancelled has swallowed the cancellation.
                return
            pause_s = getattr(trouble, "retry_after_s", 0.0)
            if isinstance(trouble, _Standing):
                retired = trouble.code == "device-retired"
                pause_s = RETIRED_PAUSE_S if retired else UNKNOWN_PAUSE_S
            wait_s = self._backoff.next_wait_s(retry_after_s=pause_s)
            if str(trouble) != self._last_trouble:
                self._last_trouble = str(trouble)
                detail = f" ({trouble.detail})" if trouble.detail else ""
                is_retired = trouble.code == "device-retired"
                say(f"{trouble}{detail}; " + (trouble.hint or "" if is_retired else "trying again"))
            await asyncio.sleep(wait_s)

    async def _look_for_a_twin(self, trouble: FarhandError) -> None:
        """Raise an alarm when the relay closed or refused the link because the key is in use."""
        reason = trouble.reason if isinstance(trouble, LinkLost) else trouble.detail
        if reason == "device-key-conflict":
            now = format_instant(datetime.now(UTC).replace(microsecond=0))
            await self._guarded(self._alarm("device-key-conflict", now))

    async def _alarm(self, code: str, at: str) -> None:
        if words := await self._journal.do(lambda j: raise_alarm(j, code, at)):
            say(words)

    async def _one_link(self) -> FarhandError:
        """Hold one link for as long as it lasts; returns why it ended."""
        settings = self._settings
        versions = self._trust.versions
        head = await self._journal.do(lambda j: own_head(j, settings.device))
        prover = KeeperProver(self._home.device_key, head.message)
        present = Present(
            agent_version=VERSION,
            host_name=host_name(),
            os=self._os,
            timestamp_version=int(versions.get("timestamp_version", 0)),
            targets_version=int(versions.get("targets_version", 0)),
        )
        try:
            async with open_link(
                RelayAddress.of(self._home, settings),
                role="device",
                tenant=settings.tenant,
                device_key=settings.device_key_raw,
                relay_key=settings.relay_key_raw,
                prover=prover,
                present=lambda: structs.replace(
                    present, audit_head=head.signed(prover.also_signature)
                ),
            ) as link:
                if link.welcome.standing != "enrolled":
                    return _Standing(link.welcome.standing)
                self._backoff.connected(link.welcome.reconnect_window_s)
                self._updates.link = link
                await self._guarded(self._keep_head(link.welcome.audit_head))
                await self._guarded(self._compare_clocks(link.welcome.now))
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._receive(link))
                    group.create_task(self._report_ready(link))
                    group.create_task(self._outbox.deliver(link))
                    group.create_task(self._recordings.deliver(link.request))
                    group.create_task(self._inventory.report_on(link))
                    group.create_task(self._standing.deliver(link))
                    group.create_task(self._trust.follow(link))
        except FarhandError as error:
            return error
        except BaseExceptionGroup as group_error:
            known, others = group_error.split(FarhandError)
            if others is not None or known is None:
                raise
            return _first(known)
        return LinkLost("the link closed")

    async def _keep_head(self, data: bytes) -> None:
        """Keep the head of the relay's audit; say when that audit went back."""
        home, tenant = self._home, self._settings.tenant
        if words := await self._journal.do(lambda j: keep_relay_head(home, j, tenant, data)):
            say(words)

    async def _compare_clocks(self, relay_now: str) -> None:
        """Say that this device's time is far from the relay's; nothing else follows from it."""
        clock = datetime.now(UTC)
        if words := await self._journal.do(lambda j: note_skew(j, relay_now, clock=clock)):
            say(words)

    async def _report_ready(self, link: Link) -> None:
        """Say that the relay counts this device as online; its answer comes after our Present."""
        await link.request(lambda seq: FetchTrust(seq=seq, kind="metadata", name="timestamp.json"))
        self._connected_since = format_instant(datetime.now(UTC))
        self._last_trouble = ""
        if not self._was_ready:
            self._was_ready = True
            say(f"ready {self._settings.device}")
        else:
            say("connected again")

    async def _receive(self, link: Link) -> None:
        while True:
            message = await link.receive()
            if message is not None:
                await self._handle(message)

    async def _handle(self, message: RelayMessage) -> None:
        """Act on one message of the closed list; whatever else comes on this link is ignored."""
        match message:
            case TrustNotice():
                self._trust_wanted.set()
            case OfferOrder():
                if not self._orders.offer(message):
                    say("too many orders wait; the relay will offer them again")
            case CancelOrder():
                await self._guarded(self._orders.cancel(message.order))
            case OfferGrant():
                await self._guarded(self._sessions.offer(message))
            case EndSession():
                await self._guarded(self._sessions.end(message))
            case Resend():
                await self._guarded(self._inventory.resend(message.sections))
                self._standing.resend(message.sections)
            case Reconnect():
                self._backoff.set_window(message.window_s)
                raise LinkLost("the relay asks to come back later")
            case Redirect():
                await self._redirect(message.url)
            case _:
                return

    async def _guarded(self, work: Any) -> None:
        """Do work that must not cost the link when the disk is full."""
        try:
            await work
        except (FarhandError, OSError) as error:
            say(str(error))

    async def _redirect(self, url: str) -> None:
        """Follow only to the origin that the token named; the relay cannot send us elsewhere."""
        try:
            here = origin(url[:500]) == origin(self._settings.url)
        except ValueError:
            here = False
        if here:
            raise LinkLost("the relay asks to connect again")
        say("a redirect to an address that the token does not name was refused")
        await self._guarded(self._journal.do(lambda j: j.log("redirect-refused", url=url[:200])))

    # Time and policy.

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_TICK_S)
            await self._tick()

    async def _tick(self) -> None:
        """Remember the highest time seen, and notice a change of the device's own policy."""
        try:
            await self._journal.do(lambda j: j.raise_clock())
        except FarhandError as error:
            say(str(error))
        await self._trust.announce()

    # The local socket.

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        settings = self._settings
        sessions = await self._journal.do(lambda j: j.live_sessions())
        orders = await self._journal.do(lambda j: j.open_orders())
        waiting = await self._journal.do(lambda j: j.outbox(limit=1000))
        raised = await self._journal.do(alarms)
        return {
            "version": VERSION,
            "device": settings.device,
            "name": settings.name,
            "group": self._trust.group,
            "url": settings.url,
            "connected": bool(self._connected_since),
            "since": self._connected_since or None,
            "trouble": self._last_trouble or self._trust.last_error or None,
            "sessions": [
                {"id": s.id, "state": s.state, "operator": s.operator, "ticket": s.ticket}
                for s in sessions
            ],
            "orders": [{"id": o.id, "state": o.state, "script": o.script} for o in orders[:100]],
            "outbox": len(waiting),
            "warnings": raised,
        }

    async def _stop_sessions(self, request: dict[str, Any]) -> dict[str, Any]:
        session = request.get("session")
        return {"stopped": await self._stop(session if isinstance(session, str) else None)}

    async def _stop(self, session: str | None) -> list[str]:
        return await self._sessions.stop(session, reason="stopped")

    async def _sessions_changed(self, _: dict[str, Any]) -> dict[str, Any]:
        self._sessions.wake()
        self._recordings.wake()
        self._posted.set()
        return {}

    async def _orders_changed(self, _: dict[str, Any]) -> dict[str, Any]:
        self._posted.set()
        return {}

    async def _trust_changed(self, _: dict[str, Any]) -> dict[str, Any]:
        """Metadata came by file and were verified: what they mean holds at once."""
        await self._trust.announce()
        return {}


def _first(group: BaseExceptionGroup[FarhandError]) -> FarhandError:
    """Return the error that says most: a broken rule rather than the lost link it caused."""
    errors: list[FarhandError] = []

    def collect(inner: BaseExceptionGroup[FarhandError]) -> None:
        for error in inner.exceptions:
            if isinstance(error, BaseExceptionGroup):
                collect(error)
            else:
                errors.append(error)

    collect(group)
    return next((one for one in errors if not isinstance(one, LinkLost)), errors[0])


def open_journal(home: Home, settings: Settings) -> Journal:
    """Open the journal that belongs to this enrolment.

    Raises:
        FarhandError: `journal-missing` when it is gone or another device's.
    """
    journal = Journal(home.journal)
    if journal.meta("device") != settings.device:
        journal.close()
        raise FarhandError(
            "journal-missing",
            "the journal in this home does not belong to this device",
            hint="enrol it again with a new token and --again; it takes a new key",
        )
    return journal


def main(arguments: list[str]) -> int:
    """Run the resident agent of a home; returns the exit status."""
    home = Home.at(arguments[0])
    sslproto.SSLProtocol.max_size = TLS_READ_BYTES
    try:
        settings = load_settings(home)
        home.make()
        lock = try_lock(home.lock)
        if lock is None:
            raise AlreadyRunning
        with contextlib.closing(_Released(lock)):
            daemon = Daemon(home, settings, open_journal(home, settings))
            # Not by the loop, which asks `inspect` about handlers (see late_modules).
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, daemon.stop)
            asyncio.run(daemon.run())
        daemon.give_way()
    except BaseExceptionGroup as group:
        # A task of ours crashed; one line with its kind is more use here than a traceback.
        known, others = group.split(FarhandError)
        if known is not None and others is None:
            error = _first(known)
            say_error(error.code, error.message, error.hint)
        else:
            say_error("internal-error", repr(group.exceptions[0]))
        return 1
    except FarhandError as error:
        say_error(error.code, error.message, error.hint)
        return error.exit_code
    except OSError as error:
        say_error("home-unusable", f"the agent's home cannot be used: {error}")
        return 1
    return 0


class _Released:
    """Lets go of a lock at the end of a block."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def close(self) -> None:
        self._lock.release()
