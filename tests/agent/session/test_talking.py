"""The person's side of chat and steps: keys on a real terminal, and the commands for any other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from farhand_agent import cli
from farhand_agent.config import Home
from farhand_agent.journal import Journal
from tests.agent.session.code_console import CodeConsole
from tests.agent.session.test_code_command import command
from tests.agent.session.test_live_help import Channel
from tests.support.session_relay import running_relay


async def test_keys_write_to_the_technician_and_answer_steps(tmp_path: Path) -> None:
    async with running_relay() as relay, command(relay, tmp_path, terminal=True) as run:
        console = CodeConsole(relay)
        shown = await run.event("code")
        pairing = await console.pair(shown["code"])
        screen = run.screen
        assert screen is not None
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing))
            await screen.wait_for("Allow this? [y/N]")
            screen.type("y\n")
            assert (await asking).granted
        await screen.wait_for("c writes a message")
        async with console.ssh() as connection:
            chat = Channel(await connection.create_process(subsystem="farhand-chat", encoding=None))
            chat.send({"follow": 1})
            chat.send({"say": "can you \x1b[2Jhear\nme?"})
            assert (await chat.answer())["said"] == 1
            await screen.wait_for("can you \\x1b[2Jhear")
            await screen.wait_for(": me?")
            screen.type("c")
            await screen.wait_for("To the technician: ")
            screen.type("yes, q is a letter here\r")
            heard = await chat.answer()
            assert (heard["who"], heard["text"]) == ("person", "yes, q is a letter here")

            steps = Channel(
                await connection.create_process(subsystem="farhand-steps", encoding=None)
            )
            screen.type("d")  # nothing is asked, so it means nothing
            steps.send({"step": "Open the \u202elid", "number": 1, "of": 2})
            await screen.wait_for("Open the \\u202elid")
            await screen.wait_for("Press d when")
            screen.type("d")
            assert (await steps.answer())["answer"] == "done"
            steps.send({"step": "Turn the key", "number": 2, "of": 2})
            await screen.wait_for("Turn the key")
            screen.type("n")
            await screen.wait_for("Why not?")
            screen.type("there is none\r")
            answer = await steps.answer()
            assert (answer["answer"], answer["why"]) == ("cannot", "there is none")
            screen.type("q")
            await screen.wait_for("The session is over")
        assert await run.status() == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [(["say", "hello"], "session-none"), (["step", "done"], "session-none")],
)
def test_nobody_is_spoken_to_where_no_session_is(
    tmp_path: Path, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Home.at(tmp_path).make()
    Journal(Home.at(tmp_path).journal, create=True).close()
    assert cli._run([*words, "--home", str(tmp_path)]) == 1
    assert f"error: {code}:" in capsys.readouterr().err
    assert CliRunner().invoke(cli.cli, [*words, "--help"]).exit_code == 0
