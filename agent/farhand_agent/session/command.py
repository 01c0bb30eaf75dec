"""`farhand-agent code`: the terminal of one session.

It shows the code, asks for consent, shows what is done, and stops the session at Ctrl-C.  The
session itself runs in a process of its own (farhand_agent.session), tied to this one by a pipe:
when this command ends, however it ends, the session ends.  Only a restart of the computer that the
technician announced, and a kill of both processes, leave it open in the journal: the resident agent
takes it up again, or `--resume` does where none runs.

Where the agent is another user's, it runs the process and this command is its terminal all the same
(at_door.py); `--url` begins a guest's session of this user's own.

With `--json` stdout carries one JSON object per line as DESIGN section 9 fixes it; words, questions
and the countdown go to stderr in any case (farhand_agent.session.screen).
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import Any, Final

import click
import msgspec

from farhand_agent.config import Home
from farhand_agent.door_option import door_of, person_home_option
from farhand_agent.home_option import default_home
from farhand_agent.journal import Journal
from farhand_agent.local import SYSTEM_HOME
from farhand_agent.locks import is_held
from farhand_agent.processes import command as child_command
from farhand_agent.session.at_door import DoorTerminal
from farhand_agent.session.events import MAX_LINE_BYTES, decode_event
from farhand_agent.session.grant import SERVED_SCOPES
from farhand_agent.session.lines import read_line
from farhand_agent.session.screen import SessionScreen
from farhand_agent.terminal import printable
from farhand_agent.wording import own_wording
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.grants import MAX_GRANT_MINUTES

__all__ = ["code"]

STOP_GRACE_S: Final = 30.0
PAGE_STAYS_S: Final = 600


@click.command("code", short_help="Show a one-time code so that a technician can help.")
@person_home_option
@click.option("--url", help="The relay's address; needed where this folder was never enrolled.")
@click.option("--scope", help=f"What to offer, comma-separated: {', '.join(SERVED_SCOPES)}.")
@click.option("--minutes", type=click.IntRange(1, MAX_GRANT_MINUTES), help="At most this long.")
@click.option("--resume", is_flag=True, help="Go on with the session that was interrupted here.")
@click.option("--page/--no-page", help="Open the page in the browser as well.")
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
    page: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show a one-time code, ask for consent, show the session; Ctrl-C stops it.

    The code counts once and for ten minutes. Give it only to somebody whom you asked for help.
    """
    if url is not None and home.path == SYSTEM_HOME:
        home = Home.at(default_home())  # a guest's session is this user's own
    if (door := door_of(home)) is not None:
        if url is not None or resume:
            raise UsageError(
                "people-own-home",
                "the agent is another user's, which --url and --resume are not for",
                hint="give a home of your own with --home, or leave them out",
            )
        if page:
            _open_page(home, is_ours=False)
        scopes = None if scope is None else _scopes(scope)
        terminal = DoorTerminal(door, yes=yes, as_json=as_json)
        context.exit(asyncio.run(terminal.run(scopes, minutes)))
    arguments = ["--home", str(home.path)]
    if url is not None:
        arguments += ["--url", url]
    if scope is not None:
        arguments += ["--scope", ",".join(_scopes(scope))]
    if minutes is not None:
        arguments += ["--minutes", str(minutes)]
    if resume:
        arguments += ["--resume", _interrupted(home)]
    if page:
        _open_page(home, is_ours=True)
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


def _open_page(home: Home, *, is_ours: bool) -> None:
    """Open the page, which the session's process finds then; it leaves by itself afterwards.

    Raises:
        FarhandError: `child-failed` when it did not come; why is on stderr.
    """
    if is_ours:
        home.make()
    words = ("desktop", "--json", "--leave-after", str(PAGE_STAYS_S), "--home", str(home.path))
    child = subprocess.Popen(
        child_command("farhand_agent", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    with child.stdout as told:
        line = told.readline()
    if not line:
        child.wait()
        raise FarhandError("child-failed", "the page could not be opened")
    # It outlives this command, so that the receipt can still be read on it.
    child.returncode = 0


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
    """Runs one session process, and is its terminal."""

    def __init__(self, home: Home, *, yes: bool, as_json: bool) -> None:
        self._home = home
        self._yes = yes
        self._as_json = as_json
        self._process: asyncio.subprocess.Process
        self._screen: SessionScreen
        self._stopped = False

    async def run(self, arguments: list[str]) -> int:
        """Run the session process and return the command's exit status."""
        self._process = await asyncio.create_subprocess_exec(
            *child_command("farhand_agent.session", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to understand
        )
        self._screen = SessionScreen(
            yes=self._yes, as_json=self._as_json, send=self._send, stop=self._stop,
            has_page=lambda: is_held(self._home.desktop_lock),
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._stop)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._go)
        try:
            await self._follow()
            status = await self._process.wait()
            if self._stopped and self._screen.session:
                await asyncio.to_thread(self._journal_stop, self._screen.session)
            return status
        finally:
            self._screen.close()
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    async def _follow(self) -> None:
        output = self._process.stdout
        assert output is not None
        left_over = bytearray()
        while line := await read_line(lambda: output.read(64 * 1024), MAX_LINE_BYTES, left_over):
            self._screen.show(decode_event(line))

    def _stop(self) -> None:
        """Ctrl-C: stop at once; a second one does not wait for a receipt."""
        if self._stopped:
            self._process.kill()
            return
        self._stopped = True
        w = own_wording()
        self._screen.say(w("stopping"))
        self._send({"stop": True})
        asyncio.get_running_loop().call_later(STOP_GRACE_S, self._kill)

    def _go(self) -> None:
        """This command is ended by somebody else: a stop, unless the computer restarts just now."""
        if self._screen.is_restarting:
            self._process.terminate()
        else:
            self._stop()

    def _journal_stop(self, session: str) -> None:
        """Write down that a process which was killed had to stop, so that none goes on with it."""
        journal = Journal(self._home.journal)
        try:
            journal.stop_session(session, "stopped")
        finally:
            journal.close()

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    def _send(self, fields: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(msgspec.json.encode(fields) + b"\n")
