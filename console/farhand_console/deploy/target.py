"""Which host, as whom: `USER@HOST`, `USER@HOST:PORT`, `USER@[2001:db8::1]:PORT`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from farhand_protocol.errors import UsageError

__all__ = ["Target", "parse_target"]

_TARGET = re.compile(
    r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.$\\-]{0,63})@"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%A-Za-z]{2,64})\]|(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Target:
    """One host; `text` is how the person wrote it."""

    text: str
    user: str
    host: str
    port: int

    @property
    def known_name(self) -> str:
        """The name under which known_hosts files have it."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def parse_target(text: str) -> Target:
    """Read a host as it was written.

    Raises:
        UsageError: `deploy-host-malformed`.
    """
    found = _TARGET.fullmatch(text)
    port = int(found["port"] or 22) if found else 0
    if found is None or not 1 <= port <= 65_535:
        raise UsageError("deploy-host-malformed", f"{text[:100]!r} is not USER@HOST[:PORT]")
    return Target(text=text, user=found["user"], host=found["host"] or found["v6"], port=port)
