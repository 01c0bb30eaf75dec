"""`python -m farhand_agent.session`: one session in a process of its own.

stdin and stdout carry the lines of farhand_agent.session.events, stderr the log.  Whoever started
it with a pipe as stdin ends it by closing that pipe.  SIGTERM only ends this process: an open
session stays open in the journal and goes on in the next process (`--resume`), unless the journal
says that it stops.  SIGINT is left to whoever owns the terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import stat
import sys
from collections import deque
from pathlib import Path

import msgspec

from farhand_agent.config import Home
from farhand_agent.scope_changes import SIGWITHDRAW
from farhand_agent.session.events import ActionSeen, Event, encode_event
from farhand_agent.session.lines import read_line
from farhand_agent.session.process import Options, SessionProcess
from farhand_agent.session.watched import Watched
from farhand_protocol.errors import RemoteError

MAX_EVENTS = 1000
# A message of the longest kind, each character as JSON may write it.
MAX_INPUT_LINE = 16 * 1024


class _Writer:
    """Writes events to a pipe without ever holding up the session.

    Of actions, those that a slow reader does not take in time are left out; the receipt has them.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._done = False

    def emit(self, event: Event) -> None:
        """Queue one event."""
        if isinstance(event, ActionSeen) and len(self._lines) >= MAX_EVENTS:
            return
        self._lines.append(encode_event(event))
        self._some.set()

    def finish(self) -> None:
        """Let `run` end once all is written."""
        self._done = True
        self._some.set()

    async def run(self) -> None:
        """Write until finished; a reader that is gone is no reason to stop."""
        while self._lines or not self._done:
            if not self._lines:
                self._some.clear()
                await self._some.wait()
                continue
            line = self._lines.popleft()
            try:
                await asyncio.to_thread(_write_all, self._descriptor, line)
            except OSError:
                self._lines.clear()  # nobody reads; its closed stdin says so as well


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="farhand_agent.session")
    parser.add_argument("--home", required=True)
    parser.add_argument("--url")
    parser.add_argument("--scope")
    parser.add_argument("--minutes", type=int)
    parser.add_argument("--grant", type=Path)
    parser.add_argument("--resume")
    given = parser.parse_args(arguments)
    return Options(
        home=Home.at(given.home),
        url=given.url,
        scopes=tuple(given.scope.split(",")) if given.scope else None,
        minutes=given.minutes,
        grant=given.grant,
        resume=given.resume,
    )


async def _listen(process: SessionProcess, descriptor: int) -> None:
    """Take answers and the wish to stop until the input ends, which is such a wish."""
    reader = asyncio.StreamReader(limit=MAX_INPUT_LINE)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "rb", closefd=False)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    left_over = bytearray()
    stopped = False
    try:
        while line := await read_line(
            lambda: reader.read(MAX_INPUT_LINE), MAX_INPUT_LINE, left_over
        ):
            fields = msgspec.json.decode(line, type=dict[str, object])
            if stopped := fields.get("stop") is True:
                break
            process.hear(fields)
    except (RemoteError, msgspec.MsgspecError) as error:
        logging.getLogger(__name__).error("stdin: %s", error)
    finally:
        if stopped:
            process.stop("stopped")
        else:
            process.hang_up()
        transport.close()


async def _main(options: Options) -> int:
    writer = _Writer(sys.stdout.fileno())
    has_pipe = stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode)
    watched = Watched(options.home)
    await watched.open()

    def emit(event: Event) -> None:
        writer.emit(event)
        watched.emit(event)

    process = SessionProcess(
        options,
        emit,
        can_ask=has_pipe or watched.is_announced,
        handlers=watched.handlers,
        has_page=lambda: watched.is_watched,
    )
    watched.hear = process.hear
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(SIGWITHDRAW, process.withdraw, None)
    loop.add_signal_handler(signal.SIGTERM, process.leave, "shutdown")
    loop.add_signal_handler(signal.SIGHUP, process.leave, "shutdown")
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        listening = group.create_task(_listen(process, 0)) if has_pipe else None
        status = await process.run()
        await watched.close()
        if listening is not None:
            listening.cancel()
        writer.finish()
    return status


def main(arguments: list[str] | None = None) -> int:
    """Run one session; returns the exit status."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="farhand-agent session: %(message)s"
    )
    # asyncssh logs every request of a console; what was done is in the receipt.
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    return asyncio.run(_main(_options(arguments)))


if __name__ == "__main__":
    sys.exit(main())
