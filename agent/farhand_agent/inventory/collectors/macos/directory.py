"""Records of the local directory, by dscl's property lists; no section of its own."""

from __future__ import annotations

import plistlib
from typing import Any

from farhand_agent.inventory.context import Context, Malformed

__all__ = ["parse_records", "read_records"]


def parse_records(data: bytes) -> list[dict[str, list[str]]]:
    """Return the attributes of each record in `dscl -plist . -readall`, by their plain names.

    Raises:
        Malformed: it is no list of records.
    """
    try:
        document: Any = plistlib.loads(data)
    except Exception as error:  # a broken list makes plistlib raise a dozen kinds
        raise Malformed("dscl") from error
    if not isinstance(document, list):
        raise Malformed("dscl")
    return [
        {
            str(key).rpartition(":")[2]: [one for one in values if isinstance(one, str)]
            for key, values in record.items()
            if isinstance(values, list)
        }
        for record in document
        if isinstance(record, dict)
    ]


def read_records(context: Context, folder: str, *keys: str) -> list[dict[str, list[str]]]:
    """Return the local records of a folder.

    Raises:
        Malformed: dscl printed something else.
    """
    return parse_records(context.run(["dscl", "-plist", ".", "-readall", folder, *keys]).stdout)
