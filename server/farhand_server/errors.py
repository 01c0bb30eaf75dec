"""Errors that several parts of the relay raise, with their stable codes.

The classes live in `farhand_protocol.errors`; here are only the relay's own subclass that carries
a waiting time, and makers for the codes that would otherwise be worded in many places.
"""

from __future__ import annotations

from farhand_protocol.errors import FarhandError, RefusedError

__all__ = ["RateLimited", "not_found", "not_permitted", "not_signed_in"]


class RateLimited(FarhandError):
    """Too many tries; `retry_after_s` is how long to wait (the HTTP header Retry-After)."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(
            "rate-limited", message, hint=f"wait {retry_after_s} seconds and try again"
        )
        self.retry_after_s = retry_after_s


def not_found(kind: str, name: str) -> FarhandError:
    """Return `not-found` for something that is not there, or not for this actor to see."""
    return FarhandError("not-found", f"there is no {kind} {name[:80]!r}")


def not_signed_in(message: str = "sign in first") -> FarhandError:
    """Return `not-signed-in`."""
    return FarhandError("not-signed-in", message, hint="farhand login URL")


def not_permitted(message: str) -> RefusedError:
    """Return `not-permitted`: signed in, but the role or the token's scopes do not allow it."""
    return RefusedError("not-permitted", message)
