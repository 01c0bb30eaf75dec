"""Any desk that reads mail: a letter to it with its own subject tag is a comment on its ticket.

What works everywhere else works here in one direction: nothing is fetched, nothing comes back but
mail, which is the mailboxes' business.  The tag is a pattern with `{key}`, as that desk writes it:
`[Example #{key}]`, `[#{key}]`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from farhand_protocol.errors import FarhandError
from farhand_server.connectors.desks import (
    DeskError,
    Draft,
    ForeignEvent,
    ForeignTicket,
    Reference,
    Remark,
    quoted,
)

__all__ = ["Letters", "Post"]

# Takes subject, text and a key under which the same letter goes once.
Post = Callable[[str, str, str], Awaitable[None]]


class Letters:
    """One desk that is reached by mail."""

    is_public = False

    def __init__(self, post: Post, *, tag: str) -> None:
        self._post = post
        self._tag = tag

    async def get(self, key: str) -> ForeignTicket:
        """Return what is known without asking: the key."""
        quoted(key)
        return ForeignTicket(key=key, title=self._subject(key))

    def _subject(self, key: str) -> str:
        return self._tag.replace("{key}", key)

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Write a letter; its key keeps a second one from being written."""
        quoted(key)
        spent = f"\n\n{remark.minutes} min" if remark.minutes else ""
        await self._post(self._subject(key), remark.text + spent, remark.marker)

    async def link(self, key: str, reference: Reference) -> bool:
        """Say that addresses stand in letters."""
        return False

    async def create(self, draft: Draft) -> ForeignTicket:
        """Refuse: which ticket a letter makes, nobody says."""
        raise DeskError("a desk that is reached by mail names no ticket that it makes", status=400)

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Refuse: mail is no webhook."""
        raise FarhandError("hook-refused", "a desk that is reached by mail sends no webhooks")
