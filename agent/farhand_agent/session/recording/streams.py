"""One channel of a session, recorded: what a program writes is recorded before it is shown.

Output is decoded as UTF-8 piece by piece, so a character cut in two by the network stands whole in
the recording.  What a command writes that is no text (an archive, or rsync's other end) is recorded
as bytes.  What is typed is recorded only where policy says so; what a terminal echoes is output.
"""

from __future__ import annotations

import base64
import codecs
from typing import Final

from farhand_agent.session.recording.recorder import Recorder
from farhand_agent.session.shell import Streams
from farhand_protocol.casts import MAX_BINARY_BYTES, MAX_TEXT_BYTES, Term

__all__ = ["RecordedStreams"]

# A character has at most four bytes.
_PIECE_CHARS: Final = MAX_TEXT_BYTES // 4


class RecordedStreams:
    """A channel's streams, for `Program`, with the recorder in between.

    Args:
        inner: the channel itself.
        recorder: of the session.
        command: what runs; None for the login shell.
        size: columns and rows where there is a terminal.
        term: its type.
    """

    def __init__(
        self,
        inner: Streams,
        recorder: Recorder,
        *,
        command: str | None,
        size: tuple[int, int] | None,
        term: str,
    ) -> None:
        self._inner = inner
        self._recorder = recorder
        self._output = _Output(is_text=size is not None)
        self._error = _Output(is_text=size is not None)
        self._input = codecs.getincrementaldecoder("utf-8")("replace")
        columns, rows = size or (80, 24)
        text = (command or "").encode("utf-8", "backslashreplace").decode()
        self._stream = recorder.open_stream(
            "terminal" if size else "exec",
            Term(cols=max(1, columns or 80), rows=max(1, rows or 24), type=term[:64]),
            title=text or "shell",
            command=text,
        )

    async def read(self) -> bytes:
        """Return input from the console; empty at its end."""
        data = await self._inner.read()
        if self._recorder.plan.with_input:
            self._write("i", self._input.decode(data, final=not data))
            await self._recorder.room()
        return data

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Record output, then write it."""
        self._record(self._error if error else self._output, data)
        await self._recorder.room()
        await self._inner.write(data, error=error)

    def resize(self, columns: int, rows: int) -> None:
        """Record the terminal's new size."""
        self._recorder.write(self._stream, "r", f"{columns}x{rows}")

    def end(self, status: int) -> None:
        """Record the program's exit status, negative for a signal, and close the stream."""
        for output in (self._output, self._error):
            self._record(output, b"", final=True)
        self._recorder.write(self._stream, "x", str(status if status >= 0 else 128 - status))
        self._recorder.close_stream(self._stream)

    def _record(self, output: _Output, data: bytes, *, final: bool = False) -> None:
        text, binary = output.take(data, final=final)
        self._write("o", text)
        for at in range(0, len(binary), MAX_BINARY_BYTES):
            piece = base64.b64encode(binary[at : at + MAX_BINARY_BYTES]).decode()
            self._recorder.write(self._stream, "b", piece)

    def _write(self, code: str, text: str) -> None:
        for at in range(0, len(text), _PIECE_CHARS):
            self._recorder.write(
                self._stream,
                "o" if code == "o" else "i",
                text[at : at + _PIECE_CHARS],
            )


class _Output:
    """One of a program's two outputs: text, or what is none.

    Args:
        is_text: it goes to a terminal, which shows whatever it is as text.
    """

    def __init__(self, *, is_text: bool) -> None:
        self._is_text = is_text
        errors = "replace" if is_text else "strict"
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)

    def take(self, data: bytes, *, final: bool = False) -> tuple[str, bytes]:
        """Return the next piece as text, or as bytes where it is no text; the other is empty."""
        if self._is_text:
            return self._decoder.decode(data, final), b""
        whole = self._decoder.getstate()[0] + data  # with what is left of a character cut in two
        try:
            if b"\0" not in whole:
                return self._decoder.decode(data, final), b""
        except UnicodeDecodeError:
            pass  # no text
        self._decoder.reset()
        return "", whole
