"""Which sender takes which kind of item of the outbox, listed here and nowhere else.

To plug in: a coroutine `(relay, item)` that returns once the item was taken, or raises `TryLater`
or `GiveUp` of `outbox.sending`; its line goes into `SENDERS`.
"""

from __future__ import annotations

from farhand_server.care.notices import send_notice
from farhand_server.connectors.telling import send_connector
from farhand_server.mail.sending import send_mail
from farhand_server.outbox.sending import Sender
from farhand_server.webhooks.delivery import send_webhook

__all__ = ["SENDERS"]

SENDERS: tuple[tuple[str, Sender], ...] = (
    ("mail", send_mail),
    ("webhook", send_webhook),
    ("connector", send_connector),
    ("notice", send_notice),
)
