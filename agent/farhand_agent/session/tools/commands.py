"""The system's commands as session tools run them: off the event loop, and gone when the tool is.

Every run goes through `platforms.commands` with its fixed PATH, C locale, closed stdin and limits.
The environment carries a mark of the session, which ends with it, and one of this very run, by
which a run is ended whose scope is withdrawn while it lasts.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Final

from farhand_agent.platforms.commands import (
    FIXED_PATH,
    CommandDenied,
    CommandMissing,
    CommandOverflow,
    CommandTimeout,
    Outcome,
    Runner,
    run,
)
from farhand_agent.processes import end_marked
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_LINE_BYTES", "ToolCommands", "ToolUnsupported", "failed"]

MAX_LINE_BYTES: Final = 64 * 1024
_MAX_BYTES: Final = 8 * 1024 * 1024
_MAX_WORDS: Final = 300
_MARK: Final = "FARHAND_TOOL"
_LOOK_S: Final = 0.05


class ToolUnsupported(FarhandError):
    """This system has no such thing, or no way to ask for it."""

    def __init__(self, words: str) -> None:
        super().__init__("tool-unsupported", words)


def failed(words: str) -> FarhandError:
    """Return the error of a tool that could not do what it was asked."""
    return FarhandError("tool-failed", words[:_MAX_WORDS])


class ToolCommands:
    """Runs commands for one session.

    Args:
        environment: carried by every command, the session's mark among it.
        runner: starts the short ones.
    """

    def __init__(self, environment: Mapping[str, str], *, runner: Runner = run) -> None:
        self._environment = dict(environment)
        self._runner = runner

    async def run(
        self, argv: Sequence[str], *, timeout_s: float = 30.0, needs_success: bool = True
    ) -> Outcome:
        """Run one command to its end.  When cancelled, the command is ended.

        Raises:
            FarhandError: `tool-unsupported` where the program is missing; `tool-failed` when it
                may not be run, takes or prints too much, or (`needs_success`) ends with an error.
        """
        token = os.urandom(8).hex()
        start = partial(
            self._runner,
            argv,
            timeout_s=timeout_s,
            max_bytes=_MAX_BYTES,
            env={**self._environment, _MARK: token},
        )
        work = asyncio.get_running_loop().run_in_executor(None, start)
        try:
            outcome = await asyncio.shield(work)
        except asyncio.CancelledError:
            await _end(work, f"{_MARK}={token}")
            raise
        except CommandMissing as error:
            raise ToolUnsupported(f"{error.message}, so this cannot be done here") from error
        except (CommandDenied, CommandTimeout, CommandOverflow) as error:
            raise failed(error.message) from error
        if needs_success and outcome.exit_code != 0:
            raise failed(_reason(argv[0], outcome))
        return outcome

    async def follow(self, argv: Sequence[str]) -> AsyncGenerator[bytes, None]:
        """Yield the lines that a command prints, until it ends; it is killed when this is closed.

        A line longer than `MAX_LINE_BYTES` comes in pieces.

        Raises:
            FarhandError: `tool-unsupported`, `tool-failed`.
        """
        path = shutil.which(argv[0], path=FIXED_PATH)
        if path is None:
            raise ToolUnsupported(f"{argv[0]} is not installed, so this cannot be done here")
        fixed = {"PATH": FIXED_PATH, "LC_ALL": "C", "LANG": "C", "HOME": os.sep}
        try:
            process = await asyncio.create_subprocess_exec(
                path,
                *argv[1:],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                limit=MAX_LINE_BYTES,
                cwd=os.sep,
                env={**fixed, **self._environment},
            )
        except OSError as error:
            raise failed(f"{argv[0]} may not be run by this user") from error
        assert process.stdout is not None
        try:
            async with aclosing(_lines(process.stdout)) as lines:
                async for line in lines:
                    yield line
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _lines(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    held = b""
    while piece := await reader.read(MAX_LINE_BYTES):
        *whole, held = (held + piece).split(b"\n")
        for line in whole:
            yield line
        if len(held) > MAX_LINE_BYTES:
            yield held
            held = b""
    if held:
        yield held


async def _end(work: asyncio.Future[Outcome], mark: str) -> None:
    """Kill what a run has started, until its thread is done.

    One look is not enough: a process that is about to be started bears no mark yet.
    """
    while not work.done():
        await asyncio.to_thread(end_marked, mark)
        await asyncio.wait({work}, timeout=_LOOK_S)
    work.exception()  # that it was killed surprises nobody


def _reason(program: str, outcome: Outcome) -> str:
    """Say in one line why a command failed: its own last words."""
    said = (outcome.error_text.strip() or outcome.text.strip()).splitlines()
    words = said[-1].strip() if said else "it said nothing"
    return f"{program} ended with status {outcome.exit_code}: {words}"
