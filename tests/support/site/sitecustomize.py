"""Loaded by each resident agent under test, and by what that starts: see tests/support/own_home.py.

The account's home is what HOME says, where it really is what the system's table of accounts says.
"""

from __future__ import annotations

import os
import pwd

_real_getpwuid = pwd.getpwuid
_HOME = os.environ.get("HOME", "")


def _getpwuid(uid: int) -> pwd.struct_passwd:
    entry = _real_getpwuid(uid)
    if not _HOME or uid != os.getuid():
        return entry
    return pwd.struct_passwd((*entry[:5], _HOME, *entry[6:]))


pwd.getpwuid = _getpwuid
