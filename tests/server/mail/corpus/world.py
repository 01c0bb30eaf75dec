"""What the corpus takes for granted: who there is, which tickets, what is stored.

`World()` stands for itself in tests without a database.  A test with one makes the same tickets and
hands over their numbers, its key and its address, and the messages are about those.

    printer   Anna's ticket; Bob takes part; her first mail had the Message-ID `ANNA_FIRST`
    merged    Anna's older ticket, merged into `printer`
    other     Carla's ticket, in which neither Anna nor Bob takes part
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from farhand_server.mail.folding import visible_text
from farhand_server.mail.message_ids import OwnId, make_message_id, read_message_id
from farhand_server.mail.parsed import AutoKind, ParsedMail
from farhand_server.mail.threading import Decision, Lookups, thread

__all__ = [
    "ANNA",
    "ANNA_FIRST",
    "BOB",
    "CARLA",
    "STRANGER",
    "Case",
    "Expected",
    "Outcome",
    "World",
]

ANNA = "anna@customer.example"
BOB = "bob@customer.example"
CARLA = "carla@other.example"
STRANGER = "eve@elsewhere.example"
ANNA_FIRST = "<first-1@customer.example>"

Outcome = Literal["new", "reply", "unverified", "bounce", "loop", "quarantine"]


class World(NamedTuple):
    """Key, address and tickets."""

    key: bytes = b"corpus key of thirty-two bytes.."
    mailbox: str = "desk@desk.example"
    printer: int = 12
    merged: int = 11
    other: int = 13

    @property
    def domain(self) -> str:
        """Return what stands behind the `@` of our addresses."""
        return self.mailbox.partition("@")[2]

    def token(self, ticket: int, *, message: int = 1, key: bytes | None = None) -> str:
        """Return a Message-ID of ours, or of another relay with another key."""
        return make_message_id(
            key or self.key, ticket=ticket, message=message, nonce=b"corpus", domain=self.domain
        )

    def own(self, message_id: str) -> OwnId | None:
        """Return what a Message-ID of ours says."""
        return read_message_id(self.key, message_id)

    def decide(self, mail: ParsedMail) -> Decision:
        """Return where a mail goes in this world."""
        there = {self.printer: self.printer, self.merged: self.printer, self.other: self.other}
        part = {self.printer: (ANNA, BOB), self.merged: (ANNA,), self.other: (CARLA,)}
        return thread(
            mail,
            Lookups(
                own=self.own,
                stored={ANNA_FIRST: self.printer}.get,
                follow=there.get,
                takes_part=lambda ticket, who: who in part.get(ticket, ()),
            ),
        )


class Expected(NamedTuple):
    """What must come of a message.

    `visible` is what a person reads without unfolding; None where nothing is claimed.  `files`
    are names in their order.  `monitoring` is state, host, service.  `bounced` are the addresses
    that failed, `permanent` whether one of them for good.
    """

    outcome: Outcome = "new"
    ticket: int | None = None
    auto: AutoKind = "person"
    visible: str | None = None
    subject: str | None = None
    files: tuple[str, ...] | None = None
    quarantine: str = ""
    monitoring: tuple[str, str, str] | None = None
    bounced: tuple[str, ...] | None = None
    permanent: bool | None = None


class Case(NamedTuple):
    """One message: its bytes as they come, and what must come of it."""

    name: str
    raw: bytes
    expected: Expected

    def shown(self, mail: ParsedMail) -> str:
        """Return what a person reads of it without unfolding."""
        return visible_text(mail.text, subject=mail.subject)
