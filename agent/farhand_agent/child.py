"""Short-lived child processes, from the side of the parent that starts them and talks to them.

What they speak stands in `frames`.  A child that fails says why in an error frame; anything else
that goes wrong with it becomes `child-failed`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

from farhand_agent.frames import LENGTH, MAX_FRAME_BYTES, decode_frame, encode_frame
from farhand_agent.processes import command
from farhand_protocol.errors import FarhandError

__all__ = ["Child", "ask_child"]

_END_GRACE_S = 5.0


def _failed(module: str, detail: str) -> FarhandError:
    name = module.rpartition("farhand_agent.")[2]
    return FarhandError("child-failed", f"the agent's {name} process failed", detail=detail)


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
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(encode_frame(frame))
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
            head = await self.process.stdout.readexactly(LENGTH.size)
            (length,) = LENGTH.unpack(head)
            if length > MAX_FRAME_BYTES:
                raise _failed(self._module, "it sent a frame that is too large")
            frame = decode_frame(await self.process.stdout.readexactly(length))
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
