"""Sends inventory to the relay: soon after the link is up, then at a splayed interval.

The collecting is done by a child (farhand_agent.inventory_report); this moves its blobs from a pipe
to the link, at most one message's worth at a time, and remembers what the relay acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from farhand_agent.child import Child
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import Link
from farhand_agent.notices import say
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.messages import Ack, Nack, ReportSections

__all__ = ["InventoryUpload"]

FIRST_DELAY_S: Final = 3.0
MAX_BATCH_BYTES: Final = 900 * 1024
MAX_RESENT: Final = 100
_COLLECT_TIMEOUT_S: Final = 600.0
_HASH_CHARS: Final = 16
# No reason to end a link: nothing is sent this time.
_HARMLESS: Final = ("child-failed", "journal-full", "inventory-refused", "section-unknown")


class InventoryUpload:
    """Reports inventory over whatever link is up.

    Args:
        journal: of the device.
        interval_s: seconds between reports.
        random: returns a float in [0, 1), for the splay.
        leave_out: sections that are neither collected nor sent.
    """

    def __init__(
        self,
        journal: JournalThread,
        interval_s: int,
        random: Callable[[], float],
        *,
        leave_out: Sequence[str] = (),
    ) -> None:
        self._journal = journal
        self._interval_s = interval_s
        self._random = random
        self._leave_out = list(leave_out)
        self._now = asyncio.Event()
        self._next_at = 0.0

    async def resend(self, sections: list[str]) -> None:
        """The relay lacks these sections: send them whole with a report now."""
        names = [name[:64] for name in sections[:MAX_RESENT]]
        await self._journal.do(lambda j: j.forget_sections(names))
        self._now.set()

    async def report_on(self, link: Link) -> None:
        """Report over this link for as long as it lasts; runs until cancelled.

        Raises:
            LinkLost, RemoteError: the link must be closed.
        """
        loop = asyncio.get_running_loop()
        while True:
            wait_s = max(FIRST_DELAY_S * self._random(), self._next_at - loop.time())
            try:
                async with asyncio.timeout(wait_s):
                    await self._now.wait()
            except TimeoutError:
                pass  # the interval is over
            self._now.clear()
            await self._report(link)
            self._next_at = loop.time() + self._interval_s * (0.9 + 0.2 * self._random())

    async def _report(self, link: Link) -> None:
        known = await self._journal.do(lambda j: j.section_hashes())
        batch: list[dict[str, Any]] = []
        size = 0
        try:
            async with asyncio.timeout(_COLLECT_TIMEOUT_S):
                async with Child("farhand_agent.inventory_report") as child:
                    await child.send({"known": known, "leave_out": self._leave_out})
                    while (frame := await child.receive()) is not None:
                        match frame:
                            case {"section": {"blob": bytes(blob)} as section}:
                                if batch and size + len(blob) > MAX_BATCH_BYTES:
                                    await self._send(link, batch, _hashes(batch))
                                    batch, size = [], 0
                                batch.append(section)
                                size += len(blob)
                            case {"skipped": {"name": str(name), "bytes": int(count)}}:
                                say(f"section {name} of {count} bytes is too large to send")
                            case {"done": {"hashes": dict(hashes)}}:
                                await self._send(link, batch, hashes)
                                return
        except TimeoutError:
            say("collecting the inventory took too long")
        except FarhandError as error:
            if error.code not in _HARMLESS:
                raise
            say(f"no inventory was sent: {error}")

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
