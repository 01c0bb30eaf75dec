"""Every command of the console before a relay whose every text is hostile: nothing of it acts.

The relay's answers are made up by their own types: each text in them turns, hides, clears the
screen, names a link, sets a title or writes to the clipboard.  Whatever a command makes of them,
lists and errors, words and JSON, is looked at as a terminal would read it.
"""

from __future__ import annotations

import io
import socket
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import msgspec
import pytest

from farhand_console.cli import base
from farhand_console.cli.base import error_exit
from farhand_console.cli.entry import farhand
from farhand_console.home import Home, Settings
from farhand_console.output import say, show_file
from farhand_console.relay import calls
from farhand_protocol.errors import FarhandError
from tests.console.organisation import Organisation

TRICKS = (
    "<b>\x1b]0;owned\x07\x1b[2J\x1b]52;c;b3du\x07\x1b]8;;http://evil.example\x07\x9b31m\x9d0;x\x9c"
    "\0\r\n\u202egpj\u2066\u2069\u200e\u200f\u061c\u2028\u2029\xad\U000e0041\ufeff[bold]=1+1"
)
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# They wait for people, devices, keys or other programs; what they show has tests of its own.
_LEFT_OUT = {
    *("web", "login", "deploy", "proxy", "live watch", "live talk", "phone watch", "chat"),
}
_MOST_CALLS = 40


def unsafe(text: str) -> list[str]:
    """Return what of a text a terminal would act on."""
    return [f"{one!a}" for one in text if one != "\n" and unicodedata.category(one) in UNSAFE]


def built(kind: Any, words: str, name: str = "") -> Any:
    """Return a value of a type (as msgspec describes it) in which every text is these words."""
    if isinstance(kind, msgspec.inspect.StructType):
        made = {one.name: built(one.type, words, one.name) for one in kind.fields}
        return kind.cls(**made)
    if isinstance(kind, msgspec.inspect.UnionType):
        # The cursor of a list ends it.
        if name in ("next", "cursor"):
            return None
        others = [one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)]
        return built(others[0], words, name)
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        return [built(kind.item_type, words, name)]
    if isinstance(kind, msgspec.inspect.DictType):
        key = built(kind.key_type, words)
        return {key: built(kind.value_type, words, name)}
    if isinstance(kind, msgspec.inspect.LiteralType):
        return kind.values[0]
    if isinstance(kind, msgspec.inspect.StrType):
        # Times are cut and compared; the rest is shown.
        return "2026-11-22T12:00:00Z" if name.endswith(("_at", "at", "expires")) else words
    simple: dict[Any, Any] = {
        msgspec.inspect.BoolType: True,
        msgspec.inspect.IntType: 7,
        msgspec.inspect.FloatType: 1.5,
        msgspec.inspect.BytesType: words.encode(),
        msgspec.inspect.NoneType: None,
    }
    return simple.get(type(kind), words)


@pytest.fixture
def lying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A home that is signed in to a relay that says `words` wherever it may."""
    home = Home(tmp_path / "home")
    home.save(
        Settings(
            relay_key="00" * 32, tls_sha256="", tenant="acme", role="admin",
            url="http://127.0.0.1:9", account="ada", organisation="Acme", api_token="t",
        )
    )  # fmt: skip
    told = SimpleNamespace(home=home.folder, words=TRICKS, calls=0, refused=False)

    def call(*_: Any, **__: Any) -> bytes:
        told.calls += 1
        if told.refused or told.calls > _MOST_CALLS:
            raise FarhandError(told.words, told.words, hint=told.words, detail=told.words)
        return str(told.words).encode()

    def decode(_raw: bytes, kind: Any) -> Any:
        return built(msgspec.inspect.type_info(kind), told.words)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(111, told.words)

    monkeypatch.setattr(calls.Relay, "_call", call)
    monkeypatch.setattr(calls, "_decode", decode)
    monkeypatch.setattr(base, "load_trust", lambda *_, **__: Organisation().trust)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    monkeypatch.setenv("FARHAND_PASSPHRASE", "")
    monkeypatch.chdir(tmp_path)
    return told


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None
        words = (*path, name)
        if " ".join(words) in _LEFT_OUT:
            continue
        if isinstance(one, click.Group):
            yield from leaves(one, words)
        else:
            yield words


def given(words: tuple[str, ...]) -> list[str]:
    """Return a command with something for whatever it requires."""
    one: click.Command = farhand
    for word in words:
        assert isinstance(one, click.Group)
        found = one.get_command(click.Context(one), word)
        assert found is not None
        one = found
    options: list[str] = []
    arguments: list[str] = []
    for parameter in one.params:
        if not parameter.required:
            continue
        kind = parameter.type
        value = "1"
        if isinstance(kind, click.Choice):
            value = str(kind.choices[0])
        elif isinstance(kind, click.Path):
            value = "nothing-here"
        if isinstance(parameter, click.Option):
            options += [parameter.opts[0], *([value] * parameter.nargs)]
        else:
            arguments += [value] * max(1, parameter.nargs)
    return [*words, *options, *arguments]


def run(told: SimpleNamespace, words: list[str]) -> None:
    """Run a command as `main` does."""
    told.calls = 0
    try:
        farhand.main([f"--home={told.home}", *words], prog_name="farhand", standalone_mode=False)
    except (SystemExit, click.exceptions.Exit, click.Abort):
        pass  # it has said why
    except click.ClickException as error:
        say(f"farhand: error: usage: {error.format_message()}")
    except FarhandError as error:
        error_exit(error)
    except Exception as error:
        # A relay that answers what no relay would; Python says so on the terminal.
        sys.stderr.writelines(traceback.format_exception_only(error))


@pytest.mark.parametrize("how", ["words", "json", "refused"])
def test_no_command_lets_a_relays_words_act(
    lying: SimpleNamespace, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    lying.refused = how == "refused"
    faults: list[str] = []
    shown = 0
    for words in leaves(farhand):
        run(lying, [*given(words), *(["--json"] if how == "json" else [])])
        said = capsys.readouterr()
        shown += "owned" in said.out + said.err
        if found := unsafe(said.out) + unsafe(said.err):
            faults.append(f"{' '.join(words)}: {sorted(set(found))}")
    assert not faults, "\n".join(faults)
    assert shown > 150, f"the words arrived in {shown} commands"


def test_a_ticket_is_exported_under_no_name_of_the_relays(
    lying: SimpleNamespace, tmp_path: Path
) -> None:
    lying.words = "../outside"
    run(lying, ["ticket", "export", "FH-1"])
    assert (tmp_path / "ticket.mbox").read_bytes() == b"../outside"
    assert not (tmp_path.parent / "outside.mbox").exists()


def test_a_file_is_escaped_on_a_terminal_and_whole_in_a_pipe(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"{TRICKS}\nb\xff".encode("latin-1", "replace")
    show_file(data)
    assert capsysbinary.readouterr().out == data
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_file(data)
    shown = capsysbinary.readouterr().out.decode()
    assert not unsafe(shown)
    assert shown.endswith("b\ufffd\n")
