"""Passwords, kept as argon2id; hashing runs in a few threads only.

A hash costs tens of milliseconds and 64 MiB on purpose, so it never runs on the event loop and at
most `_AT_ONCE` run at a time; what else asks waits (rate limits keep that queue short).
"""

from __future__ import annotations

import anyio.to_thread
from anyio import CapacityLimiter
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from farhand_protocol.errors import UsageError
from farhand_server.relay import Relay

__all__ = ["Passwords", "make_passwords"]

_AT_ONCE = 2
_MIN_CHARS = 12
_MAX_CHARS = 256


def make_passwords(_relay: Relay) -> Passwords:
    """Return the relay's password service."""
    return Passwords(PasswordHasher())


class Passwords:
    """Hashes and checks passwords.

    Args:
        hasher: argon2's parameters; tests take cheap ones.
    """

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._limiter = CapacityLimiter(_AT_ONCE)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """Return what to store.

        Raises:
            UsageError: `password-length` outside 12 to 256 characters.
        """
        if not _MIN_CHARS <= len(password) <= _MAX_CHARS:
            raise UsageError(
                "password-length", f"a password has {_MIN_CHARS} to {_MAX_CHARS} characters"
            )
        return await anyio.to_thread.run_sync(self._hasher.hash, password, limiter=self._limiter)

    async def check(self, stored: str | None, password: str) -> bool:
        """Tell whether `password` is the stored one.

        With nothing stored (an unknown name, an account without a password) the same work is
        done against a hash of nobody's, so that the time taken tells nothing.
        """
        if self._nobody is None:
            self._nobody = await anyio.to_thread.run_sync(
                self._hasher.hash, "nobody's password", limiter=self._limiter
            )
        text = password[:_MAX_CHARS]
        against = stored or self._nobody

        def compare() -> bool:
            try:
                return self._hasher.verify(against, text)
            except (VerificationError, InvalidHashError):
                return False

        right = await anyio.to_thread.run_sync(compare, limiter=self._limiter)
        return right and stored is not None and len(password) <= _MAX_CHARS
