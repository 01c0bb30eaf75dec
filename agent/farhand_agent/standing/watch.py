"""Keeps the device's schedules in the resident agent: calls a turn when one is due, sends the rest.

A turn (farhand_agent.standing.turn) is a child of its own.  It is called at start, when policy has
other schedules, when one is due by the device's clock, and now and then besides, so that a clock or
a zone that was set anew is noticed; never, where policy has none.  Schedules go on without a link;
what a turn found waits here, the newest of each section, until a link is up and the relay has
acknowledged it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from farhand_agent.child import Child
from farhand_agent.config import Home
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import Link
from farhand_agent.notices import say
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.inventory import CHECKS_SECTION, section_hash
from farhand_protocol.messages import Ack, Nack, ReportSections

__all__ = ["StandingWatch"]

TURN_TIMEOUT_S: Final = 1800.0
# Without anything due: zones and clocks change, and a child's answer is never believed for ever.
LONGEST_WAIT_S: Final = 6 * 3600.0
# How late a jump of the clock is noticed, at most.
TICK_S: Final = 30.0
AFTER_FAILURE_S: Final = 300.0
SHORTEST_WAIT_S: Final = 1.0
_HASH_CHARS: Final = 16
_EMPTY: Final = section_hash("ok", [])


class _Section(NamedTuple):
    hash: str
    blob: bytes


class StandingWatch:
    """The schedules of one device.

    Args:
        home: of an enrolled device.
        journal: of the device.
        clock: Unix seconds; the device's clock, which may jump.
    """

    def __init__(
        self, home: Home, journal: JournalThread, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._home = home
        self._journal = journal
        self._clock = clock
        self._lines: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        self._found = asyncio.Event()
        self._sections: dict[str, _Section] = {}

    def note_policy(self, lines: Sequence[str]) -> None:
        """Take the schedules of the policy that is in force, whether they are others or not."""
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self._changed.set()

    def resend(self, names: list[str]) -> None:
        """The relay lacks these sections, and the journal has forgotten that it had them."""
        if CHECKS_SECTION in names:
            self._changed.set()

    async def run(self) -> None:
        """Call turns for ever; runs until cancelled."""
        while True:
            self._changed.clear()
            due = await self._turn()
            await self._wait(max(due, self._clock() + SHORTEST_WAIT_S))

    async def deliver(self, link: Link) -> None:
        """Send what was found over this link, for as long as it lasts; runs until cancelled.

        Raises:
            LinkLost, RemoteError: the link must be closed.
        """
        self._found.set()
        while True:
            await self._found.wait()
            self._found.clear()
            known = await self._journal.do(lambda j: j.section_hashes())
            for name, section in list(self._sections.items()):
                if known.get(name) != section.hash:
                    await self._send(link, name, section)

    async def _turn(self) -> float:
        """Run one turn, where there is anything to do; returns when the next is wanted."""
        due: float | None = None
        try:
            known = await self._journal.do(lambda j: j.section_hashes())
            if not self._lines and known.get(CHECKS_SECTION, _EMPTY) == _EMPTY:
                return self._clock() + LONGEST_WAIT_S
            async with asyncio.timeout(TURN_TIMEOUT_S):
                async with Child("farhand_agent.standing.turn") as child:
                    await child.send({"home": str(self._home.path), "known": known})
                    while (frame := await child.receive()) is not None:
                        match frame:
                            case {"done": {"next": float(wanted)}}:
                                due = wanted
                            case {"done": _}:
                                due = self._clock() + LONGEST_WAIT_S
                            case _:
                                self._take(frame)
        except TimeoutError:
            say("a run of the schedules took too long and was given up")
        except (FarhandError, OSError) as error:
            say(f"the schedules could not be looked at: {error}")
        return due if due is not None else self._clock() + AFTER_FAILURE_S

    def _take(self, frame: dict[str, Any]) -> None:
        match frame:
            case {"section": {"name": str(name), "hash": str(digest), "blob": bytes(blob)}}:
                self._sections[name] = _Section(digest, blob)
                self._found.set()
            case {"note": str(words)}:
                say(words)

    async def _wait(self, due: float) -> None:
        """Wait until it is due by the device's clock, or something is to be looked at anew."""
        loop = asyncio.get_running_loop()
        longest = loop.time() + LONGEST_WAIT_S
        while (left_s := min(due - self._clock(), longest - loop.time())) > 0:
            try:
                async with asyncio.timeout(min(left_s, TICK_S)):
                    await self._changed.wait()
                    return
            except TimeoutError:
                continue  # the clock may have been set meanwhile

    async def _send(self, link: Link, name: str, section: _Section) -> None:
        answer = await link.request(
            lambda seq: ReportSections(
                seq=seq, changed=[section.blob], hashes={name: section.hash[:_HASH_CHARS]}
            )
        )
        if isinstance(answer, Nack):
            say(f"the relay refused section {name}: {answer.code[:100]}")
            return
        if not isinstance(answer, Ack):
            raise RemoteError("message-malformed", "the relay's answer fits no inventory")
        if self._sections.get(name) is section:
            del self._sections[name]
        try:
            await self._journal.do(lambda j: j.acknowledge_sections({name: section.hash}))
        except FarhandError as error:
            # A full disk: it is sent again later, which the relay does not mind.
            say(str(error))
