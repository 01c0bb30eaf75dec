"""How much of one mail is looked at.

A mail is a stranger's bytes, so each of these is a line that somebody will step over.  What is past
a bound is left out with a defect, or the whole mail is quarantined; the raw bytes are kept either
way.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_ADDRESSES",
    "MAX_DEFECTS",
    "MAX_DEPTH",
    "MAX_FILES",
    "MAX_FILES_BYTES",
    "MAX_HEADERS",
    "MAX_HEADER_CHARS",
    "MAX_HTML_CHARS",
    "MAX_MAIL_BYTES",
    "MAX_NAME_CHARS",
    "MAX_PARTS",
    "MAX_TEXT_CHARS",
]

# 30 MB of attachments are 41 MB in base64 with its line ends.
MAX_MAIL_BYTES: Final = 48 * 1024 * 1024
# Multipart in multipart; real mail stays below eight.
MAX_DEPTH: Final = 20
MAX_PARTS: Final = 500
# Of one part.  A mail that went through many hands has a hundred.
MAX_HEADERS: Final = 500
# Of one header, unfolded.  `References` of 200 ids fit.
MAX_HEADER_CHARS: Final = 16_384
MAX_ADDRESSES: Final = 100
MAX_FILES: Final = 100
MAX_FILES_BYTES: Final = 40 * 1024 * 1024
# Of a file's name, its ending included; file systems take 255 bytes.
MAX_NAME_CHARS: Final = 120
# A message of a ticket takes 64,000 (`farhand_server.wording`).
MAX_TEXT_CHARS: Final = 60_000
MAX_HTML_CHARS: Final = 2_000_000
MAX_DEFECTS: Final = 50
