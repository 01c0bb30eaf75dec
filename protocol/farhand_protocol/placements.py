"""Which group an admin has moved devices to: the TUF target `groups.json`.

A device's group is the one that it enrolled with, until an admin of the organisation signs another
one here.  Device and consoles read the same document, so that the group in an order or a grant is
the group that the device checks it by.  An entry is replaced by the next move and never removed:
moving a device back is a move as well.
"""

from __future__ import annotations

import re

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_device_id
from farhand_protocol.trust import Document

__all__ = ["PLACEMENTS_PATH", "Placements", "check_placements", "is_group"]

PLACEMENTS_PATH = "groups.json"
_GROUP = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


class Placements(Document, frozen=True, kw_only=True):
    """Every device that was ever moved: `groups` maps its id to the group it is in now."""

    groups: dict[str, str]

    def group_of(self, device: str, enrolled: str) -> str:
        """Return a device's group.

        Args:
            device: its id.
            enrolled: the group that it enrolled with.
        """
        return self.groups.get(device, enrolled)


def is_group(text: str) -> bool:
    """Tell whether `text` can be a group's name: 1 to 64 small letters, digits, dots, `_`, `-`."""
    return _GROUP.match(text) is not None


def check_placements(placements: Placements) -> Placements:
    """Return a decoded document after checking what its types do not say.

    Raises:
        FarhandError: `trust-malformed` where an entry names no device or no group.
    """
    for device, group in placements.groups.items():
        if not is_device_id(device) or not is_group(group):
            raise FarhandError("trust-malformed", "a placement names no device or no group")
    return placements
