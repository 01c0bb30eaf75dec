"""Whether dpkg's database is whole.

dpkg-query reads a database that was cut off (a full disk, a copy that broke) without a word and
ends with 0, and the programs behind the cut would look as if somebody had removed them.  Two marks
of a whole one are looked at: dpkg ends every stanza with an empty line, and keeps a list of files
for every package that it has unpacked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError

__all__ = ["CutOff", "require_whole"]

_STATUS: Final = "/var/lib/dpkg/status"
_INFO: Final = "/var/lib/dpkg/info"
# dpkg may be at work beside us, and old systems hold a list that nobody cleaned up.
_STRAY: Final = 5
_STRAY_SHARE: Final = 20


class CutOff(FarhandError):
    """dpkg's database ends too early, so what it lists is not all that is installed."""

    def __init__(self, sign: str) -> None:
        super().__init__("dpkg-cut-off", f"dpkg's database is not whole: {sign}")


def require_whole(files: SystemFiles, names: Collection[str]) -> None:
    """Make sure that dpkg listed all that it once unpacked.

    Args:
        files: where the database lies.
        names: all packages that dpkg-query listed, whatever their state.

    Raises:
        CutOff: it did not.
        PermissionError: this user may not read the database.
    """
    end = files.tail(_STATUS, 2)
    if end and end != b"\n\n":
        raise CutOff("its last entry breaks off")
    known = set(names)
    unpacked = {
        name.removesuffix(".list").partition(":")[0]
        for name in files.names(_INFO)
        if name.endswith(".list")
    }
    lost = len(unpacked - known)
    if lost > (max(_STRAY, len(known) // _STRAY_SHARE) if known else 0):
        raise CutOff(f"it lists {len(known)} packages, {lost} more have files")
