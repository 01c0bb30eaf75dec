"""The resident agent's part in its own update: pieces of a release, making way, what came out.

Small, because it stays in memory.  What is approved, whether it is the right file, when it is tried
and when taken back is decided elsewhere (`updates`).  Whoever may speak on the local socket is this
very user.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from farhand_agent.config import Home, write_atomically
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import Link
from farhand_agent.notices import say
from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import FetchTrust, TrustFile

__all__ = ["UpdateDesk"]

_ASK_S: Final = 8.0


class UpdateDesk:
    """Handlers of the local socket.

    Args:
        home: of the device.
        journal: its journal.
        stopping: set to end the resident agent.
    """

    def __init__(self, home: Home, journal: JournalThread, stopping: asyncio.Event) -> None:
        self._home = home
        self._journal = journal
        self._stopping = stopping
        self.link: Link | None = None
        self.is_handing_over = False

    async def piece(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the relay for a piece of a release: `name`, `offset` to `total`, `body` (base64).

        Raises:
            FarhandError: `not-connected`, `link-lost`, `relay-silent`.
        """
        name, offset = request.get("name"), request.get("offset")
        if not isinstance(name, str) or not isinstance(offset, int) or len(name) > 200:
            raise FarhandError("request-malformed", "the request cannot be read")
        if self.link is None or not name.startswith("releases/"):
            raise FarhandError("not-connected", "there is no link to the relay")
        answer = await self.link.request(
            lambda seq: FetchTrust(seq=seq, kind="target", name=name, offset=offset),
            timeout_s=_ASK_S,
        )
        if not isinstance(answer, TrustFile):
            return {"total": -1, "body": b""}
        return {"total": answer.total, "body": answer.body}

    async def hand_over(self, _: dict[str, Any]) -> dict[str, Any]:
        """End, and start again as whatever is due then."""
        self.is_handing_over = True
        self._stopping.set()
        return {}

    async def begin(self) -> None:
        """Say where our socket is, and tell the device's log once how the last update ended.

        Raises:
            FarhandError: `journal-full`, `update-state`; it is told at the next start.
            OSError: the disk is full.
        """
        # A script's environment is its own, so an update could not find us by XDG_RUNTIME_DIR.
        folder = os.environ.get("XDG_RUNTIME_DIR", "").encode()
        write_atomically(self._home.path / "runtime-folder", folder)
        if not (self._home.path / "versions").is_dir():
            return
        # Late, because an agent that was never updated has no use for it.
        from msgspec import structs

        from farhand_agent.updates.state import ENDED, load_state, save_state

        state = load_state(self._home)
        if state is None or state.step not in ENDED or state.is_reported:
            return
        is_good = state.step == "good"
        await self._journal.do(
            lambda j: j.log(
                "agent-updated" if is_good else "agent-update-failed",
                version=state.version,
                before=state.before,
                order=state.attempt,
                reason=state.reason or None,
            )
        )
        save_state(self._home, structs.replace(state, is_reported=True))
        say(f"the update to {state.version} " + ("is done" if is_good else "was taken back"))
