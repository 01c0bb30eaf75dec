"""Acts: a closed table of commands, whose values stay values."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from farhand_console.cli.entry import farhand
from farhand_console.web import acts
from farhand_console.web.acts import ACTS, Act, Value, command_words
from farhand_protocol.errors import UsageError
from tests.console.web.backend import PATIENCE_S, Backend, said

EVERY = Act(
    words=("x",),
    values=(
        Value("ticket", "text", "--ticket"),
        Value("minutes", "number", "--minutes"),
        Value("wait", "flag", "--wait"),
        Value("to", "many", "--to"),
        Value("param", "pairs", "--param"),
        Value("script", "file", "--script"),
        Value("device", "text", "", True),
    ),
)


def test_values_become_options_and_arguments(tmp_path: Path) -> None:
    words = command_words(
        EVERY,
        {
            "ticket": "FH-1",
            "minutes": 5,
            "wait": True,
            "to": ["a", "b"],
            "param": {"k": "v=w"},
            "script": "#!/bin/sh\n",
            "device": "reception",
        },
        tmp_path,
    )
    file = tmp_path / "5"
    assert words == [
        *("x", "--ticket=FH-1", "--minutes=5", "--wait", "--to=a", "--to=b", "--param=k=v=w"),
        *(f"--script={file}", "--", "reception"),
    ]
    assert file.read_text() == "#!/bin/sh\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_no_value_becomes_an_option_or_a_command(tmp_path: Path) -> None:
    for hostile in ("--home=/tmp", "-h", "--", "; rm -rf /", "$(id)", "a\nb", "\u202e", "-"):
        words = command_words(EVERY, {"ticket": hostile, "device": hostile}, tmp_path)
        assert words == ["x", f"--ticket={hostile}", "--", hostile]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"device": ""},
        {"device": 5},
        {"device": "a\0b"},
        {"device": "x" * 200_000},
        {"device": "d", "other": "x"},
        {"device": "d", "wait": "yes"},
        {"device": "d", "minutes": "5"},
        {"device": "d", "minutes": True},
        {"device": "d", "to": "a"},
        {"device": "d", "to": ["a"] * (acts.MAX_VALUES + 1)},
        {"device": "d", "to": [1]},
        {"device": "d", "param": {"a=b": "c"}},
        {"device": "d", "param": {"a": 1}},
        {"device": "d", "script": "x" * (acts.MAX_VALUE_CHARS + 1)},
    ],
)
def test_what_an_act_does_not_take_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        command_words(EVERY, given, tmp_path)
    assert refused.value.code == "act-values"


def _command(words: tuple[str, ...]) -> click.Command:
    found: click.Command = farhand
    context = click.Context(farhand)
    for word in words:
        if word.startswith("--"):
            assert any(word in one.opts for one in found.params), words
            continue
        assert isinstance(found, click.Group), words
        next_one = found.get_command(context, word)
        assert next_one is not None, f"there is no command {' '.join(words)}"
        found = next_one
    return found


@pytest.mark.parametrize("name", sorted(ACTS))
def test_every_act_is_a_command_with_these_options(name: str) -> None:
    act = ACTS[name]
    command = _command(act.words)
    options: dict[str, click.Option] = {}
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    for one in command.params:
        if isinstance(one, click.Option):
            options |= dict.fromkeys((*one.opts, *one.secondary_opts), one)
    for value in act.values:
        if not value.option:
            continue
        assert value.option in options, f"{name}: {value.option}"
        option = options[value.option]
        assert option.is_flag == (value.kind == "flag"), f"{name}: {value.option}"
        if value.kind in ("many", "pairs"):
            assert option.multiple, f"{name}: {value.option}"
    given = [value for value in act.values if not value.option]
    most = sum(1 if one.nargs == 1 else 1000 for one in arguments)
    least = sum(1 for one in arguments if one.required)
    assert least <= len(given) <= most, name


async def test_a_command_answers_through_the_socket(web: Backend) -> None:
    async with web.socket("/local/act") as socket:
        await socket.send(json.dumps({"act": "whoami"}))
        messages = []
        while "end" not in (message := await said(socket)):
            messages.append(message)
    assert message["end"] == 1  # this home has no key
    assert set(message["error"]) == {"code", "message", "hint"}
    assert message["error"]["code"] not in ("", "act-failed")
    assert not any("error:" in str(one.get("say", "")) for one in messages)


async def test_nothing_is_signed_that_nobody_confirmed(web: Backend) -> None:
    for asked, code in (
        ({"act": "run", "values": {"script": "x", "device": "d"}}, "act-unconfirmed"),
        ({"act": "wake", "values": {"device": "a", "via": "reception"}}, "act-unconfirmed"),
        ({"act": "rm"}, "act-unknown"),
        ({"act": "whoami", "values": {"home": "/"}}, "act-values"),
        ({"act": "whoami", "shell": True}, "act-values"),
        ([], "act-values"),
    ):
        async with web.socket("/local/act") as socket:
            await socket.send(json.dumps(asked))
            message = await said(socket)
        assert message["error"]["code"] == code, asked


async def test_a_page_that_goes_stops_its_command(
    web: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command hears what Ctrl-C would tell it, and its end is waited for."""
    mark = tmp_path / "mark"
    program = tmp_path / "python"
    program.write_text(
        "#!/bin/sh\n"
        f"trap 'echo stopped > {mark}; exit 130' INT\n"
        "echo '{\"ready\":true}'\n"
        "while :; do sleep 0.05; done\n"
    )
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    async with web.socket("/local/act") as socket:
        await socket.send(json.dumps({"act": "trust-status"}))
        assert await said(socket) == {"answer": {"ready": True}}
    async with web.socket("/local/act") as other:
        # By now the first one is gone, or goes: the next command of this page is not held up.
        await other.send(json.dumps({"act": "trust-status"}))
        assert await said(other) == {"answer": {"ready": True}}
    async with asyncio.timeout(PATIENCE_S):
        while web.running:
            await asyncio.sleep(0.01)
    assert mark.read_text() == "stopped\n"


async def test_the_passphrase_reaches_the_command_alone(
    web: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\nprintf \'{"words":"%s","given":"%s"}\\n\' "$*" "$FARHAND_PASSPHRASE"\n'
    )
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    values = {"script": "check.disk.space", "device": "reception", "version": 3, "digest": "d"}
    asked = {"act": "run", "values": values, "confirmed": True, "passphrase": "open sesame"}
    async with web.socket("/local/act") as socket:
        await socket.send(json.dumps(asked))
        answer = (await said(socket))["answer"]
        assert (await said(socket))["end"] == 0
    assert answer["given"] == "open sesame"
    assert "sesame" not in answer["words"]
    assert answer["words"].endswith(
        "run --device=reception --version=3 --digest=d -- check.disk.space"
    )
    monkeypatch.delenv("FARHAND_PASSPHRASE", raising=False)
    async with web.socket("/local/act") as socket:
        await socket.send(json.dumps({"act": "whoami", "passphrase": "not wanted"}))
        answer = (await said(socket))["answer"]
    assert answer["given"] == ""
