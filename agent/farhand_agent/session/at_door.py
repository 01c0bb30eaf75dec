"""`farhand-agent code` where the agent is another user's: the terminal of a session at its door.

The agent starts the session's process and ends it with our connection.  What happens is asked for
again and again and shown as ever (screen.py); what the person wants goes back line by line, in its
order.

    begun    {"do": "code"}, held      -> followed    events, until there are none
    any      Ctrl-C                    -> stopping    {"stop": true}; a second one lets go at once
    any      it does not answer        -> the same    asked again while it holds the connection
    any      the agent lets go of it   -> over        exit status 1, unless an end was seen
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

import msgspec

from farhand_agent.door import Door
from farhand_agent.session.events import Ended, Event, Paused, Refused, decode_event
from farhand_agent.session.screen import SessionScreen
from farhand_agent.wording import own_wording
from farhand_protocol.errors import FarhandError

__all__ = ["DoorTerminal"]

_BEGIN_S: Final = 40.0
_AGAIN_S: Final = 2.0
_MAX_LINES: Final = 64
# What says something about the code or the network; every other refusal is a decision.
_FAILED: Final = ("code-expired", "code-wrong", "code-burned", "pairing-malformed", "link-lost")


class DoorTerminal:
    """Follows one session that the agent runs for us.

    Args:
        door: of the agent.
        yes, as_json: see `SessionScreen`.
    """

    def __init__(self, door: Door, *, yes: bool, as_json: bool) -> None:
        self._door = door
        self._yes = yes
        self._as_json = as_json
        self._lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MAX_LINES)
        self._let_go = asyncio.Event()
        self._stopped = False
        self._status = 1
        self._screen: SessionScreen

    async def run(self, scopes: list[str] | None, minutes: int | None) -> int:
        """Begin a code, show what becomes of it, and return the command's exit status.

        Raises:
            FarhandError: `people-...`, `agent-not-running`, `child-failed`.
        """
        request = {"do": "code", "scopes": scopes, "minutes": minutes}
        async with self._door.hold(request, timeout_s=_BEGIN_S) as held:
            name = str(held.answer.get("name"))
            self._screen = SessionScreen(
                yes=self._yes, as_json=self._as_json, send=self._send, stop=self._stop
            )
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._stop)
            try:
                async with asyncio.TaskGroup() as group:
                    telling = group.create_task(self._tell(name))
                    ending = group.create_task(held.gone())
                    following = group.create_task(self._follow(name, ending))
                    letting_go = group.create_task(self._let_go.wait())
                    await asyncio.wait({following, letting_go}, return_when=asyncio.FIRST_COMPLETED)
                    for task in (telling, ending, following, letting_go):
                        task.cancel()
            finally:
                self._screen.close()
        return self._status

    async def _follow(self, name: str, ending: asyncio.Task[None]) -> None:
        after, is_over, said = 0, False, ""
        while not is_over:
            try:
                answer = await self._door.call({"do": "events", "name": name, "after": after})
            except FarhandError as error:
                if error.code == "people-session":
                    return  # its process is gone, and what it said last was shown
                if error.message != said:
                    said = error.message
                    self._screen.say(said)
                # An agent that is busy holds the connection all the same, and the session goes on.
                await asyncio.wait({ending}, timeout=_AGAIN_S)
                if ending.done():
                    return
                continue
            for number, fields in answer.get("events", []):
                after = int(number)
                event = decode_event(msgspec.json.encode(fields))
                self._note(event)
                self._screen.show(event)
            is_over = bool(answer.get("over"))

    def _note(self, event: Event) -> None:
        match event:
            case Ended() | Paused():
                self._status = 0
            case Refused(reason=reason):
                self._status = 1 if reason in _FAILED else 3

    async def _tell(self, name: str) -> None:
        while True:
            line = await self._lines.get()
            try:
                await self._door.call({"do": "tell", "name": name, "line": line})
            except FarhandError as error:
                self._screen.say(error.message)
                if "stop" in line:
                    self._let_go.set()  # the session ends with the connection, too

    def _send(self, fields: dict[str, Any]) -> None:
        if not self._lines.full():  # nobody types faster than that
            self._lines.put_nowait(fields)

    def _stop(self) -> None:
        """Ctrl-C: stop at once; a second one does not wait for a receipt."""
        if self._stopped:
            self._let_go.set()
            return
        self._stopped = True
        self._screen.say(own_wording()("stopping"))
        self._send({"stop": True})
