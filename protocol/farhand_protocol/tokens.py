"""Enrolment tokens, sign-in tokens, and the statements behind them.

An enrolment token is one string, `fh1:` and base64url of MessagePack.  It pins the relay (address,
key, TLS fingerprint), the tenant and the trust root, and carries a 32-byte seed.  The seed gives an
Ed25519 token key: the admin signs its public half (`Token`), the device signs its enrolment with it
(`Enrolment`), so that a console can verify a device key without believing the relay, which never
sees the seed.  A sign-in token is `fhl1:` and carries relay key, fingerprint, tenant and a secret.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from farhand_protocol.envelopes import Statement
from farhand_protocol.errors import UsageError

__all__ = [
    "Confirmation",
    "Enrolment",
    "EnrolmentToken",
    "SigninToken",
    "Token",
    "format_enrolment_token",
    "format_signin_token",
    "parse_enrolment_token",
    "parse_signin_token",
]

_MAX_TOKEN_CHARS = 4096
# As much as the link's HELLO holds.
MAX_TENANT_CHARS = 32


class EnrolmentToken(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True
):
    """What a device needs to trust one relay and one organisation.

    Attributes:
        url: the relay's address, http:// on loopback, https:// elsewhere.
        relay_key: raw Ed25519 key that signs the relay's side of the link handshake.
        tls_sha256: SHA-256 of the relay's certificate (DER), empty for a public certificate.
        tenant: organisation id.
        token: id of the registration at the relay.
        group: the group the device joins.
        root_version, root_sha256: the TUF root to start from.
        targets_version: lowest TUF targets version to accept.
        seed: 32 bytes; never leaves the device and the console that made it.
    """

    url: str
    relay_key: bytes
    tls_sha256: bytes
    tenant: str
    token: str
    group: str
    root_version: int
    root_sha256: bytes
    targets_version: int
    seed: bytes

    def __repr__(self) -> str:
        return f"EnrolmentToken(url={self.url!r}, token={self.token!r})"


class SigninToken(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True
):
    """What `farhand login` needs: the pinned relay, a one-use secret and, where an admin's console
    made it, the trust root to start from (version 0 and no digest from the relay's own `init`)."""

    relay_key: bytes
    tls_sha256: bytes
    tenant: str
    secret: bytes
    root_version: int = 0
    root_sha256: bytes = b""

    def __repr__(self) -> str:
        return "SigninToken(hidden)"


class Token(Statement, frozen=True, kw_only=True):
    """The registration of an enrolment token, sealed by an admin of the roster, or by the relay's
    own key for `farhand-server token` (devices then stay unconfirmed)."""

    tenant: str
    id: str
    key: bytes
    group: str
    uses: int
    created_at: str
    expires: str


class Enrolment(Statement, frozen=True, kw_only=True):
    """A device's wish to enrol, sealed by the token key and by the device key."""

    tenant: str
    token: str
    device: str
    device_key: bytes
    group: str
    name: str
    at: str


class Confirmation(Statement, frozen=True, kw_only=True):
    """An admin's word that this device key is really that machine, in that group."""

    tenant: str
    device: str
    device_key: bytes
    group: str
    at: str


T = TypeVar("T", EnrolmentToken, SigninToken)


def _is_plain(text: str, longest: int) -> bool:
    """Tell whether this can be shown and sent: short, printable ASCII without spaces."""
    return len(text) <= longest and text.isascii() and text.isprintable() and " " not in text


def _format(prefix: str, token: EnrolmentToken | SigninToken) -> str:
    text = base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).decode("ascii").rstrip("=")
    return prefix + text


def _parse(prefix: str, text: str, kind: type[T]) -> T:
    if len(text) <= 2 * _MAX_TOKEN_CHARS:
        text = "".join(text.split())
    if not text.startswith(prefix) or len(text) > _MAX_TOKEN_CHARS:
        raise UsageError(
            "token-malformed",
            f"this is not a token that starts with {prefix}",
            hint="copy the whole line, from the prefix to the last character",
        )
    body = text.removeprefix(prefix)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        token = msgspec.msgpack.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(
            "token-malformed",
            "the token is damaged or cut short",
            hint="copy the whole line, from the prefix to the last character",
        ) from error
    if len(token.relay_key) != 32 or len(token.tls_sha256) not in (0, 32):
        raise UsageError("token-malformed", "the token holds a key of the wrong length")
    if not _is_plain(token.tenant, MAX_TENANT_CHARS) or not 0 <= token.root_version < 2**31:
        raise UsageError("token-malformed", "the token holds a value that is not allowed")
    return token


def format_enrolment_token(token: EnrolmentToken) -> str:
    """Write a token as one string, `fh1:...`."""
    return _format("fh1:", token)


def parse_enrolment_token(text: str) -> EnrolmentToken:
    """Read a token; white space inside (from mail or a terminal) does not matter.

    Raises:
        UsageError: `token-malformed`.
    """
    token = _parse("fh1:", text, EnrolmentToken)
    if len(token.seed) != 32 or len(token.root_sha256) != 32:
        raise UsageError("token-malformed", "the token holds a value of the wrong length")
    if not token.url.startswith(("http://", "https://")) or not _is_plain(token.url, 512):
        raise UsageError("token-malformed", "the token names no relay address")
    if not (
        _is_plain(token.token, 64)
        and _is_plain(token.group, 64)
        and 0 <= token.targets_version < 2**31
    ):
        raise UsageError("token-malformed", "the token holds a value that is not allowed")
    return token


def format_signin_token(token: SigninToken) -> str:
    """Write a sign-in token as one string, `fhl1:...`."""
    return _format("fhl1:", token)


def parse_signin_token(text: str) -> SigninToken:
    """Read a sign-in token.

    Raises:
        UsageError: `token-malformed`.
    """
    token = _parse("fhl1:", text, SigninToken)
    if len(token.secret) != 32 or len(token.root_sha256) not in (0, 32):
        raise UsageError("token-malformed", "the token holds a value of the wrong length")
    return token
