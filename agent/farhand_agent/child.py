"""Short-lived child processes: how they are started, and the frames spoken over their pipes.

A frame is four bytes of length, big-endian, and MessagePack of at most `MAX_FRAME_BYTES`.  The
parent side is asynchronous (`Child`), the child side blocks (`read_frame`, `write_frame`).  A child
that fails says so in a frame `{"error": {"code", "message", "hint"}}`; anything else that goes
wrong with it becomes `child-failed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = ["MAX_FRAME_BYTES", "Child", "ask_child", "read_frame", "serve_frames", "write_frame"]

MAX_FRAME_BYTES = 2 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_END_GRACE_S = 5.0


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of the agent's modules; -P keeps the folder we are in out
    of the import path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _failed(module: str, detail: str) -> FarhandError:
    name = module.rpartition("farhand_agent.")[2]
    return FarhandError("child-failed", f"the agent's {name} process failed", detail=detail)


def _decode(body: bytes) -> dict[str, Any]:
    return msgspec.msgpack.decode(body, type=dict[str, Any])


class Child:
    """A running child process that speaks frames; use as an asynchronous context manager.

    Leaving the context closes its stdin, waits a moment for its end, and kills it if it is still
    there; leaving by an exception kills it at once.

    Args:
        module: dotted name of the module to run.
        arguments: command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Child:
        self._process = await asyncio.create_subprocess_exec(
            *command(self._module, *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        process = self.process
        assert process.stdin is not None
        process.stdin.close()
        try:
            if kind is None:
                async with asyncio.timeout(_END_GRACE_S):
                    await process.wait()
        except TimeoutError:
            pass  # it had its moment; what follows ends it
        finally:
            # Nothing here may raise: it would replace the cancellation that brought us here.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process; only inside the context."""
        assert self._process is not None
        return self._process

    async def send(self, frame: dict[str, Any]) -> None:
        """Write one frame.

        Raises:
            FarhandError: `child-failed` when the child is gone.
        """
        body = msgspec.msgpack.encode(frame)
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(_LENGTH.pack(len(body)) + body)
            await self.process.stdin.drain()
        except ConnectionError as error:
            raise _failed(self._module, "it closed its input") from error

    async def receive(self) -> dict[str, Any] | None:
        """Read one frame, or None at the end of its output.

        Raises:
            FarhandError: `child-failed` for anything that is not a frame; the code that the child
                itself gave in an error frame.
        """
        assert self.process.stdout is not None
        try:
            head = await self.process.stdout.readexactly(_LENGTH.size)
            (length,) = _LENGTH.unpack(head)
            if length > MAX_FRAME_BYTES:
                raise _failed(self._module, "it sent a frame that is too large")
            frame = _decode(await self.process.stdout.readexactly(length))
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                return None
            raise _failed(self._module, "its output was cut off") from error
        except msgspec.MsgspecError as error:
            raise _failed(self._module, "it sent something that is not a frame") from error
        if isinstance(failure := frame.get("error"), dict):
            raise FarhandError(
                str(failure.get("code")),
                str(failure.get("message")),
                hint=failure.get("hint"),
                detail=failure.get("detail"),
            )
        return frame


async def ask_child(module: str, request: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
    """Start a child, send it one frame and return its one answer.

    Raises:
        FarhandError: what the child said, `child-failed`, or `child-timeout`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            async with Child(module) as child:
                await child.send(request)
                answer = await child.receive()
    except TimeoutError as error:
        raise FarhandError("child-timeout", "one of the agent's processes took too long") from error
    if answer is None:
        raise _failed(module, f"it ended without an answer, status {child.process.returncode}")
    return answer


def read_frame(stream: BinaryIO) -> dict[str, Any] | None:
    """Read one frame from the parent, or None at the end of input.

    Raises:
        FarhandError: `child-failed` when it is not a frame.
    """
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size or (length := _LENGTH.unpack(head)[0]) > MAX_FRAME_BYTES:
        raise FarhandError("child-failed", "a frame from the parent cannot be read")
    body = stream.read(length)
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise FarhandError("child-failed", "a frame from the parent cannot be read") from error


def write_frame(stream: BinaryIO, frame: dict[str, Any]) -> None:
    """Write one frame to the parent; where that is gone, end quietly: there is nobody to tell."""
    body = msgspec.msgpack.encode(frame)
    try:
        stream.write(_LENGTH.pack(len(body)) + body)
        stream.flush()
    except BrokenPipeError as error:
        # What is still buffered would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(1) from error


def serve_frames(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Answer frames on stdin until it ends; the whole main of a simple child.

    Errors with a code become error frames.  Returns the exit status.
    """
    # The frames have descriptor 1 to themselves; whatever else prints goes to stderr.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        while (request := read_frame(sys.stdin.buffer)) is not None:
            write_frame(output, answer(request))
    except FarhandError as error:
        write_frame(output, {"error": error_fields(error)})
        return 1
    return 0


def error_fields(error: FarhandError) -> dict[str, Any]:
    """Return an error as the fields of an error frame."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "detail": error.detail,
    }
