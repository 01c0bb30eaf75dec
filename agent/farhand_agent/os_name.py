"""What this machine's operating system is called, as the relay lists it.

    Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64
    Darwin 24.1.0                                            where there is no os-release(5)

Not the section `os` of inventory, which says far more and is not resident.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["os_name"]

_FILES = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
_MAX_FILE_BYTES = 16 * 1024
_MAX_CHARS = 100
_PRETTY_NAME = re.compile(r"""^PRETTY_NAME=(["']?)([^"'\r\n]{1,200})\1[ \t]*\r?$""", re.MULTILINE)


def os_name(files: Iterable[Path] = _FILES) -> str:
    """Return the name of the distribution and the kernel, at most 100 characters.

    Args:
        files: the first that can be read is believed; what it holds beyond 16 KiB is not read.
    """
    kernel = f"{platform.system()} {platform.release()}"
    for path in files:
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_FILE_BYTES).decode(errors="replace")
        except OSError:
            continue  # the next one, or the kernel alone
        if (found := _PRETTY_NAME.search(text)) and found[2].isprintable():
            return f"{found[2].strip()}, {kernel}"[:_MAX_CHARS]
        break
    return kernel[:_MAX_CHARS]
