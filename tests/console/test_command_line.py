"""The command line itself: options anywhere, words and codes, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from farhand_console.cli.entry import _COMMANDS, farhand, main
from farhand_console.home import Home
from tests.console.organisation import settings


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command line in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["farhand", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture
def keyed(home: Home) -> Home:
    """A home with a key, where `key show` works."""
    settings(home)
    (home.folder / "operator.key.pub").write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGeOQz7Xn8BlT5rXo4nMzkVgTs2Hk0sGJ1m8qk3bJ2pT me\n"
    )
    return home


@pytest.mark.parametrize(
    "words",
    [
        ["--home", "HOME", "--json", "key", "show"],
        ["key", "--home", "HOME", "--json", "show"],
        ["key", "show", "--home", "HOME", "--json"],
        ["--json", "key", "--home", "HOME", "show"],
        ["--home", "/nowhere", "key", "show", "--json", "--home", "HOME"],
    ],
)
def test_home_and_json_stand_anywhere(
    keyed: Home,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(keyed.folder) if word == "HOME" else word for word in words]
    assert run(monkeypatch, *given) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(keyed.folder / "operator.key")


def test_the_variable_is_the_default(
    keyed: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FARHAND_HOME", str(keyed.folder))
    assert run(monkeypatch, "key", "show") == 0
    assert capsys.readouterr().out.startswith("ssh-ed25519 ")


def commands(group: click.Group, *before: str) -> list[list[str]]:
    """Return every command as words."""
    found: list[list[str]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None, name
        if isinstance(one, click.Group):
            found += commands(one, *before, name)
        else:
            found.append([*before, name])
    return found


def test_every_command_has_help_home_and_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in commands(farhand):
        assert run(monkeypatch, *words, "--help") == 0
        shown = capsys.readouterr().out
        assert "--home" in shown, words
        assert "--json" in shown, words


def test_the_contracts_commands_are_there() -> None:
    there = {" ".join(words) for words in commands(farhand)}
    wanted = """
        login;whoami;doctor;key show;account add;account list;account disable;trust init;
        trust status;trust refresh;operator add;operator list;operator remove;token create;
        device list;device show;device inventory;device diff;device tag;device confirm;
        device retire;ticket new;ticket list;ticket show;ticket reply;ticket note;ticket assign;
        ticket resolve;ticket reopen;session open;session list;session show;session end;shell;
        exec;cp;forward;proxy;ssh-config;script new;script lint;script submit;script approve;
        script publish;script revoke;script list;script show;run;campaign create;
        campaign preview;campaign start;campaign pause;campaign resume;campaign abort;
        campaign show;campaign report;patch check;patch plan;patch apply;receipt verify;
        audit export;audit verify;script diff;script try;script deprecate;trust signatures;
        trust cosign;break-glass order;break-glass sign
    """
    missing = {one.strip() for one in wanted.split(";")} - there
    assert not missing


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["nonsense"], 2, "usage"),
        (["ticket", "new"], 2, "usage"),
        (["login", "http://127.0.0.1:1"], 2, "usage"),
        (["whoami"], 1, "not-signed-in"),
        (["exec", "x", "--", "true"], 255, "not-signed-in"),
        (["session", "open"], 2, "usage"),
        (["session", "widen", "s-aaaaaaaaaaaaaaaa", "--scope", "forward"], 2, "usage"),
        (["cp", "s-aaaaaaaaaaaaaaaa:a", "b"], 1, "session-unknown"),
        (["proxy", "x"], 1, "session-unknown"),
        (["run", "x", "--device", "y", "--param", "z"], 1, "not-signed-in"),
        (["receipt", "verify", "/dev/null"], 1, "receipt-malformed"),
        (["key", "show"], 1, "key-missing"),
        (["script", "submit", "FOLDER"], 1, "not-signed-in"),
    ],
)
def test_a_failure_is_one_line_and_a_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    code: str,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    given = [str(folder) if word == "FOLDER" else word for word in words]
    assert run(monkeypatch, "--home", str(tmp_path / "home"), *given) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = [line for line in shown.err.splitlines() if line.startswith("farhand: error: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"farhand: error: {code}: ")
    assert "Traceback" not in shown.err


MALFORMED: list[tuple[list[str], str]] = [
    (["login", "http://relay.example", "--token", "x"], "url-insecure"),
    (["login", "relay.example", "--token", "x"], "url-malformed"),
    (["login", "https://relay.example", "--token", "x"], "token-malformed"),
    (["login", "https://relay.example", "--token", "fhl1:AAAA"], "token-malformed"),
    (["trust", "init", "--approvals", "R9=\u00b2"], "usage"),
    (["trust", "init", "--approvals", "R1=0"], "usage"),
    (["trust", "rules", "--approvals", "R1"], "usage"),
    (["trust", "rules", "--relay-origin", "ftp://relay"], "usage"),
    (["trust", "policy", "No Group", "--attended"], "usage"),
    (["trust", "policy", "lab", "--scope", "view,all"], "scope-unknown"),
    (["trust", "policy", "lab", "--files-root", "srv"], "usage"),
    (["trust", "policy", "lab", "--files-root", "/srv/../etc"], "usage"),
    (["trust", "policy", "lab", "--forward-to", "intranet"], "usage"),
    (["trust", "policy", "lab", "--forward-to", "intranet:70000"], "usage"),
    (["trust", "policy", "lab", "--risk", "R9"], "usage"),
    (["trust", "policy", "lab", "--hours", "always"], "usage"),
    (["trust", "policy", "lab", "--tier-min", "77"], "usage"),
    (["trust", "policy", "lab", "--minutes", "481"], "usage"),
    (["trust", "policy", "lab", "--minutes", "none"], "usage"),
    (["trust", "revoke", "--device", "x", "--reason", " "], "usage"),
    (["trust", "revoke", "--device", "x", "--reason", "\x1b[2J"], "usage"),
    (["session", "open", "--device", "x", "--reason", "LONG"], "usage"),
    (["session", "open", "--code", "4821-able-acid", "--reason", "a\x1b[2J"], "usage"),
    (["session", "join", "s-" + "a" * 26, "--reason", "LONG"], "usage"),
    (["session", "widen", "x", "--scope", "files", "--reason", "a\rb"], "usage"),
    (["trust", "rotate"], "usage"),
    (["trust", "rotate", "--key", "a", "--recovery", "b"], "usage"),
    (["trust", "recover", "--key", "GARBAGE"], "key-malformed"),
    (["trust", "recover", "--key", "/nowhere/recovery.key"], "usage"),
    (["operator", "add", "x", "--key", "/nowhere/x.pub"], "usage"),
    (["operator", "add", "x", "--key", "GARBAGE"], "key-missing"),
    (["token", "create", "--group", "No Way"], "usage"),
    (["token", "create", "--ttl", "soon"], "usage"),
    (["device", "move", "x", "No Way"], "usage"),
    (["device", "confirm", "x", "--group", "No Way"], "usage"),
    (["session", "open", "--device", "x", "--scope", "all"], "scope-unknown"),
    (["session", "end", "s-aaaaaaaaaaaaaaaa", "--note", "\x1b"], "note-malformed"),
    (["cp", "a", "b"], "usage"),
    (["session", "open", "--code", "12"], "code-malformed"),
    (["wake", "x", "--via", "y", "--mac", "xx"], "usage"),
    (["wake", "x", "--via", "y", "--broadcast", "::1"], "usage"),
    (["recording", "verify", "/dev/null"], "usage"),
    (["receipt", "verify", "GARBAGE", "--device-key", "zz"], "key-malformed"),
    (["receipt", "verify", "GARBAGE", "--device-key", "z" * 64], "key-malformed"),
    (["receipt", "verify", "/nowhere/receipt.json"], "usage"),
    (["script", "new", "FOLDER", "--id", "../x"], "usage"),
    (["script", "lint", "FOLDER"], "script-unreadable"),
]


@pytest.mark.parametrize(("words", "code"), MALFORMED, ids=[" ".join(one) for one, _ in MALFORMED])
def test_what_cannot_be_meant_is_a_usage_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: str,
) -> None:
    home = Home(tmp_path / "home")
    if words[0] not in ("login", "trust", "token", "device"):
        settings(home)
    garbage, folder = tmp_path / "garbage", tmp_path / "folder"
    garbage.write_bytes(b"\x00\xffgarbage")
    folder.mkdir()
    places = {"GARBAGE": str(garbage), "FOLDER": str(folder), "LONG": "x" * 501}
    given = [places.get(word, word) for word in words]
    assert run(monkeypatch, "--home", str(home.folder), *given) == 2
    assert f"farhand: error: {code}: " in capsys.readouterr().err


FREE = (
    click.types.StringParamType,
    click.types.BoolParamType,
    click.types.UnprocessedParamType,
    click.Path,
    click.File,
)


def test_numbers_choices_and_dates_are_usage_errors_in_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Give nonsense to every parameter that is not free text, in every command."""
    tried = 0
    for words in commands(farhand):
        command = command_of(words)
        for parameter in command.params:
            kind = parameter.type
            if isinstance(kind, FREE):
                continue
            # The other arguments are there, so that it is this one that is refused.
            others = [
                str(tmp_path) if isinstance(one.type, click.Path) else "x"
                for one in command.params
                if isinstance(one, click.Argument) and one is not parameter
            ]
            given = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
            status = run(monkeypatch, "--home", str(tmp_path), *words, *others, *given, "nonsense")
            shown = capsys.readouterr().err
            assert (status, "farhand: error: usage: " in shown) == (2, True), (words, parameter)
            tried += 1
    assert tried > 40


