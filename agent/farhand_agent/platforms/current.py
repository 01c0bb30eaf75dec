"""Which platform this is, in the words that manifests and registries use."""

from __future__ import annotations

import os
import sys

__all__ = ["is_privileged", "platform_name"]


def platform_name() -> str:
    """Return "linux", "windows", "macos", or what Python calls anything else."""
    return {"linux": "linux", "win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)


def is_privileged() -> bool:
    """Return whether this process is root; False on Windows, where nobody asks yet."""
    return sys.platform != "win32" and os.geteuid() == 0
