"""Why the device closed something under a technician's hands, in the device's own words.

Where the person takes a scope back or ends the session, the device says so inside SSH: in the
message of the channel's `exit-signal`, or in the reason of the disconnect, as `CODE: words`.  Only
these codes are taken for that; what a remote program was killed by is none of it.
"""

from __future__ import annotations

import asyncssh

from farhand_console.output import printable
from farhand_protocol.errors import FarhandError

__all__ = ["parting", "parting_of"]

_CODES = ("scope-withdrawn", "session-ended")


def parting(text: str) -> FarhandError | None:
    """Read a message of the device; None where it is no such word."""
    code, colon, words = text.partition(": ")
    if code not in _CODES or not colon:
        return None
    return FarhandError(code, printable(words, 200))


def parting_of(process: asyncssh.SSHClientProcess[bytes]) -> FarhandError | None:
    """Return why the device closed a channel; None where the program ended by itself."""
    signal = process.exit_signal
    return parting(signal[2]) if signal else None
