"""What was said on a ticket, as lines: quoted words of mails folded to one line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farhand_console.output import line
from farhand_console.relay.desk import TicketMessage

__all__ = ["show_thread"]


def show_thread(number: str, messages: Iterable[TicketMessage], *, quoted: bool) -> None:
    """Show messages.

    Args:
        number: of the ticket; where a message was said on another, that is named.
        messages: in their order.
        quoted: whether quoted words are shown, too.
    """
    for message in messages:
        line("")
        elsewhere = f", {message.ticket}" if message.ticket not in ("", number) else ""
        line(f"{message.at}  {message.author}  ({message.kind}{elsewhere})")
        for is_folded, text in _pieces(message):
            rows = text.splitlines()
            if is_folded and not quoted:
                count = f"{len(rows)} quoted line{'s' if len(rows) > 1 else ''}"
                line(f"  ... {count}; --quoted shows {'them' if len(rows) > 1 else 'it'}")
                continue
            for words in rows:
                line("  " + words, 4000)


def _pieces(message: TicketMessage) -> Iterator[tuple[bool, str]]:
    """Yield a body in pieces, each with whether it is folded; impossible ranges fold nothing."""
    at = 0
    for start, end in message.folded:
        if not at <= start < end <= len(message.body):
            break
        yield False, message.body[at:start]
        yield True, message.body[start:end]
        at = end
    yield False, message.body[at:]
