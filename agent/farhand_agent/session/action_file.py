"""The actions of an open session on the disk, so that the receipt of a restarted one has them all.

    line 1     how many actions did not fit, 15 digits
    each next  one action as JSON

A line is written before what it tells is done; that it outlives a loss of power is waited for
(`settle`) where a program is about to start.  A last line that is cut short was never acted on.
The file lies beside the session's lock and goes when the receipt is stored.  Not the device's log:
that is the journal's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from farhand_protocol.grants import Action

__all__ = ["ActionFile"]

_log = logging.getLogger(__name__)

_HEAD: Final = b"%015d\n"
_HEAD_BYTES: Final = 16
# The receipt holds no more, whatever the file says.
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_decoder = msgspec.json.Decoder(Action)


class ActionFile:
    """Appends actions; opened once per session process.  Blocks for microseconds, `settle` aside.

    Args:
        path: made if it is not there; what it holds is in `actions` and `omitted`.

    Raises:
        OSError: it cannot be made or read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        data = os.pread(self._descriptor, _MAX_FILE_BYTES, 0)
        self.omitted = _omitted(data[:_HEAD_BYTES])
        self.actions, self._end = _read(data)
        self._unsettled = False
        self._trouble = False
        if len(data) < _HEAD_BYTES:
            self.omit(0)
        os.ftruncate(self._descriptor, self._end)

    def append(self, action: Action) -> None:
        """Write one action behind the others."""
        line = msgspec.json.encode(action) + b"\n"
        if self._write(line, self._end):
            self._end += len(line)

    def omit(self, count: int) -> None:
        """Write how many actions did not fit."""
        self._write(_HEAD % count, 0)

    def _write(self, data: bytes, at: int) -> bool:
        try:
            whole = os.pwrite(self._descriptor, data, at) == len(data)
        except OSError as error:
            whole = False
            if not self._trouble:
                _log.error("an action could not be written down: %s", error)
        # The session goes on: its receipt has the action, unless the process is killed as well.
        self._trouble = not whole
        self._unsettled = True
        return whole

    async def settle(self) -> None:
        """Wait until what was written would survive a loss of power."""
        if not self._unsettled:
            return
        self._unsettled = False
        try:
            await asyncio.to_thread(os.fdatasync, self._descriptor)
        except OSError as error:
            _log.error("the file of actions is not safe on the disk: %s", error)

    def close(self) -> None:
        """Close the file, which stays for the next process of the session."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the file: the receipt has everything."""
        self._path.unlink(missing_ok=True)


def _omitted(head: bytes) -> int:
    text = head.strip()
    return int(text) if text.isdigit() else 0


def _read(data: bytes) -> tuple[list[Action], int]:
    """Return the whole lines behind the head, and where they end."""
    actions, at = [], _HEAD_BYTES
    while (end := data.find(b"\n", at)) >= 0:
        try:
            actions.append(_decoder.decode(data[at:end]))
        except msgspec.MsgspecError as error:
            _log.error("the file of actions is damaged behind byte %d: %s", at, error)
            break
        at = end + 1
    return actions, at
