"""Where the page's facts come from: a home of this user's own, or the door of another's agent."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from farhand_agent.config import Home
from farhand_agent.desktop.facts import DeviceFacts, device_facts, one_receipt, receipts_shown
from farhand_agent.door import ERRAND_TIMEOUT_S, Door
from farhand_agent.help_request import ask_at_door, ask_for_help
from farhand_agent.wording import Wording
from farhand_protocol.errors import FarhandError

__all__ = ["DoorSources", "OwnSources", "Sources"]

T = TypeVar("T")


class Sources(Protocol):
    """What the page tells of the device, and the way to the desk."""

    async def facts(self) -> DeviceFacts:
        """Return who the device is and what somebody should look at."""

    async def receipts(self) -> list[dict[str, Any]]:
        """Return the newest receipts, newest first."""

    async def receipt(self, session: str, w: Wording) -> str | None:
        """Return one receipt in words."""

    async def ask_for_help(self, text: str, tried: str, picture: bytes, language: str) -> None:
        """Note a call for help."""


class OwnSources:
    """A home that is this user's."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def facts(self) -> DeviceFacts:
        """Return who the device is and what somebody should look at."""
        return await asyncio.to_thread(device_facts, self._home)

    async def receipts(self) -> list[dict[str, Any]]:
        """Return the newest receipts, newest first."""
        return await asyncio.to_thread(receipts_shown, self._home)

    async def receipt(self, session: str, w: Wording) -> str | None:
        """Return a receipt in words, None where there is none that can be believed."""
        return await asyncio.to_thread(one_receipt, self._home, session, w)

    async def ask_for_help(self, text: str, tried: str, picture: bytes, language: str) -> None:
        """Note a call for help.

        Raises:
            FarhandError: see farhand_agent.help_request.
        """
        ask = partial(ask_for_help, tried=tried, picture=picture, language=language)
        await asyncio.to_thread(ask, self._home, text)


class DoorSources:
    """The agent of another user; its answers are looked at before they are shown."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def facts(self) -> DeviceFacts:
        """Return who the device is and what somebody should look at.

        Raises:
            FarhandError: `people-stranger`, `agent-not-running`, `agent-silent`.
        """
        answer = await self._door.call({"do": "facts"}, timeout_s=ERRAND_TIMEOUT_S)
        return _converted(answer.get("facts"), DeviceFacts)

    async def receipts(self) -> list[dict[str, Any]]:
        """Return those of the sessions that concerned this user, newest first.

        Raises:
            FarhandError: as `facts`.
        """
        answer = await self._door.call({"do": "receipts"}, timeout_s=ERRAND_TIMEOUT_S)
        return _converted(answer.get("items"), list[dict[str, Any]])

    async def receipt(self, session: str, w: Wording) -> str | None:
        """Return one of them in words.

        Raises:
            FarhandError: as `facts`.
        """
        request = {"do": "receipt", "session": session, "language": w.language}
        answer = await self._door.call(request, timeout_s=ERRAND_TIMEOUT_S)
        text = answer.get("text")
        return None if text is None else _converted(text, str)

    async def ask_for_help(self, text: str, tried: str, picture: bytes, language: str) -> None:
        """Note a call for help.

        Raises:
            FarhandError: see farhand_agent.help_request.
        """
        ask = partial(ask_at_door, tried=tried, picture=picture, language=language)
        await asyncio.to_thread(ask, self._door, text)


def _converted(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise FarhandError("agent-silent", "the running agent gave no answer") from error
