"""Property lists, as macOS' tools print them and as its settings lie on disk."""

from __future__ import annotations

import plistlib
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed

__all__ = ["plist_file", "read_plist"]

_MAX_FILE_BYTES: Final = 4 * 1024 * 1024


def read_plist(data: bytes, source: str) -> dict[str, Any]:
    """Return the dictionary of a property list, in XML or binary.

    Raises:
        Malformed: it is none, or holds something else than a dictionary.
    """
    try:
        document = plistlib.loads(data)
    except Exception as error:  # a broken list makes plistlib raise a dozen kinds
        raise Malformed(source) from error
    if not isinstance(document, dict):
        raise Malformed(source)
    return document


def plist_file(context: Context, name: str) -> dict[str, Any] | None:
    """Return the dictionary in a file of settings; None where there is no such file.

    Raises:
        Malformed: it is no property list.
        PermissionError: this user may not read it.
    """
    try:
        with context.files.path(name).open("rb") as file:
            data = file.read(_MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return read_plist(data, name)
