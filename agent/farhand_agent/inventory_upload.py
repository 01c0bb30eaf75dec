"""Sends inventory to the relay: soon after the link is up, then each section in its own pace.

Hardware is looked at daily, software every six hours, security hourly, what changes by the minute
every five minutes (inventory/catalogue.py), all scaled by the device's `inventory_interval_s`
(3600 is what these figures mean) and splayed by a tenth, so that a fleet does not report at once.
The collecting is done by a child (farhand_agent.inventory_report); this moves its blobs from a pipe
to the link, at most one message's worth at a time, and remembers what the relay acknowledged.  A
section that did not change costs its name and sixteen digits of its hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from farhand_agent.child import Child
from farhand_agent.config import Home
from farhand_agent.inventory.catalogue import CATALOGUE, INTERVALS_S, PACES, Pace, of_pace
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import Link
from farhand_agent.notices import say
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.messages import Ack, Nack, ReportSections

__all__ = ["InventoryUpload"]

FIRST_DELAY_S: Final = 3.0
MAX_BATCH_BYTES: Final = 900 * 1024
# The relay takes 32 changed sections in a message; so many hashes are less than a kilobyte.
MAX_BATCH_SECTIONS: Final = 30
MAX_RESENT: Final = 100
_COLLECT_TIMEOUT_S: Final = 600.0
_HASH_CHARS: Final = 16
# What the figures of the catalogue are written for, and the shortest pace of all.
_USUAL_INTERVAL_S: Final = 3600
_SHORTEST_S: Final = 60.0
# No reason to end a link: nothing is sent this time.
_HARMLESS: Final = ("child-failed", "journal-full", "inventory-refused", "section-unknown")


class InventoryUpload:
    """Reports inventory over whatever link is up.

    Args:
        home: of the device.
        journal: of the device.
        interval_s: seconds between looks at sections of pace `security`; the others follow.
        random: returns a float in [0, 1), for the splay.
    """

    def __init__(
        self,
        home: Home,
        journal: JournalThread,
        interval_s: int,
        random: Callable[[], float],
    ) -> None:
        self._home = home
        self._journal = journal
        self._scale = interval_s / _USUAL_INTERVAL_S
        self._random = random
        self._now = asyncio.Event()
        self._wanted: set[str] = set()
        self._next_at: dict[Pace, float] = dict.fromkeys(PACES, 0.0)

    async def resend(self, sections: list[str]) -> None:
        """The relay lacks these sections: send them whole now."""
        names = [name[:64] for name in sections[:MAX_RESENT]]
        await self._journal.do(lambda j: j.forget_sections(names))
        self._wanted.update(name for name in names if name in CATALOGUE)
        self._now.set()

    async def report_on(self, link: Link) -> None:
        """Report over this link for as long as it lasts; runs until cancelled.

        Raises:
            LinkLost, RemoteError: the link must be closed.
        """
        loop = asyncio.get_running_loop()
        while True:
            next_at = min(self._next_at.values())
            wait_s = max(FIRST_DELAY_S * self._random(), next_at - loop.time())
            try:
                async with asyncio.timeout(wait_s):
                    await self._now.wait()
            except TimeoutError:
                pass  # something is due
            self._now.clear()
            wanted, self._wanted = self._wanted, set()
            due = [pace for pace in PACES if self._next_at[pace] <= loop.time()]
            names = {name for pace in due for name in of_pace(pace)} | wanted
            if names:
                await self._report(link, sorted(names), wanted)
            for pace in due:
                splay = 0.9 + 0.2 * self._random()
                interval_s = max(_SHORTEST_S, INTERVALS_S[pace] * self._scale)
                self._next_at[pace] = loop.time() + interval_s * splay

    async def _report(self, link: Link, names: list[str], wanted: set[str]) -> None:
        known = await self._journal.do(lambda j: j.section_hashes())
        for name in wanted:
            # An acknowledgement that was under way may have come after it was asked for.
            known.pop(name, None)
        batch: list[dict[str, Any]] = []
        size = 0
        try:
            async with asyncio.timeout(_COLLECT_TIMEOUT_S):
                async with Child("farhand_agent.inventory_report") as child:
                    request = {"home": str(self._home.path), "names": names, "known": known}
                    await child.send(request)
                    while (frame := await child.receive()) is not None:
                        match frame:
                            case {"section": {"blob": bytes(blob)} as section}:
                                if batch and (
                                    size + len(blob) > MAX_BATCH_BYTES
                                    or len(batch) == MAX_BATCH_SECTIONS
                                ):
                                    await self._send(link, batch, _hashes(batch))
                                    batch, size = [], 0
                                batch.append(section)
                                size += len(blob)
                            case {"skipped": {"name": str(name), "bytes": int(count)}}:
                                say(f"section {name} of {count} bytes is too large to send")
                            case {"done": {"hashes": dict(hashes)}}:
                                if batch:
                                    await self._send(link, batch, _hashes(batch))
                                rest = [one for one in hashes if known.get(one) == hashes[one]]
                                await self._confirm(link, {one: hashes[one] for one in rest})
                                return
        except TimeoutError:
            say("collecting the inventory took too long")
        except FarhandError as error:
            if error.code not in _HARMLESS:
                raise
            say(f"no inventory was sent: {error}")

    async def _confirm(self, link: Link, hashes: dict[str, str]) -> None:
        """Say of sections that they are as the relay has them; it asks for those it lacks."""
        names = sorted(hashes)
        for start in range(0, len(names), MAX_BATCH_SECTIONS):
            part = names[start : start + MAX_BATCH_SECTIONS]
            await self._send(link, [], {name: hashes[name] for name in part})

    async def _send(self, link: Link, batch: list[dict[str, Any]], hashes: dict[str, str]) -> None:
        blobs = [section["blob"] for section in batch]
        short = {name: digest[:_HASH_CHARS] for name, digest in hashes.items()}
        answer = await link.request(
            lambda seq: ReportSections(seq=seq, changed=blobs, hashes=short)
        )
        if isinstance(answer, Nack):
            raise FarhandError("inventory-refused", f"the relay refused it: {answer.code[:100]}")
        if not isinstance(answer, Ack):
            raise RemoteError("message-malformed", "the relay's answer fits no inventory")
        acknowledged = _hashes(batch)
        if acknowledged:
            await self._journal.do(lambda j: j.acknowledge_sections(acknowledged))


def _hashes(batch: list[dict[str, Any]]) -> dict[str, str]:
    return {section["name"]: section["hash"] for section in batch}
