"""What the relay signs about its jump port, so that a console can pin the port's host key.

The jump port (`ssh -J`) has a host key of its own.  The relay key, which consoles pin when they
sign in, vouches for it by a signature over these bytes:

    "farhand-jump-v1" 0 tenant 0 host 0 port (decimal) 0 raw 32-byte Ed25519 host key
"""

from __future__ import annotations

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import PUBLIC_KEY_BYTES

__all__ = ["jump_statement"]

_CONTEXT = b"farhand-jump-v1"
_MAX_HOST_CHARS = 253


def jump_statement(tenant: str, host: str, port: int, host_key: bytes) -> bytes:
    """Return the bytes that the relay key signs.

    Args:
        tenant: the organisation's id.
        host: name or address that ssh dials, without brackets.
        port: 1 to 65535.
        host_key: raw Ed25519 public key.

    Raises:
        FarhandError: `jump-malformed` when a part is out of its bounds.
    """
    plain = host.isascii() and host.isprintable() and " " not in host
    if not (plain and 1 <= len(host) <= _MAX_HOST_CHARS and 1 <= port <= 65_535):
        raise FarhandError("jump-malformed", "the jump port's address cannot be read")
    if len(host_key) != PUBLIC_KEY_BYTES or "\0" in tenant:
        raise FarhandError("jump-malformed", "the jump port's host key cannot be read")
    parts = (_CONTEXT, tenant.encode(), host.encode(), str(port).encode(), host_key)
    return b"\0".join(parts)
