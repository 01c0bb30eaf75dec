"""Which ticket a mail belongs to: a pure decision over a few small look-ups.

The order, and the first that names a ticket of ours wins:

| # | what names it | who may |
|---|---|---|
| 0 | a bounce: what came back | nobody: it is noted, reopens nothing |
| 1 | a token of ours in In-Reply-To, then References, newest to oldest | all, see below |
| 2 | the same ids: one that is stored, the customer's first included | all, see below |
| 3 | the tag `[FH-12]` in the subject | participants only; a bounce that names one |
| 4 | nothing: a new ticket | |

Walking *all* references is what keeps an answer in its ticket when a program in between rewrote
In-Reply-To (freescout #4020); the stored ids are what keeps people in copy, who answer the
customer's own mail, from opening tickets of their own (freescout #2086).

Who names a ticket and takes no part in it is a stranger: what she writes is kept as an
*unverified* message with a warning to the owner, and reopens nothing.  The tag of a stranger names
nothing, since numbers are guessed.  A merged ticket leads to where it went.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

from farhand_server.mail.message_ids import OwnId
from farhand_server.mail.parsed import ParsedMail
from farhand_server.mail.subjects import find_tags

__all__ = ["Decision", "Lookups", "asked_ids", "asked_people", "asked_tags", "thread"]

_MAX_FAILED: Final = 10


class Lookups(NamedTuple):
    """What the decision asks.

    None of them waits: a caller with a database asks it beforehand, for `asked_ids`, `asked_tags`
    and `asked_people`, and hands over what it learnt.

    own: what a Message-ID of ours says; None for others (`read_message_id` with the key).
    stored: number of the ticket that holds a mail with this Message-ID, in whatever mailbox.
    follow: where a ticket is now: its own number, or that of what it was merged into; None where
        there is no such ticket.
    takes_part: whether this address is the requester's or a participant's who may write.
    """

    own: Callable[[str], OwnId | None]
    stored: Callable[[str], int | None]
    follow: Callable[[int], int | None]
    takes_part: Callable[[int, str], bool]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Where a mail goes.

    `ticket` is where it goes now, `named` what the mail named before merging was followed; both
    None for a new ticket (and for a bounce of nothing that we know).  `by` says what named it and
    `message_id` which id did.  `may_reopen` is False for strangers and for automatic mail.
    """

    kind: Literal["reply", "unverified", "new", "bounce"]
    ticket: int | None = None
    named: int | None = None
    by: Literal["token", "stored", "tag", ""] = ""
    message_id: str = ""
    may_reopen: bool = False


def asked_ids(mail: ParsedMail) -> tuple[str, ...]:
    """Return the Message-IDs that say where the mail belongs, in the order of the decision."""
    bounced = mail.bounce.original_ids if mail.bounce is not None else ()
    return tuple(dict.fromkeys((*bounced, *mail.in_reply_to, *reversed(mail.references))))


def asked_tags(mail: ParsedMail) -> tuple[int, ...]:
    """Return the ticket numbers that tags in the subject name."""
    bounced = mail.bounce.original_subject if mail.bounce is not None else ""
    return tuple(dict.fromkeys((*find_tags(mail.subject), *find_tags(bounced))))


def asked_people(mail: ParsedMail) -> tuple[str, ...]:
    """Return the addresses of which it may matter whether they take part."""
    senders = (mail.sender.mail,) if mail.sender is not None else ()
    failed = mail.bounce.recipients[:_MAX_FAILED] if mail.bounce is not None else ()
    return tuple(dict.fromkeys((*senders, *(one.mail for one in failed))))


def thread(mail: ParsedMail, lookups: Lookups) -> Decision:
    """Return where a mail goes; never raises but what a look-up raises."""
    named = _by_token(mail, lookups) or _by_stored(mail, lookups)
    if mail.bounce is not None or mail.auto.kind == "bounce":
        return _bounce(named or _by_failed(mail, lookups))
    if named is None:
        tagged = _by_tag(mail, lookups)
        if tagged is None or not _takes_part(mail, lookups, tagged):
            return Decision(kind="new")
        named = tagged
    known = _takes_part(mail, lookups, named)
    return Decision(
        kind="reply" if known else "unverified",
        ticket=named.ticket,
        named=named.named,
        by=named.by,
        message_id=named.message_id,
        may_reopen=known and not mail.auto.auto,
    )


class _Named(NamedTuple):
    ticket: int
    named: int
    by: Literal["token", "stored", "tag"]
    message_id: str


def _by_token(mail: ParsedMail, lookups: Lookups) -> _Named | None:
    for one in asked_ids(mail):
        own = lookups.own(one)
        if own is not None and (ticket := lookups.follow(own.ticket)) is not None:
            return _Named(ticket, own.ticket, "token", one)
    return None


def _by_stored(mail: ParsedMail, lookups: Lookups) -> _Named | None:
    for one in asked_ids(mail):
        number = lookups.stored(one)
        if number is not None and (ticket := lookups.follow(number)) is not None:
            return _Named(ticket, number, "stored", one)
    return None


def _by_tag(mail: ParsedMail, lookups: Lookups) -> _Named | None:
    for number in asked_tags(mail):
        if (ticket := lookups.follow(number)) is not None:
            return _Named(ticket, number, "tag", "")
    return None


def _by_failed(mail: ParsedMail, lookups: Lookups) -> _Named | None:
    # What came back may have lost its Message-ID.  Anybody can write a bounce with a number in it,
    # so it must also name somebody to whom we do write about that ticket.
    tagged = _by_tag(mail, lookups)
    if tagged is None or mail.bounce is None:
        return None
    failed = (one.mail for one in mail.bounce.recipients[:_MAX_FAILED])
    return tagged if any(lookups.takes_part(tagged.ticket, who) for who in failed) else None


def _takes_part(mail: ParsedMail, lookups: Lookups, named: _Named) -> bool:
    if mail.sender is None:
        return False
    who = mail.sender.mail
    # Whoever took part in a merged ticket takes part where it went; look at both all the same,
    # since merging unites people at its own moment.
    return lookups.takes_part(named.ticket, who) or lookups.takes_part(named.named, who)


def _bounce(named: _Named | None) -> Decision:
    if named is None:
        return Decision(kind="bounce")
    return Decision(
        kind="bounce",
        ticket=named.ticket,
        named=named.named,
        by=named.by,
        message_id=named.message_id,
    )
