"""ETag and If-Match for things with a revision (RFC 9110 s8.8.3, s13.1.1).

A handler answers `Response(body, headers={"ETag": etag(revision)})` and, before it changes
something, calls `check_if_match`.  Without If-Match the change is made to whatever is there.
"""

from __future__ import annotations

from litestar import Request

from farhand_protocol.errors import FarhandError

__all__ = ["check_if_match", "etag"]


def etag(revision: int) -> str:
    """Return the entity tag of a revision."""
    return f'"{revision}"'


def check_if_match(request: Request, revision: int) -> None:  # type: ignore[type-arg]
    """Refuse a change that was made against another revision.

    Raises:
        FarhandError: `revision-mismatch`.
    """
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return
    if etag(revision) not in {part.strip() for part in given.split(",")}:
        raise FarhandError(
            "revision-mismatch",
            "somebody changed it since you read it",
            hint="read it again and repeat the change",
        )
