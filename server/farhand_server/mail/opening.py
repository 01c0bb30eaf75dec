"""Signs in to an IMAP server and opens its folder: with its password, or with a token."""

from __future__ import annotations

import asyncio

from farhand_protocol.errors import FarhandError
from farhand_server.mail.imap import Folder
from farhand_server.mail.mailboxes import Server
from farhand_server.mail.oauth import mail_tokens
from farhand_server.relay import Relay

__all__ = ["open_folder"]


async def open_folder(relay: Relay, server: Server, password: str) -> Folder:
    """Return an open folder; close it with `close`, in a thread.

    Raises:
        FarhandError: `mail-unreachable`, `mail-server`, `mail-oauth`.
    """
    tokens = relay.service(mail_tokens)
    credential = await tokens.credential(server, password)
    try:
        return await asyncio.to_thread(Folder, server, credential)
    except FarhandError:
        tokens.forget(server)
        raise
