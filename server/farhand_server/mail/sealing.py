"""Secrets of the mail side: the key that signs Message-IDs, and the passwords of mail servers.

A password is typed once, travels to the relay, and is kept in the database sealed
(`accounts.sealing`), bound to its server's name.  Nothing gives it out again: the API has no answer
that holds it.  What seals is made from the relay's own key, which every node has and a backup of
the home holds, so a restored relay still reads its mail, and a stolen database alone opens nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.sealing import make_sealing
from farhand_server.relay import Relay

__all__ = ["MAX_PASSWORD_CHARS", "MailKeys", "mail_keys", "seal", "unseal"]

MAX_PASSWORD_CHARS: Final = 1000
# Nothing else signs this; Ed25519 signs it alike each time (RFC 8032 s5.1.6).
_SENTENCE: Final = b"farhand relay: key that signs the Message-IDs of its mail, v1"


class MailKeys(NamedTuple):
    """`ids` signs Message-IDs."""

    ids: bytes

    def __repr__(self) -> str:
        return "MailKeys(hidden)"


def mail_keys(relay: Relay) -> MailKeys:
    """Return the keys; made once, with `relay.service(mail_keys)`."""
    return MailKeys(hashlib.sha256(relay.signer.sign(_SENTENCE)).digest())


def seal(relay: Relay, name: str, password: str) -> str:
    """Seal a password for the server of that name; an empty one stays empty."""
    if not password:
        return ""
    sealed = relay.service(make_sealing).seal(password.encode(), f"mail {name}")
    return base64.b64encode(sealed).decode()


def unseal(relay: Relay, name: str, sealed: str) -> str:
    """Return the password of the server of that name; empty where it has none.

    Raises:
        FarhandError: `mail-password` when it was sealed by another relay or for another server.
    """
    if not sealed:
        return ""
    try:
        raw = base64.b64decode(sealed, validate=True)
        return relay.service(make_sealing).open(raw, f"mail {name}").decode()
    except (binascii.Error, FarhandError, UnicodeDecodeError) as error:
        raise FarhandError(
            "mail-password",
            f"the password of {name[:80]} cannot be opened with this relay's key",
            hint="give it again: farhand mail set ... --password",
        ) from error
