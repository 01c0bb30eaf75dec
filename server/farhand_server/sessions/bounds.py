"""What fits a session's row, whoever says it."""

from __future__ import annotations

import re

__all__ = ["LONGEST_S", "NOTE_CHARS", "SCOPES", "SHA256"]

SHA256 = re.compile(r"[0-9a-f]{64}\Z")
SCOPES = frozenset(
    {"view", "terminal", "files", "forward", "screen", "control", "clipboard", "desktop"}
)
NOTE_CHARS = 4_000
LONGEST_S = 7 * 86_400
