"""Fixed PowerShell scripts of this package, run with values that are never part of the script.

The script's text goes in as one encoded argument, so no quoting rule of any shell applies; what
it works on comes as JSON in the environment variable FARHAND_VALUES.  A script prints one JSON
document, in UTF-8, and nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from farhand_agent.patches.refusals import unreadable

__all__ = ["command_line", "parse_document", "powershell", "script_text", "values"]

_PROGRAM: Final = r"System32\WindowsPowerShell\v1.0\powershell.exe"
_FLAGS: Final = ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-EncodedCommand")
_EXPECTED: Final = (
    "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "TEMP", "TMP", "USERPROFILE",
    "WINDIR",
)  # fmt: skip
_MAX_SHOWN_CHARS: Final = 500


def powershell() -> str:
    """Return the path of Windows PowerShell, which is on every Windows."""
    return os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), _PROGRAM)


def script_text(name: str) -> str:
    """Return a script of this package by its file name."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def command_line(text: str) -> list[str]:
    """Return the arguments that run a script text; Windows allows 32,767 characters of them."""
    return [powershell(), *_FLAGS, base64.b64encode(text.encode("utf-16-le")).decode("ascii")]


def values(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a script: its values, and what Windows' own parts look for there.

    Where modules are looked for is not handed on: that list is the machine's, not this process's.
    """
    found = {name: os.environ[name] for name in _EXPECTED if name in os.environ}
    system = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")
    return found | {"PATH": system, "FARHAND_VALUES": json.dumps(document)}


def parse_document(tool: str, text: str) -> dict[str, Any]:
    """Return the one JSON object that a script printed.

    What Windows writes in a code page of its own makes text unreadable, never wrong: everything
    that is judged is a number, an identifier or ASCII.

    Raises:
        ProviderError: `patch-unreadable`.
    """
    text = text.strip().removeprefix("\ufeff")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(tool, re.sub(r"\s+", " ", text)[-_MAX_SHOWN_CHARS:]) from error
    if not isinstance(found, dict):
        raise unreadable(tool, text[-_MAX_SHOWN_CHARS:])
    return found
