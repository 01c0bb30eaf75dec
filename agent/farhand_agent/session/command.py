"""`farhand-agent code`: the terminal of one session.

It shows the code, asks for consent, shows what is done, and stops the session at Ctrl-C.  The
session itself runs in a process of its own (farhand_agent.session), tied to this one by a pipe:
when this command ends, however it ends, the session ends.  Only a restart of the computer that the
technician announced, and a kill of both processes, leave it open in the journal: the resident agent
takes it up again, or `--resume` does where none runs.

With `--json` stdout carries one JSON object per line as DESIGN section 9 fixes it; words, questions
and the countdown go to stderr in any case.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import termios
from collections.abc import Callable
from typing import Any, Final

import click
import msgspec

from farhand_agent.child import command as child_command
from farhand_agent.config import PROGRAM, Home
from farhand_agent.consent import CALLER_WARNING, consent_lines, is_yes, reason_words
from farhand_agent.home_option import home_option
from farhand_agent.journal import Journal
from farhand_agent.locks import is_held
from farhand_agent.session.events import (
    MAX_LINE_BYTES,
    ActionSeen,
    Asked,
    CodeShown,
    Ended,
    Event,
    Failed,
    LineChanged,
    Opened,
    Paused,
    Refused,
    Restarting,
    decode_event,
)
from farhand_agent.session.grant import SERVED_SCOPES
from farhand_agent.session.lines import read_line
from farhand_agent.terminal import printable
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.grants import MAX_GRANT_MINUTES

__all__ = ["code"]

_log = logging.getLogger(__name__)

STOP_GRACE_S: Final = 30.0


@click.command("code", short_help="Show a one-time code so that a technician can help.")
@home_option
@click.option("--url", help="The relay's address; needed where this folder was never enrolled.")
@click.option("--scope", help=f"What to offer, comma-separated: {', '.join(SERVED_SCOPES)}.")
@click.option("--minutes", type=click.IntRange(1, MAX_GRANT_MINUTES), help="At most this long.")
@click.option("--resume", is_flag=True, help="Go on with the session that was interrupted here.")
@click.option("--yes", is_flag=True, help="Answer the question with yes (demos and checks).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line on stdout.")
@click.pass_context
def code(
    context: click.Context,
    home: Home,
    url: str | None,
    scope: str | None,
    minutes: int | None,
    resume: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show a one-time code, ask for consent, show the session; Ctrl-C stops it.

    The code counts once and for ten minutes. Give it only to somebody whom you asked for help.
    """
    arguments = ["--home", str(home.path)]
    if url is not None:
        arguments += ["--url", url]
    if scope is not None:
        arguments += ["--scope", ",".join(_scopes(scope))]
    if minutes is not None:
        arguments += ["--minutes", str(minutes)]
    if resume:
        arguments += ["--resume", _interrupted(home)]
    context.exit(asyncio.run(_Terminal(home, yes=yes, as_json=as_json).run(arguments)))


def _interrupted(home: Home) -> str:
    """Return the newest session that is open in the journal and served by no process."""
    journal = Journal(home.journal, read_only=True)
    try:
        rows = journal.live_sessions()
    finally:
        journal.close()
    waiting = [row.id for row in rows if not is_held(home.session_lock(row.id))]
    if not waiting:
        raise FarhandError(
            "session-none",
            "there is no interrupted session here",
            hint="leave --resume out to get a new code; farhand-agent status shows what runs",
        )
    return waiting[-1]


def _scopes(text: str) -> list[str]:
    scopes = [one.strip() for one in text.split(",") if one.strip()]
    unknown = [one for one in scopes if one not in SERVED_SCOPES]
    if unknown or not scopes:
        raise UsageError(
            "scope-unknown",
            f"{printable(unknown[0] if unknown else text, 40)!r} is not a scope",
            hint=f"choose of: {', '.join(SERVED_SCOPES)}",
        )
    return scopes


