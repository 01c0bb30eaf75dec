"""Every command of the console before a relay whose every text is hostile: nothing of it acts.

The relay's answers are made up by their own types: each text in them turns, hides, clears the
screen, names a link, sets a title or writes to the clipboard; objects are empty, numbers as large
as a type lets them be.  Whatever a command makes of them, lists and errors, words and JSON, is
looked at as a terminal would read it; and whatever the relay says, it is no traceback.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

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
from tests.console.organisation import FakeTrust, Organisation

TRICKS = (
    "<b>\x1b]0;owned\x07\x1b[2J\x1b]52;c;b3du\x07\x1b]8;;http://evil.example\x07\x9b31m\x9d0;x\x9c"
    "\0\r\n\u202egpj\u2066\u2069\u200e\u200f\u061c\u2028\u2029\xad\U000e0041\ufeff[bold]=1+1"
)
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# They wait for people, devices, keys or other programs; what they show has tests of its own.
_LEFT_OUT = {
    *("web", "login", "deploy", "proxy", "live watch", "live talk", "phone watch", "chat"),
}
# Options behind which something else is read.
_MORE = (
    ("person", "erase", "1", "--reason=1", "--yes"),
    ("ticket", "device", "1", "--section=1"),
    ("ticket", "list", "--filter", TRICKS),
    ("report", "figures", "--by=queue"),
)
_MOST_CALLS = 40


def unsafe(text: str) -> list[str]:
    """Return what of a text a terminal would act on."""
    return [f"{one!a}" for one in text if one != "\n" and unicodedata.category(one) in UNSAFE]


class Lie(NamedTuple):
    """What stands in an answer, wherever its type lets it."""

    words: str = TRICKS
    number: int = 7
    fraction: float = 1.5
    is_empty: bool = False


LIES = {
    "tricks": Lie(),
    "empty": Lie(is_empty=True),
    "large": Lie(number=2**63 - 1, fraction=1e308),
    "below nothing": Lie(number=-(2**63), fraction=-1e308),
    "endless": Lie(number=10**400),
}


def built(kind: Any, lie: Lie, name: str = "") -> Any:
    """Return what JSON has for a type (as msgspec describes it), made up of a lie."""
    if isinstance(kind, msgspec.inspect.StructType):
        return {one.encode_name: built(one.type, lie, one.name) for one in kind.fields}
    if isinstance(kind, msgspec.inspect.UnionType):
        # The cursor of a list ends it.
        if name in ("next", "cursor"):
            return None
        others = [one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)]
        return built(others[0], lie, name)
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        return [built(kind.item_type, lie, name)] * max(1, kind.min_length or 0)
    if isinstance(kind, msgspec.inspect.TupleType):
        return [built(one, lie, name) for one in kind.item_types]
    if isinstance(kind, msgspec.inspect.DictType):
        if lie.is_empty:
            return {}
        return {built(kind.key_type, lie): built(kind.value_type, lie, name)}
    if isinstance(kind, msgspec.inspect.LiteralType):
        return kind.values[0]
    if isinstance(kind, msgspec.inspect.StrType):
        # Times are cut and compared; the rest is shown.
        return "2026-11-22T12:00:00Z" if name.endswith(("_at", "at", "expires")) else lie.words
    if isinstance(kind, msgspec.inspect.IntType):
        bounds = [one for one in (kind.le, None if kind.lt is None else kind.lt - 1) if one]
        return max(min([lie.number, *bounds]), kind.ge if kind.ge is not None else lie.number)
    simple: dict[Any, Any] = {
        msgspec.inspect.BoolType: True,
        msgspec.inspect.FloatType: lie.fraction,
        msgspec.inspect.BytesType: base64.b64encode(lie.words.encode()).decode(),
        msgspec.inspect.NoneType: None,
    }
    return simple.get(type(kind), {} if lie.is_empty else lie.words)


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
    told = SimpleNamespace(home=home.folder, lie=LIES["tricks"], calls=0, refused=False, faults=[])
    read = calls._decode

    def call(*_: Any, **__: Any) -> bytes:
        told.calls += 1
        if told.refused or told.calls > _MOST_CALLS:
            words = told.lie.words
            raise FarhandError(words, words, hint=words, detail=words)
        return str(told.lie.words).encode()

    def decode(_raw: bytes, kind: Any) -> Any:
        made = built(msgspec.inspect.type_info(kind), told.lie)
        return read(json.dumps(made).encode(), kind)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(111, told.lie.words)

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
        if isinstance(error, AttributeError) and isinstance(error.obj, FakeTrust):
            return  # it reads signed metadata first, which this organisation has none of
        where = traceback.extract_tb(error.__traceback__)
        ours = [
            f"{Path(one.filename).name}:{one.lineno}" for one in where if "farhand" in one.filename
        ]
        told.faults.append(f"{' '.join(words)}: {error!r:.200} at {ours[-1:]}")


@pytest.mark.parametrize(
    ("how", "lie"),
    [
        *(("words", lie) for lie in LIES),
        ("json", "tricks"),
        ("json", "large"),
        ("refused", "tricks"),
    ],
)
def test_no_command_lets_a_relays_words_act(
    lying: SimpleNamespace, capsys: pytest.CaptureFixture[str], how: str, lie: str
) -> None:
    lying.refused, lying.lie = how == "refused", LIES[lie]
    faults: list[str] = lying.faults
    shown = 0
    for words in [*map(given, leaves(farhand)), *map(list, _MORE)]:
        run(lying, [*words, *(["--json"] if how == "json" else [])])
        said = capsys.readouterr()
        shown += "owned" in said.out + said.err
        if found := unsafe(said.out) + unsafe(said.err):
            faults.append(f"{' '.join(words)}: {sorted(set(found))}")
    assert not faults, "\n".join(faults)
    if lie != "endless":  # nothing of which is read
        assert shown > 150, f"the words arrived in {shown} commands"


def test_a_ticket_is_exported_under_no_name_of_the_relays(
    lying: SimpleNamespace, tmp_path: Path
) -> None:
    lying.lie = Lie(words="../outside")
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
