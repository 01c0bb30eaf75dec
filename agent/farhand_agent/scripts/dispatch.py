"""What the resident agent does about orders: hand each to a child, at most two bodies at once.

It reads no order and knows no key.  Offers are taken in one after the other; accepted orders wait
in the journal, oldest first.  Runners are no children of ours in the strict sense: they live in
sessions of their own and outlast a restart of the agent.  The journal and the order's lock together
say what is to be done:

    state      lock    ->
    accepted   free    start a runner, when fewer than `MAX_RUNNERS` run and nothing holds it back:
                       what does (`holding`) is journalled with the time to look again
    accepted   held    a runner is starting: wait
    running    held    a runner works: wait
    running    free    the runner died: close the order as `interrupted`

A restart that an order asked for is journalled too (`restarting`), and a runner looks after it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Final

from farhand_agent.child import Child
from farhand_agent.config import Home
from farhand_agent.journal import Journal
from farhand_agent.journal_tables import OrderRow
from farhand_agent.journal_thread import JournalThread
from farhand_agent.locks import is_held
from farhand_agent.notices import say
from farhand_agent.processes import command
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.messages import OfferOrder

__all__ = ["MAX_RUNNERS", "OrderDispatch"]

MAX_RUNNERS: Final = 2
MAX_OFFERS: Final = 64
_RUNNER: Final = "farhand_agent.scripts.runner"
_INTAKE_TIMEOUT_S: Final = 60.0
# A runner that was adopted after a restart is no child; its lock is looked at this often.
_ADOPTED_POLL_S: Final = 1.0
_IDLE_POLL_S: Final = 60.0
# An order whose runner ended without a final state (a full disk) is tried again after this long.
_RETRY_S: Final = 30.0
_EXIT_POLL_S: Final = 0.2
# Keys of the journal, as `holding` and `restarting` write them; those are not loaded here, because
# the resident agent stays small.
_HOLD: Final = "hold:"
_RESTART: Final = "restart"


class OrderDispatch:
    """Runs as one task of the resident agent.

    Args:
        home: of the device.
        journal: its journal.
        posted: set after anything that may have put a report into the outbox.
        update_trust: set when an order was signed over newer metadata than is held.
        trust_updated: set after each attempt to update.
    """

    def __init__(
        self,
        home: Home,
        journal: JournalThread,
        posted: asyncio.Event,
        update_trust: asyncio.Event,
        trust_updated: asyncio.Event,
    ) -> None:
        self._home = home
        self._journal = journal
        self._posted = posted
        self._update_trust = update_trust
        self._trust_updated = trust_updated
        self._offers: asyncio.Queue[OfferOrder] = asyncio.Queue(MAX_OFFERS)
        self._wake = asyncio.Event()
        self._active: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, float] = {}

    def wake(self) -> None:
        """Look into the journal soon."""
        self._wake.set()

    def offer(self, message: OfferOrder) -> bool:
        """Queue an offer; False when too many wait (the relay offers it again)."""
        try:
            self._offers.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    async def cancel(self, order: str) -> None:
        """Close an order if its body has not started.

        Raises:
            FarhandError: `child-failed`; as the journal's methods.
        """
        row = await self._journal.do(lambda j: j.order(order))
        if row is not None and row.state == "accepted":
            try:
                await self._child("cancel", order)
            except OSError as error:
                raise FarhandError(
                    "child-failed", "the order could not be cancelled", detail=str(error)
                ) from error
            self._posted.set()

    async def take_in(self) -> None:
        """Take in offers, one after the other; runs until cancelled."""
        while True:
            message = await self._offers.get()
            try:
                await self._take_in(message, retried=False)
            except (FarhandError, OSError) as error:  # a TimeoutError is one of these
                # What was not journalled was not accepted: the relay offers it again.
                why = "it took too long" if isinstance(error, TimeoutError) else error
                say(f"order {message.order[:40]!r} was not taken in: {why}")
            self._posted.set()
            self._wake.set()

    async def _take_in(self, message: OfferOrder, *, retried: bool) -> None:
        async with asyncio.timeout(_INTAKE_TIMEOUT_S):
            async with Child(_RUNNER, "offer", str(self._home.path), message.order[:64]) as child:
                await child.send({"envelope": message.envelope, "retried": retried})
                answer = await child.receive()
        if answer is not None and "retry" in answer and not retried:
            self._trust_updated.clear()
            self._update_trust.set()
            try:
                async with asyncio.timeout(_INTAKE_TIMEOUT_S):
                    await self._trust_updated.wait()
            except TimeoutError:
                say("trust could not be updated in time for an order")
            await self._take_in(message, retried=True)

    async def run(self) -> None:
        """Start and watch runners; runs until cancelled, and leaves runners running."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                wait_s = await self._start_due(group)
                try:
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start what is due; returns the seconds until something may be."""
        try:
            rows, held, restart = await self._journal.do(_look)
        except FarhandError as error:
            say(str(error))
            return _IDLE_POLL_S
        now = asyncio.get_running_loop().time()
        adopted = 0
        for row in rows:
            if row.id in self._active:
                continue
            if is_held(self._home.order_lock(row.id)):
                adopted += 1
            elif row.state == "running":
                if now >= self._resting.get(f"interrupt {row.id}", 0):
                    self._start(group, "interrupt", row.id)
            elif row.id in held or now < self._resting.get(f"run {row.id}", 0):
                continue
            elif len(self._active) + adopted < MAX_RUNNERS:
                self._start(group, "run", row.id)
        if restart and _RESTART not in self._active and now >= self._resting.get(_RESTART, 0):
            self._active[_RESTART] = group.create_task(self._watch_restart(restart))
        return min([_ADOPTED_POLL_S if adopted else _IDLE_POLL_S, *held.values()])

    def _start(self, group: asyncio.TaskGroup, mode: str, order: str) -> None:
        self._active[order] = group.create_task(self._watch(mode, order))

    async def _watch_restart(self, order: str) -> None:
        try:
            await self._child("restart", order)
        except (FarhandError, OSError) as error:
            say(f"this computer could not be restarted: {error}")
        finally:
            self._resting[_RESTART] = asyncio.get_running_loop().time() + _RETRY_S
            del self._active[_RESTART]

    async def _watch(self, mode: str, order: str) -> None:
        try:
            await self._child(mode, order)
            row, waits_s = await self._journal.do(lambda j: (j.order(order), _waits(j, order)))
            if row is None or row.ended_at is not None:
                for one in ("run", "interrupt"):
                    self._resting.pop(f"{one} {order}", None)
            elif not waits_s:
                self._rest(mode, order)
        except (FarhandError, OSError) as error:
            say(f"order {order} could not be worked on: {error}")
            self._rest(mode, order)
        finally:
            del self._active[order]
            self._posted.set()
            self._wake.set()

    def _rest(self, mode: str, order: str) -> None:
        """Not again before a while, or a runner that cannot work would be started in a circle."""
        loop = asyncio.get_running_loop()
        self._resting[f"{mode} {order}"] = loop.time() + _RETRY_S
        loop.call_later(_RETRY_S, self._wake.set)

    async def _child(self, mode: str, order: str) -> None:
        """Start a runner that outlives us and wait for its end.

        Not through asyncio's subprocesses, whose transports kill the process when they are
        collected.
        """
        process = subprocess.Popen(  # noqa: ASYNC220 - returns at once (vfork)
            [*command(_RUNNER), mode, str(self._home.path), order],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        await _ended(process)


def _look(journal: Journal) -> tuple[list[OrderRow], dict[str, float], str]:
    """Return open orders, the seconds that some of them wait yet, and whose restart is due."""
    now = journal.now()
    rows = journal.open_orders()
    held = {row.id: waits_s for row in rows if (waits_s := _waits(journal, row.id))}
    until, _, rest = (journal.meta(_RESTART) or "").partition(" ")
    is_due = bool(until) and parse_instant(until) <= now
    return rows, held, rest.partition(" ")[0] if is_due else ""


def _waits(journal: Journal, order: str) -> float:
    """Return the seconds that an order is held yet; 0 where nothing holds it any more."""
    until, _, _ = (journal.meta(_HOLD + order) or "").partition(" ")
    if not until:
        return 0.0
    return max(0.0, (parse_instant(until) - journal.now()).total_seconds())


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process without a thread, by its pidfd where the system has them."""
    if sys.platform != "linux":
        while process.poll() is None:  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(_EXIT_POLL_S)
        return
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(process.pid)
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        process.poll()
