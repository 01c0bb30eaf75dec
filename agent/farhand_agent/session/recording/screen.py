"""A screen that was shown, recorded: the bytes that the viewer got, before it got them.

They are one stream of the recording, of kind `screen`: RFB from its first byte on, in lines of code
`b`.  A line of code `m` stands before each update that shows the whole screen, so that a player can
begin there; `r` says the screen's size when it changed.  Rectangles do not depend on earlier ones
(farhand_agent.screen.tight), and what a viewer typed or pointed at is not in it.
"""

from __future__ import annotations

import base64
from typing import Final

from farhand_agent.session.recording.recorder import Recorder
from farhand_protocol.casts import MAX_BINARY_BYTES, Term

__all__ = ["FULL_PICTURE", "RecordedScreen"]

FULL_PICTURE: Final = "full"


class RecordedScreen:
    """One viewer's screen.

    Args:
        recorder: of the session.
        width, height: in pixels.
    """

    def __init__(self, recorder: Recorder, width: int, height: int) -> None:
        self._recorder = recorder
        term = Term(cols=width, rows=height, type="rfb")
        self._stream = recorder.open_stream("screen", term, title="the screen")

    async def write(self, data: bytes, *, is_full: bool) -> None:
        """Record whole RFB messages; waits while the recording cannot take more."""
        if is_full:
            self._recorder.write(self._stream, "m", FULL_PICTURE)
        for at in range(0, len(data), MAX_BINARY_BYTES):
            piece = base64.b64encode(data[at : at + MAX_BINARY_BYTES]).decode()
            self._recorder.write(self._stream, "b", piece)
            await self._recorder.room()

    def resize(self, width: int, height: int) -> None:
        """Record the screen's new size."""
        self._recorder.write(self._stream, "r", f"{width}x{height}")

    def end(self) -> None:
        """Close the stream."""
        self._recorder.write(self._stream, "x", "0")
        self._recorder.close_stream(self._stream)