def command_of(words: list[str]) -> click.Command:
    """Return the command of these words."""
    one: click.Command = farhand
    for word in words:
        assert isinstance(one, click.Group)
        found = one.get_command(click.Context(one), word)
        assert found is not None
        one = found
    return one


def test_whoever_reads_our_output_may_leave(keyed: Home) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "farhand_console", "--home", str(keyed.folder), "key", "show"]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.parametrize("note", ["A" * 4001, "a\x1b[2Jb", "a\x00b"])
def test_a_note_that_nobody_would_take_ends_nothing(
    keyed: Home, note: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("session", "end", "s-aaaaaaaaaaaaaaaa", "--note", note)
    assert run(monkeypatch, "--home", str(keyed.folder), *words) == 2
    assert "farhand: error: note-malformed:" in capsys.readouterr().err


def test_an_empty_query_is_not_the_whole_fleet(
    keyed: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("campaign", "create", "--script", "check.uptime", "--query", " ")
    assert run(monkeypatch, "--home", str(keyed.folder), *words) == 2
    assert "farhand: error: query-invalid:" in capsys.readouterr().err


def test_no_words_at_all_show_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Usage: farhand")
    assert "error:" not in said.err


def test_a_key_is_compared_before_it_is_signed(
    keyed: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = str(keyed.folder / "operator.key.pub")
    assert run(monkeypatch, "--home", str(keyed.folder), "key", "show") == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1, "it goes into a file"
    seen = shown.err.split()[1].rstrip(":")
    assert seen.startswith("SHA256:")
    words = ("--home", str(keyed.folder), "operator", "add", "x", "--key", key)
    # Whatever is said after the comparison, it was not refused: no relay is there to sign for.
    for more, status, said in (
        (("--fingerprint", "SHA256:other"), 1, f"key-mismatch: the file holds the key {seen}"),
        (("--fingerprint", seen), 1, "error: "),
        (("--yes",), 1, "error: "),
        ((), 1, f"--fingerprint {seen} is what its owner should see"),
    ):
        assert run(monkeypatch, *words, *more) == status
        told = capsys.readouterr().err
        assert said in told
        assert ("key-mismatch" in told) == ("other" in str(more))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: False)
    assert run(monkeypatch, *words) == 3
    assert "key-mismatch: nothing was signed" in capsys.readouterr().err


def test_another_address_is_not_called_the_first_sign_in(
    keyed: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ("--home", str(keyed.folder), "login")
    assert run(monkeypatch, *home, "http://127.0.0.1:2", "--name", "tess") == 2
    assert "signed in at http://127.0.0.1:1, another" in capsys.readouterr().err.replace(";", ",")
    assert run(monkeypatch, *home, "http://127.0.0.1:1") == 2
    assert "give --name NAME" in capsys.readouterr().err


def test_the_list_says_of_each_command_what_it_says_of_itself() -> None:
    context = click.Context(farhand)
    for name in farhand.list_commands(context):
        found = farhand.get_command(context, name)
        assert found is not None, name
        assert found.get_short_help_str(limit=200) == _COMMANDS[name][1], name


def test_who_asks_for_help_does_not_wait_for_libraries() -> None:
    program = (
        "import sys; from farhand_console.cli.entry import farhand; sys.argv[1:] = ['--help'];"
        "farhand.main(standalone_mode=False);"
        "print([name for name in ('asyncssh', 'paramiko') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "whoami" in done.stdout
