"""Trust files over device links: pieces on request, and notices of newer metadata.

The bytes are the trust service's; the device verifies them by itself, so nothing is judged here.
"""

from __future__ import annotations

import logging

from farhand_protocol import messages
from farhand_server.gateway.link import Link
from farhand_server.relay import Relay
from farhand_server.trust.service import make_trust

__all__ = ["TrustFiles", "notice_of"]

logger = logging.getLogger(__name__)


def notice_of(data: bytes) -> bytes | None:
    """Turn what `trust.{tenant}` says, a version in decimal, into an encoded TrustNotice."""
    if not data.isdigit() or len(data) > 18:
        logger.warning("a trust notice cannot be read")
        return None
    return messages.encode_message(messages.TrustNotice(timestamp_version=int(data)))


class TrustFiles:
    """Answers FetchTrust.

    Args:
        relay: the wiring.
    """

    def __init__(self, relay: Relay) -> None:
        self._trust = relay.service(make_trust)

    async def on_fetch_trust(
        self, link: Link, message: messages.FetchTrust
    ) -> messages.RelayMessage | None:
        """Return one piece of a file; a total of -1 says that there is none."""
        total, body = await self._trust.fetch(message.kind, message.name, message.offset)
        return messages.TrustFile(seq=message.seq, total=total, body=body)
