"""The signature of a delivery: `t=SECONDS,sha256=HEX`, an HMAC over the time, a dot and the body.

The time is in it so that a delivery that somebody wrote down cannot be played again later: whoever
checks refuses one that is more than `TOLERANCE_S` away.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

__all__ = ["HEADER", "TOLERANCE_S", "hex_hmac", "is_signed", "sign"]

HEADER: Final = "X-Farhand-Signature-256"
TOLERANCE_S: Final = 300
_SIGNATURE: Final = re.compile(r"t=([0-9]{1,12}),sha256=([0-9a-f]{64})\Z")


def hex_hmac(secret: bytes, body: bytes, algorithm: str = "sha256") -> str:
    """Return the HMAC of a body in hex."""
    return hmac.new(secret, body, algorithm).hexdigest()


def sign(secret: bytes, body: bytes, *, at: int) -> str:
    """Return the header's value.

    Args:
        secret: what both ends know.
        body: exactly as it is sent.
        at: seconds since 1970.
    """
    return f"t={at},sha256={hex_hmac(secret, b'%d.' % at + body)}"


def is_signed(secret: bytes, body: bytes, signature: str, *, now: int) -> bool:
    """Tell whether a signature is of this body, by this secret, and of now."""
    found = _SIGNATURE.match(signature.strip())
    if found is None or abs(int(found[1]) - now) > TOLERANCE_S:
        return False
    return hmac.compare_digest(sign(secret, body, at=int(found[1])), signature.strip())
