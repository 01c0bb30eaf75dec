"""chat, steps: talking with the person at the device, and asking her to do something there."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import asyncssh
import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.cli.joining import joined, run_session
from farhand_console.output import line, printable, say, show_json, show_table, warn
from farhand_console.relay import segments
from farhand_console.relay.desk import TicketMessage
from farhand_console.session.chat import (
    MAX_TEXT_CHARS,
    Line,
    converse,
    follow,
    send,
    transcript,
    transcript_note,
)
from farhand_console.session.record import SessionRecord
from farhand_console.session.ssh import connect_ssh
from farhand_console.session.stdio import StdinReader
from farhand_console.session.steps import StepDone, ask_steps, check_steps, read_steps
from farhand_protocol.errors import UsageError

__all__ = ["register"]

_MAX_FILE_BYTES = 1024 * 1024


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    _register_chat(root)
    _register_steps(root)


def _register_chat(root: click.Group) -> None:
    @command(root)
    @click.argument("session")
    @click.option("--send", "texts", multiple=True, metavar="TEXT", help="Say this; repeatable.")
    @click.option("--follow", "following", is_flag=True, help="Show what is said, as it comes.")
    @click.option("--attach", is_flag=True, help="Put the conversation into the ticket, as a note.")
    def chat(
        context: Context, session: str, texts: tuple[str, ...], following: bool, attach: bool
    ) -> None:
        """Talk with the person at the device; on a terminal what is typed is sent.

        Without a terminal, and with none of the options, what was said so far is shown.
        """
        if any(not one.strip() or len(one) > MAX_TEXT_CHARS for one in texts):
            raise UsageError("chat-malformed", f"a message has 1 to {MAX_TEXT_CHARS} characters")
        record = joined(context, session)
        typing = sys.stdin.isatty() and not (texts or following or attach or context.as_json)

        async def work() -> None:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                sent = await send(connection, list(texts)) if texts else []
                if attach:
                    lines = await transcript(connection)
                    await asyncio.to_thread(_attach, context, record, lines)
                elif following:
                    await _follow(context, connection, max(sent, default=0))
                elif typing:
                    say("type, then Enter; Ctrl-D leaves, and the session goes on")
                    await converse(connection, StdinReader().read, _show, warn)
                elif texts:
                    answer = {"session": record.session, "sent": sent}
                    context.show(answer, lambda: None)
                else:
                    _list(context, await transcript(connection))

        run_session(work())


async def _follow(context: Context, connection: asyncssh.SSHClientConnection, after: int) -> None:
    async with aclosing(follow(connection, after=after)) as lines:
        async for one in lines:
            if context.as_json:
                show_json(one)
            else:
                _show(one)
            sys.stdout.flush()


def _show(one: Line) -> None:
    for words in one.text.splitlines():
        line(f"{one.at[11:16]}  {one.who}: {words}", MAX_TEXT_CHARS + 80)
    sys.stdout.flush()


def _list(context: Context, lines: list[Line]) -> None:
    def readable() -> None:
        for one in lines:
            _show(one)

    context.show({"items": lines, "next": None}, readable)


def _attach(context: Context, record: SessionRecord, lines: list[Line]) -> None:
    path = segments("tickets", record.ticket, "messages")
    body = {"kind": "note", "body": transcript_note(record.session, lines)}
    message = context.relay.post(path, TicketMessage, body)
    answer = {"session": record.session, "ticket": record.ticket, "lines": len(lines)}
    context.show(
        answer | {"message": message.seq},
        lambda: say(f"{len(lines)} lines are in {record.ticket} now, as a note for the desk"),
    )


def _register_steps(root: click.Group) -> None:
    @command(root, "steps")
    @click.argument("session")
    @click.option("--step", "steps", multiple=True, metavar="TEXT", help="An instruction.")
    @click.option(
        "--file",
        "file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="One instruction to a line; empty lines and # comments are left out.",
    )
    @click.option(
        "--within",
        "within_s",
        type=click.IntRange(1, 3600),
        default=600,
        show_default=True,
        help="Seconds that each waits for its answer.",
    )
    @click.option("--go-on", is_flag=True, help="Also after one that could not be done.")
    def steps_command(
        context: Context,
        session: str,
        steps: tuple[str, ...],
        file: Path | None,
        within_s: int,
        go_on: bool,
    ) -> None:
        """Ask the person for one thing after the other; she answers done or cannot, and why."""
        if (file is None) == (not steps):
            raise UsageError("usage", "give either --file or --step")
        wanted = check_steps(list(steps)) if file is None else read_steps(_text(file))
        record = joined(context, session)

        async def work() -> list[StepDone]:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                say(f"step 1 of {len(wanted)} is on the person's screen")
                return await ask_steps(
                    connection, wanted, within_s=within_s, go_on=go_on, told=_told
                )

        answers = run_session(work())
        done = sum(one.answer == "done" for one in answers)
        result = {
            "session": record.session,
            "asked": len(answers),
            "of": len(wanted),
            "done": done,
            "items": [msgspec.to_builtins(one) for one in answers],
            "next": None,
        }
        context.show(
            result,
            lambda: show_table(
                ("step", "answer", "why", "instruction"),
                [(one.number, one.answer, one.why, one.text) for one in answers],
            ),
        )
        if done < len(wanted):
            sys.exit(1)


def _told(one: StepDone) -> None:
    why = f": {printable(one.why, 500)}" if one.why else ""
    say(f"step {one.number}: {one.answer}{why}")


def _text(file: Path) -> str:
    with file.open("rb") as source:
        data = source.read(_MAX_FILE_BYTES + 1)
    try:
        if len(data) > _MAX_FILE_BYTES:
            raise ValueError("too large")
        return data.decode()
    except ValueError as error:
        raise UsageError("step-malformed", f"{file} is no text file of steps") from error
