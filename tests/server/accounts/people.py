"""What the tests of signing in share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

PASSWORD = "correct horse battery"

# `await mails()` is what waits in the outbox, each with the `token` of its link.
Mails = Callable[[], Awaitable[list[dict[str, Any]]]]
# `await signed_up("ann", "admin")` returns the headers of her sign-in.
SignUp = Callable[..., Awaitable[dict[str, str]]]
