"""Fresh trust metadata for a session process that works where no resident agent runs.

Where one runs, it keeps the verified copy up to date, and this module only waits for it.  What is
fetched is verified by the same child process as ever (farhand_agent.trust.update); a failure leaves
the old copy in force, and the grant's own checks decide.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from farhand_agent.config import read_limited
from farhand_agent.journal_thread import JournalThread
from farhand_agent.locks import is_held
from farhand_agent.session.control import Control
from farhand_agent.session.device import Device
from farhand_agent.trust.fetching import MAX_ROOT_BYTES, update_trust
from farhand_agent.trust.verified import Verified
from farhand_protocol.errors import FarhandError

__all__ = ["TrustFreshness"]

_log = logging.getLogger(__name__)

WAIT_S: Final = 15.0
_LOOK_S: Final = 0.25


class TrustFreshness:
    """Keeps the verified copy fresh over the session's own link."""

    def __init__(self, device: Device, journal: JournalThread, control: Control) -> None:
        self._device = device
        self._journal = journal
        self._control = control

    async def catch_up(self, known: Verified | None) -> None:
        """Get past what a grant's signer knew: fetch, or wait a while for the resident agent.

        Args:
            known: the copy that was not new enough.
        """
        if not is_held(self._device.home.lock):
            await self.refresh(force=True)
            return
        before = known.targets_version if known else 0
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while not await self._is_newer(before):  # noqa: ASYNC110
                    # The copy is replaced by another process, which cannot wake this one.
                    await asyncio.sleep(_LOOK_S)

    async def _is_newer(self, version: int) -> bool:
        trust = await asyncio.to_thread(self._device.trust)
        return trust is not None and trust.targets_version > version

    async def refresh(self, *, force: bool = False) -> None:
        """Fetch newer metadata where the relay has some and no resident agent does it."""
        device = self._device
        settings = device.settings
        if settings is None or is_held(device.home.lock):
            return
        trust = await asyncio.to_thread(device.trust)
        try:
            offered = await self._control.offered_timestamp()
            if not force and trust is not None and offered <= trust.timestamp_version:
                return
            root = await asyncio.to_thread(
                read_limited, device.home.trust / "pinned.root.json", MAX_ROOT_BYTES
            )
            await update_trust(
                self._control.request,
                folder=device.home.trust,
                root=root,
                tenant=settings.tenant,
                targets_floor=settings.targets_floor,
                now=await self._journal.do(lambda journal: journal.now()),
            )
        except (FarhandError, OSError) as error:
            _log.warning("trust was not updated: %s", error)
