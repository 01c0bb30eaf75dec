"""Keeps the verified trust copy up to date, and tells the device what it means.

One update at a time, when the relay mentions newer metadata, when an order was signed over newer
metadata, and twice a day.  After each, changes are looked for: a policy that is not the one last
announced is announced in the device's log, and sessions of operators who have left the roster are
ended.  Both compare with the journal, so that neither is lost when the agent dies in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from farhand_agent.config import Home, Settings, read_limited
from farhand_agent.errors import LinkLost
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import Link
from farhand_agent.notices import say
from farhand_agent.policy import effective_policy, load_own, policy_digest, policy_words
from farhand_agent.trust.fetching import MAX_ROOT_BYTES, fetch_root, update_trust
from farhand_agent.trust.verified import load_verified
from farhand_protocol.errors import FarhandError

__all__ = ["TrustWatch"]

REFRESH_S: Final = 12 * 3600.0
# A relay that keeps saying "there is newer" cannot make the device fetch more often than this.
MIN_PAUSE_S: Final = 2.0


class TrustWatch:
    """Runs as one task of each link, and announces changes at start as well.

    Args:
        home, settings, journal: of the device.
        drop_operators: ends the sessions of operators who are not named any more.
        wanted: set by whoever wants an update.
        updated: set after each attempt.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        journal: JournalThread,
        *,
        drop_operators: Callable[[set[str]], Awaitable[list[str]]],
        wanted: asyncio.Event,
        updated: asyncio.Event,
    ) -> None:
        self._home = home
        self._settings = settings
        self._journal = journal
        self._drop_operators = drop_operators
        self._wanted = wanted
        self._updated = updated
        self.last_error = ""
        self.versions: dict[str, Any] = {}

    async def follow(self, link: Link) -> None:
        """Update over this link whenever wanted; runs until cancelled.

        Raises:
            LinkLost: the link is gone.
        """
        while True:
            self._wanted.clear()
            await self._update(link)
            self._updated.set()
            await asyncio.sleep(MIN_PAUSE_S)
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _update(self, link: Link) -> None:
        try:
            root = await self._root(link)
            now = await self._journal.do(lambda j: j.now())
            self.versions = await update_trust(
                link.request,
                folder=self._home.trust,
                root=root,
                tenant=self._settings.tenant,
                targets_floor=self._settings.targets_floor,
                now=now,
            )
        except LinkLost:
            raise
        except FarhandError as error:
            await self._complain(error)
            return
        self.last_error = ""
        await self.announce()

    async def _root(self, link: Link) -> bytes:
        """Return the pinned root, fetched and checked again where the home has lost it."""
        try:
            return read_limited(self._home.trust / "pinned.root.json", MAX_ROOT_BYTES)
        except FileNotFoundError:
            return await fetch_root(
                link.request, self._settings.root_version, self._settings.root_sha256
            )

    async def _complain(self, error: FarhandError) -> None:
        """Keep the old copy in force and say why, once per change of reason."""
        say(f"trust was not updated: {error}")
        if error.code != self.last_error:
            self.last_error = error.code
            try:
                await self._journal.do(lambda j: j.log("trust-not-updated", code=error.code))
            except FarhandError as full:
                say(str(full))

    async def announce(self) -> None:
        """Announce a policy that has changed, and end sessions of operators who have left."""
        try:
            trust = load_verified(self._home)
        except FarhandError as error:
            await self._complain(error)
            return
        if trust is None:
            return
        try:
            load_own(self._home)
        except FarhandError as error:
            say(str(error))
        policy = effective_policy(self._home, self._settings.group, trust)
        digest = policy_digest(policy)
        words = policy_words(policy)
        try:
            announced = await self._journal.do(lambda j: j.meta("policy"))
            if announced != digest:
                await self._journal.do(
                    lambda j: j.set_meta("policy", digest, kind="policy-changed", allows=words)
                )
                if announced is not None:
                    say("the policy of this device changed:")
                    for line in words:
                        say(f"  {line}")
            keys = {key.hex() for key in trust.roster.all_keys()}
            for session in await self._drop_operators(keys):
                say(f"{session} was ended: its operator left")
        except FarhandError as error:
            say(str(error))
