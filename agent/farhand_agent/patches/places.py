"""Where this device keeps what patching must remember: the ledger, the turn, private indexes.

It is the device's, not an agent home's: two homes on one device have the same package managers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from farhand_agent.platforms.current import is_privileged

__all__ = ["state_folder"]


def state_folder() -> Path:
    """Return the folder, made by whoever first writes into it, for its owner alone.

    Root's lies where the system keeps state; anyone else's below their own home, because what
    they may change is theirs too (applications of one user).
    """
    if sys.platform == "win32":
        system = Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "Farhand"
    elif not is_privileged():
        system = Path.home() / ".local/state/farhand"
    elif sys.platform == "darwin":
        system = Path("/Library/Application Support/Farhand")
    else:
        system = Path("/var/lib/farhand")
    return system / "patches"
