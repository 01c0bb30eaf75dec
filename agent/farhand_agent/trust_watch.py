"""Keeps the verified trust copy up to date, and tells the device what it means.

One update at a time, when the relay mentions newer metadata, when an order was signed over newer
metadata, and twice a day.  After each, changes are looked for: a policy, a group or a roster that
is not the one last announced is announced in the device's log, and sessions of operators who have
left the roster are ended, all of them where the device's own key was revoked.  Everything is
compared with the journal, so that nothing is lost when the agent dies in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from farhand_agent.alarms import raise_alarm
from farhand_agent.config import Home, Settings, read_limited
from farhand_agent.errors import LinkLost
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import Link
from farhand_agent.notices import say
from farhand_agent.policy import effective_policy, load_own
from farhand_agent.policy_changes import note_policy
from farhand_agent.trust.fetching import MAX_ROOT_BYTES, fetch_root, update_trust
from farhand_agent.trust.verified import Verified, current_group, load_verified
from farhand_protocol.errors import FarhandError

__all__ = ["TrustWatch"]

REFRESH_S: Final = 12 * 3600.0
# A relay that keeps saying "there is newer" cannot make the device fetch more often than this.
MIN_PAUSE_S: Final = 2.0


class DropOperators(Protocol):
    """Ends the sessions of everybody whose key is not among these."""

    async def __call__(self, keys: set[str], *, reason: str) -> list[str]:
        """Return the sessions that were ended."""


class TrustWatch:
    """Runs as one task of each link, and announces changes at start as well.

    Args:
        home, settings, journal: of the device.
        drop_operators: ends the sessions of operators who are not named any more.
        schedules_noted: told the standing schedules of the policy whenever that was looked at.
        wanted: set by whoever wants an update.
        updated: set after each attempt.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        journal: JournalThread,
        *,
        drop_operators: DropOperators,
        schedules_noted: Callable[[Sequence[str]], None] = lambda _: None,
        wanted: asyncio.Event,
        updated: asyncio.Event,
    ) -> None:
        self._home = home
        self._settings = settings
        self._journal = journal
        self._drop_operators = drop_operators
        self._schedules_noted = schedules_noted
        self._wanted = wanted
        self._updated = updated
        self.last_error = ""
        self.versions: dict[str, Any] = {}
        self.group = settings.group
        self.is_revoked = False

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
        self.group = current_group(self._settings, trust)
        self.is_revoked = trust.revokes(self._settings.device)
        try:
            await self._announce_revocation()
            await self._announce_group()
            await self._announce_policy(trust)
            await self._announce_people(trust)
            await self._end_sessions(trust)
        except FarhandError as error:
            say(str(error))

    async def _announce_revocation(self) -> None:
        if not self.is_revoked:
            return
        words = await self._journal.do(lambda j: raise_alarm(j, "device-revoked", j.now_text()))
        if words:
            say(words)

    async def _announce_group(self) -> None:
        known = await self._journal.do(lambda j: j.meta("group")) or self._settings.group
        if known != self.group:
            await self._journal.do(
                lambda j: j.set_meta(
                    "group", self.group, kind="group-changed", before=known, group=self.group
                )
            )
            say(f"an admin moved this device from group {known} to {self.group}")

    async def _announce_policy(self, trust: Verified) -> None:
        policy = effective_policy(self._home, self.group, trust)
        news = await self._journal.do(lambda j: note_policy(j, policy))
        self._schedules_noted(policy.schedules)
        if news is not None:
            say("the policy of this device changed:")
            for line in news.words:
                say(f"  {line}")

    async def _announce_people(self, trust: Verified) -> None:
        """Say whose keys may act here now, and whose may not any more."""
        now = {f"{key.hex()} {one.name}" for one in trust.roster.operators for key in one.keys}
        known = await self._journal.do(lambda j: j.meta("roster"))
        before = set((known or "").split("\n")) if known else set()
        if now == before:
            return
        added, removed = _names(now - before), _names(before - now)
        await self._journal.do(
            lambda j: j.set_meta(
                "roster", "\n".join(sorted(now)), kind="roster-changed",
                added=added, removed=removed,
            )
        )  # fmt: skip
        if known is not None:
            for words, names in (
                ("may act here now", added),
                ("may not act here any more", removed),
            ):
                if names:
                    say(f"{', '.join(names)} {words}")

    async def _end_sessions(self, trust: Verified) -> None:
        keys = set() if self.is_revoked else {key.hex() for key in trust.roster.all_keys()}
        reason = "device-revoked" if self.is_revoked else "operator-removed"
        for session in await self._drop_operators(keys, reason=reason):
            why = "this device's key was revoked" if self.is_revoked else "its operator left"
            say(f"{session} was ended: {why}")


def _names(entries: set[str]) -> list[str]:
    return sorted({entry.partition(" ")[2] for entry in entries})