class _Terminal:
    """Shows the events of one session process, and answers it."""

    def __init__(self, home: Home, *, yes: bool, as_json: bool) -> None:
        self._home = home
        self._yes = yes
        self._as_json = as_json
        self._ticks = sys.stderr.isatty()
        self._process: asyncio.subprocess.Process
        self._ticking: asyncio.TimerHandle | None = None
        self._question: _Question | None = None
        self._stopped = False
        self._restarting = False
        self._session = ""
        self._line_open = False

    async def run(self, arguments: list[str]) -> int:
        """Run the session process and return the command's exit status."""
        self._process = await asyncio.create_subprocess_exec(
            *child_command("farhand_agent.session", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to understand
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._stop)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._go)
        try:
            await self._follow()
            status = await self._process.wait()
            if self._stopped and self._session:
                await asyncio.to_thread(self._journal_stop)
            return status
        finally:
            self._quiet()
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    async def _follow(self) -> None:
        output = self._process.stdout
        assert output is not None
        left_over = bytearray()
        while line := await read_line(lambda: output.read(64 * 1024), MAX_LINE_BYTES, left_over):
            self._show(decode_event(line))

    def _stop(self) -> None:
        """Ctrl-C: stop at once; a second one does not wait for a receipt."""
        if self._stopped:
            self._process.kill()
            return
        self._stopped = True
        self._say("stopping")
        self._send({"stop": True})
        asyncio.get_running_loop().call_later(STOP_GRACE_S, self._kill)

    def _go(self) -> None:
        """This command is ended by somebody else: a stop, unless the computer restarts just now."""
        if self._restarting:
            self._process.terminate()
        else:
            self._stop()

    def _journal_stop(self) -> None:
        """Write down that a process which was killed had to stop, so that none goes on with it."""
        journal = Journal(self._home.journal)
        try:
            journal.stop_session(self._session, "stopped")
        finally:
            journal.close()

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    def _send(self, fields: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(msgspec.json.encode(fields) + b"\n")

    # Showing.

    def _show(self, event: Event) -> None:
        if not isinstance(event, ActionSeen):
            self._quiet()
        if self._as_json and not isinstance(event, ActionSeen | Failed | LineChanged):
            click.echo(json.dumps(msgspec.to_builtins(event), ensure_ascii=True))
            sys.stdout.flush()
        match event:
            case CodeShown():
                self._show_code(event)
            case Asked():
                self._ask(event)
            case Opened():
                self._session = event.session
                who = printable(event.operator, 80)
                if event.resumed:
                    self._say("The session that was interrupted goes on; nobody is asked again.")
                self._say(f"{who} may now work on this computer: {', '.join(event.scopes)}.")
                self._say(f"It ends by itself at {event.expires_at}. Ctrl-C stops it at once.")
            case LineChanged():
                self._show_line(event)
            case Restarting():
                self._restarting = True
                self._say("The technician restarts this computer. The session goes on afterwards.")
            case Paused():
                self._session = ""
                self._say("The session pauses: it goes on when this computer's agent runs again,")
                self._say(f"until {event.expires_at}. farhand-agent stop ends it.")
            case ActionSeen():
                self._say(f"  {event.kind:<11}  {printable(event.detail, 160)}")
            case Refused():
                self._say(f"No session: {reason_words(event.reason)} ({printable(event.reason)}).")
            case Ended():
                self._session = ""
                self._say(f"The session is over: {reason_words(event.reason)}.")
                if event.receipt:
                    self._say(f"Your receipt: {event.receipt}")
            case Failed():
                click.echo(
                    f"{PROGRAM}: error: {printable(event.code)}: {printable(event.message)}",
                    err=True,
                )
                if event.hint:
                    click.echo(f"{PROGRAM}: hint: {printable(event.hint, 400)}", err=True)

    def _show_line(self, event: LineChanged) -> None:
        if event.state == "connected":
            self._say("The technician is connected.")
        elif event.state == "idle" or event.left_s is None:
            self._say("The technician is not connected just now.")
        elif self._ticks:
            due = asyncio.get_running_loop().time() + event.left_s
            self._tick(lambda left: f"  The line is down, waiting for it: {left} s left ", due)
        else:
            self._say(f"The line is down; it is waited for, {event.left_s} s at most.")

    def _show_code(self, event: CodeShown) -> None:
        if not self._as_json:
            wide = "  ".join(printable(event.code, 20))
            frame = "=" * (len(wide) + 6)
            for line in ("", frame, f"   {wide}", frame, ""):
                click.echo(line)
            click.echo(f"Your code: {printable(event.code, 20)}")
            sys.stdout.flush()
        for line in CALLER_WARNING:
            self._say(line)
        self._say(f"Relay: {printable(event.url, 100)}")
        if self._ticks:
            due = asyncio.get_running_loop().time() + event.expires_in_s
            self._tick(lambda left: f"  valid for {left // 60}:{left % 60:02d}, one use ", due)
        else:
            self._say(f"Valid until {event.expires_at}, for one use.")

    def _ask(self, event: Asked) -> None:
        for line in consent_lines(event):
            self._say(line)
        if self._yes:
            self._say("Allowed by --yes.")
            self._send({"answer": "allow"})
        elif sys.stdin.isatty():
            self._question = _Question(sys.stdin.fileno(), self._answer)
            seconds = event.answer_within_s
            click.echo(
                f"Allow this? [y/N] (no answer in {seconds} s means no) ", err=True, nl=False
            )
            self._line_open = True
        else:
            self._say("There is no terminal to ask on, so the answer will be no.")

    def _answer(self, text: str) -> None:
        allow = is_yes(text)
        self._line_open = False
        self._send({"answer": "allow" if allow else "deny"})

    # The lines that change while they stand.

    def _tick(self, text: Callable[[int], str], due: float) -> None:
        loop = asyncio.get_running_loop()
        left = max(0, round(due - loop.time()))
        click.echo(f"\r{text(left)}", err=True, nl=False)
        self._line_open = True
        self._ticking = loop.call_later(1.0, self._tick, text, due)

    def _quiet(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        if self._question is not None:
            self._question.close()
            self._question = None

    def _say(self, text: str) -> None:
        if self._line_open:
            click.echo("", err=True)
            self._line_open = False
        click.echo(text, err=True)


class _Question:
    """Reads one line from a terminal, and nothing that was typed before the question."""

    def __init__(self, descriptor: int, answer: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._on_answer = answer
        self._open = True
        try:
            termios.tcflush(descriptor, termios.TCIFLUSH)
        except termios.error as error:
            # Not a terminal after all; then there is nothing typed ahead either.
            _log.debug("nothing to flush: %s", error)
        asyncio.get_running_loop().add_reader(descriptor, self._on_readable)

    def _on_readable(self) -> None:
        data = os.read(self._descriptor, 1024)
        self.close()
        self._on_answer(data.decode("utf-8", "replace"))

    def close(self) -> None:
        """Stop reading; the question is over."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._descriptor)
