"""Errors with stable codes, shared by every Farhand program.

A `code` is kebab-case, goes on the wire and into docs/errors.md, and never changes its meaning.
`message` is one lower-case sentence for the person who will read it, `hint` says what to do next,
`detail` is for the log only.  Which class is raised says who is at fault:

    FarhandError      something failed; exit code 1
      UsageError      the person called it wrongly; exit code 2
      RefusedError    policy, approval or consent said no; exit code 3
      RemoteError     the peer broke a rule: close the connection, count it, write one log line
"""

from __future__ import annotations

__all__ = ["FarhandError", "RefusedError", "RemoteError", "UsageError"]


class FarhandError(Exception):
    """A failure with a stable code.

    Args:
        code: kebab-case, listed in docs/errors.md.
        message: one sentence, lower case, without secrets.
        hint: what the person can do about it.
        detail: more for the log; never shown to a peer.
    """

    exit_code = 1

    def __init__(
        self, code: str, message: str, *, hint: str | None = None, detail: str | None = None
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class UsageError(FarhandError):
    """The caller gave something that cannot be meant; nothing was done."""

    exit_code = 2


class RefusedError(FarhandError):
    """A policy, an approval rule or a person refused; nothing was done."""

    exit_code = 3


class RemoteError(FarhandError):
    """The peer sent something that the protocol does not allow."""
