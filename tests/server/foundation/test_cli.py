"""The command line `farhand-server`: words, JSON, exit codes, homes, backups."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import re
import sqlite3
import ssl
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
from cryptography import x509

from farhand_protocol.tokens import parse_signin_token
from farhand_server.certificate import make_self_signed, pinned_fingerprint
from farhand_server.cli.main import _run, cli
from farhand_server.cli.output import configure_logging
from farhand_server.clock import SystemClock
from farhand_server.config import Settings, check_url, load_settings, parse_listen
from farhand_server.store.revisions import newest_revision

Captured = pytest.CaptureFixture[str]


class Command:
    """Runs the command line in this process."""

    def __init__(self, capsys: Captured) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """Run it, check the exit code, return stdout; stderr is kept in `err`."""
        got = _run([str(one) for one in arguments])
        out, self.err = self._capsys.readouterr()
        assert got == code, f"exit {got}: {self.err}"
        assert "Traceback" not in self.err
        for line in self.err.splitlines():
            assert line.startswith("farhand-server: "), line
        return out

    def json(self, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        out = self(*arguments, "--json", code=code)
        assert out.count("\n") == 1
        value: dict[str, Any] = json.loads(out)
        return value

    def refused(self, error: str, *arguments: str | Path, code: int = 2) -> None:
        assert self(*arguments, code=code) == ""
        assert self.err.startswith(f"farhand-server: error: {error}: "), self.err


@pytest.fixture
def command(capsys: Captured) -> Command:
    return Command(capsys)


@pytest.fixture
def home(command: Command, tmp_path: Path) -> Path:
    """A home that `init` made."""
    place = tmp_path / "relay"
    command("init", "--home", place, "--org", 'Example "Ltd" \\ Ü')
    return place


def _rows(database: Path, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_init(command: Command, tmp_path: Path) -> None:
    place = tmp_path / "relay"
    made = command.json("init", "--home", place, "--org", "Example", "--admin", "ann")
    assert made.keys() == {"url", "admin", "signin_token", "relay_key"}
    assert (made["url"], made["admin"]) == ("http://127.0.0.1:8443", "ann")
    token = parse_signin_token(made["signin_token"])
    settings = load_settings(place)
    assert (settings.org, token.tenant, token.tls_sha256) == ("Example", settings.tenant, b"")
    assert re.fullmatch(r"n-[a-z2-7]{16}", settings.tenant)
    key = place / "relay.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert len(key.read_bytes()) == 32
    assert _rows(place / "farhand.db", "SELECT name, role, password_hash FROM accounts") == [
        ("ann", "admin", None)
    ]
    stored = _rows(place / "farhand.db", "SELECT kind, secret_sha256 FROM api_tokens")
    assert stored == [("signin", hashlib.sha256(token.secret).hexdigest())]


def test_init_in_words(command: Command, tmp_path: Path) -> None:
    out = command("--home", str(tmp_path / "relay"), "init", "--org", "Example")
    assert parse_signin_token(out)
    assert "farhand login http://127.0.0.1:8443" in command.err


def test_home_from_the_environment(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.refused("home-needed", "doctor")
    monkeypatch.setenv("FARHAND_HOME", str(home))
    assert command.json("doctor")["next"] is None


def test_settings_survive_odd_names(home: Path) -> None:
    assert load_settings(home).org == 'Example "Ltd" \\ Ü'


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--listen", "127.0.0.1:0"], "listen-port"),
        (["--listen", "nonsense"], "listen-malformed"),
        (["--listen", "127.0.0.1:99999"], "listen-malformed"),
        (["--listen", "0.0.0.0:8443"], "url-needed"),
        (["--url", "http://relay.example"], "url-insecure"),
        (["--url", "ftp://relay.example"], "url-malformed"),
        (["--url", "https://relay.example/path"], "url-malformed"),
        (["--tls-cert", "x.pem"], "tls-files"),
        (["--admin", "Not A Name"], "account-name"),
        (["--database", "mysql://x/y"], "database-url"),
        (["--org", " "], "org-name"),
        (["--org", "Ex\x1b[2Jample"], "org-name"),
        (["--org", "Ex\nample"], "org-name"),
        (["--home", ""], "home-needed"),
        (["--home"], "usage"),
        (["--nonsense"], "usage"),
    ],
)
def test_init_refuses_and_leaves_nothing(
    command: Command, tmp_path: Path, options: list[str], code: str
) -> None:
    command.refused(code, "init", "--home", tmp_path / "relay", "--org", "Example", *options)
    assert list(tmp_path.iterdir()) == []


def test_init_needs_a_reachable_database(command: Command, tmp_path: Path) -> None:
    url = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    place = tmp_path / "relay"
    command.refused(
        "store-unreachable", "init", "--home", place, "--org", "E", "--database", url, code=1
    )
    assert list(tmp_path.iterdir()) == []


def test_init_refuses_an_existing_home(command: Command, home: Path) -> None:
    before = (home / "relay.key").read_bytes()
    command.refused("home-exists", "init", "--home", home, "--org", "Example", code=1)
    assert (home / "relay.key").read_bytes() == before


def test_usage_errors_are_words(command: Command) -> None:
    command.refused("usage", "nonsense")
    command.refused("usage", "init")
    assert command.err.splitlines()[-1].startswith("farhand-server: hint: ")
    whole = command("--help")
    assert "Usage:" in whole
    for name in (
        "init",
        "run",
        "token",
        "signin",
        "backup",
        "restore",
        "migrate",
        "doctor",
        "reindex",
    ):
        [shown] = [line.split(maxsplit=1)[1] for line in whole.splitlines() if f"  {name} " in line]
        assert shown.endswith("."), "no help is cut short"
        assert "..." not in shown
        text = command(name, "--help")
        assert "--home" in text
        for option in cli.commands[name].params:
            assert isinstance(option, click.Argument) or vars(option)["help"], option.name
    assert sorted(cli.commands) == cli.list_commands(click.Context(cli)), "each is listed"


def test_who_asks_for_help_does_not_wait_for_the_relay() -> None:
    asked = (
        "import sys; from farhand_server.cli.main import _run; assert _run(['--help']) == 0;"
        "print(*{'litestar', 'sqlalchemy', 'uvicorn'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("init", "--org --listen --url --admin"),
        ("run", "--listen --node-url --database --bus --jump"),
        ("token", "--group --uses --ttl"),
    ],
)
def test_the_options_that_others_rely_on(command: Command, name: str, options: str) -> None:
    text = command(name, "--help")
    assert [one for one in options.split() if f" {one} " not in text] == []


def test_a_node_has_an_address_of_its_own(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    async def keep(settings: Settings, **_more: object) -> None:
        seen.append(settings)

    monkeypatch.setattr("farhand_server.cli.commands.serve", keep)
    monkeypatch.setattr("farhand_server.cli.commands.configure_logging", lambda style: None)
    command("run", "--home", home, "--node-url", "http://127.0.0.1:9999")
    assert seen[0].node_url == "http://127.0.0.1:9999"
    for url, code in (("http://node.example", "url-insecure"), ("nonsense", "url-malformed")):
        command.refused(code, "run", "--home", home, "--node-url", url)


def test_a_bug_is_one_line_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logging("plain")
        for debug in ("", "1"):
            monkeypatch.setenv("FARHAND_DEBUG", debug)
            try:
                raise ValueError("two\nlines \x1b[2J")
            except ValueError:
                logging.getLogger("farhand_server").exception("a message failed")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    first, *rest = stream.getvalue().splitlines()
    assert re.search(
        r"a message failed \(ValueError: two.lines .\[2J at test_cli\.py:\d+\)$", first
    )
    assert any("Traceback" in line for line in rest)
    assert "\x1b" not in stream.getvalue()


def test_a_missing_home_and_a_typing_error(command: Command, tmp_path: Path, home: Path) -> None:
    command.refused("home-missing", "doctor", "--home", tmp_path / "none", code=1)
    config = home / "config.toml"
    text = config.read_text("utf-8")
    config.write_text(text + 'lisen = "127.0.0.1:1"\n', "utf-8")
    command.refused("config-unknown-key", "doctor", "--home", home)
    config.write_text(text + "capacity = 'many'\n", "utf-8")
    command.refused("config-malformed", "doctor", "--home", home, code=1)
    config.write_text("[[[", "utf-8")
    command.refused("config-malformed", "doctor", "--home", home, code=1)


# Each command that opens a home, with what it needs besides.
_OPENING = [["run"], ["token"], ["signin", "admin"], ["migrate"], ["backup", "FILE"], ["doctor"]]


@pytest.mark.parametrize("words", _OPENING, ids=lambda words: words[0])
def test_a_home_that_is_not_there_is_a_failure(
    command: Command, tmp_path: Path, words: list[str]
) -> None:
    command.refused("home-missing", *words, "--home", tmp_path / "none", code=1)
    (tmp_path / "file").touch()
    command.refused("home-missing", *words, "--home", tmp_path / "file", code=1)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("program", ["farhand", "farhand-agent"])
@pytest.mark.parametrize(
    "words", [*_OPENING, ["init", "--org", "E"], ["restore", "FILE"]], ids=lambda words: words[0]
)
def test_the_home_of_another_program_is_left_alone(
    command: Command, tmp_path: Path, words: list[str], program: str
) -> None:
    place = tmp_path / "home"
    place.mkdir()
    (place / "config.toml").write_text(f'program = "{program}"\nurl = "https://x"\n', "utf-8")
    command.refused("home-foreign", *words, "--home", place, code=1)
    assert [one.name for one in place.iterdir()] == ["config.toml"]
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("words", _OPENING[:-1], ids=lambda words: words[0])
def test_a_home_that_cannot_be_written(
    command: Command,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    """Mode bits do not stop root, so the file system answers as a read-only one does."""
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        if "w" in mode and home in path.parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, mode, *more, **named)

    def no_room(**_named: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", read_only)
    monkeypatch.setattr("farhand_server.home.tempfile.TemporaryFile", no_room)
    monkeypatch.setattr("farhand_server.cli.commands.configure_logging", lambda style: None)
    words = [str(tmp_path / one) if one == "FILE" else one for one in words]
    command.refused("home-unwritable", *words, "--home", home, code=1)
    assert str(home) in command.err


def test_flag_before_variable_before_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(home).listen == "127.0.0.1:8443"
    monkeypatch.setenv("FARHAND_LISTEN", "127.0.0.1:2")
    assert load_settings(home).listen == "127.0.0.1:2"
    assert load_settings(home, {"listen": "127.0.0.1:3"}).listen == "127.0.0.1:3"
    assert load_settings(home, {"listen": None}).listen == "127.0.0.1:2"


def test_addresses() -> None:
    assert parse_listen("[::1]:8443") == ("::1", 8443)
    for url in (
        "http://localhost:1",
        "http://[::1]:1",
        "http://127.8.9.1",
        "https://relay.example",
    ):
        assert check_url(url + "/") == url


def test_a_self_signed_certificate_is_pinned_by_tokens(command: Command, tmp_path: Path) -> None:
    place = tmp_path / "relay"
    url = "https://relay.example:8443"
    made = command.json(
        "init", "--home", place, "--org", "E", "--listen", "0.0.0.0:8443", "--url", url
    )
    certificate = place / "tls" / "cert.pem"
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    token = parse_signin_token(made["signin_token"])
    assert token.tls_sha256 == hashlib.sha256(der).digest()
    assert stat.S_IMODE((place / "tls" / "key.pem").stat().st_mode) == 0o600
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == [urlsplit(url).hostname]


def test_own_certificate_files(command: Command, tmp_path: Path) -> None:
    certificate, key = make_self_signed("192.0.2.1", now=SystemClock().now())
    files = {"--tls-cert": tmp_path / "c.pem", "--tls-key": tmp_path / "k.pem"}
    files["--tls-cert"].write_bytes(certificate)
    files["--tls-key"].write_bytes(key)
    options = [str(part) for pair in files.items() for part in pair]
    url = ["--url", "https://192.0.2.1"]
    place = tmp_path / "relay"
    made = command.json("init", "--home", place, "--org", "E", *url, *options)
    pinned = parse_signin_token(made["signin_token"]).tls_sha256
    assert pinned == pinned_fingerprint(files["--tls-cert"])
    assert not (place / "tls").exists()
    files["--tls-cert"].write_text("nonsense")
    other = tmp_path / "other"
    command.refused(
        "tls-certificate", "init", "--home", other, "--org", "E", *url, *options, code=1
    )


def test_token_needs_a_trust_root(command: Command, home: Path) -> None:
    command.refused("no-trust-root", "token", "--home", home, code=1)
    command.refused("token-invalid", "token", "--home", home, "--uses", "0")
    command.refused("token-invalid", "token", "--home", home, "--ttl", "9" * 30)
    command.refused("usage", "token", "--home", home, "--uses", "many")


def test_doctor(command: Command, home: Path) -> None:
    items = command.json("doctor", "--home", home)["items"]
    assert {one["check"] for one in items} == {
        "key",
        "database",
        "clock",
        "disk",
        "certificate",
        "bus",
        "audit-heads",
        "mail",
    }
    assert {one["state"] for one in items} == {"ok"}
    assert "sqlite answers" in command("doctor", "--home", home)
    with (home / "config.toml").open("a") as config:
        config.write('audit_heads = "file:/nowhere/heads"\n')
    said = {one["check"]: one for one in command.json("doctor", "--home", home)["items"]}
    assert said["audit-heads"]["state"] == "warning"
    assert "file:/nowhere/heads" in said["audit-heads"]["words"]
    (home / "relay.key").chmod(0o644)
    states = {one["check"]: one["state"] for one in command.json("doctor", "--home", home)["items"]}
    assert states["key"] == "warning"
    (home / "relay.key").unlink()
    (home / "farhand.db").write_bytes(b"not a database, certainly not one" * 100)
    failing = command.json("doctor", "--home", home, code=1)
    states = {one["check"]: one["state"] for one in failing["items"]}
    assert (states["key"], states["database"]) == ("failed", "failed")
    assert "doctor-failed: not well: key, database" in command.err


def test_migrate(command: Command, home: Path) -> None:
    newest = newest_revision()
    assert command.json("migrate", "--home", home) == {"from": newest, "to": newest}
    assert command.json("reindex", "--home", home) == {"tickets": 0}
    (home / "farhand.db").unlink()
    assert command.json("migrate", "--home", home) == {"from": None, "to": newest}
    # Another organisation's database, or none at all, is not taken for this one's.
    command.refused("store-tenant", "token", "--home", home, code=1)


def test_a_lost_sign_in_token_is_made_again_on_the_host(command: Command, home: Path) -> None:
    made = command.json("signin", "admin", "--home", home)
    assert parse_signin_token(made["signin_token"])
    query = "SELECT count(*) FROM api_tokens WHERE revoked_at IS NULL"
    assert _rows(home / "farhand.db", query) == [(1,)]
    command.refused("not-found", "signin", "nobody", "--home", home, code=1)


def test_a_jump_port_that_is_no_address(command: Command, home: Path) -> None:
    command.refused("listen-malformed", "run", "--home", home, "--jump", "2222", code=2)


def test_backup_and_restore(command: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    made = command.json("backup", file, "--home", home)
    assert made["files"].keys() == {"config.toml", "farhand.db", "relay.key"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = tmp_path / "again"
    command.json("restore", file, "--home", again)
    for name in ("relay.key", "config.toml"):
        assert (again / name).read_bytes() == (home / name).read_bytes()
    query = "SELECT * FROM audit, accounts, api_tokens"
    assert _rows(again / "farhand.db", query) == _rows(home / "farhand.db", query)
    assert stat.S_IMODE((again / "relay.key").stat().st_mode) == 0o600
    command.json("doctor", "--home", again)
    command.refused("home-exists", "restore", file, "--home", again, code=1)
    command.refused("backup-exists", "backup", file, "--home", home, code=1)
    command.refused("backup-missing", "restore", tmp_path / "no", "--home", tmp_path / "x", code=1)
    command.refused(
        "backup-unwritable", "backup", tmp_path / "no" / "b.tar", "--home", home, code=1
    )
    assert sorted(one.name for one in home.iterdir() if one.name.startswith(".")) == []


def test_a_backup_keeps_the_jump_ports_host_key(
    command: Command, home: Path, tmp_path: Path
) -> None:
    """Consoles pin it in the configuration that they wrote for OpenSSH."""
    (home / "jump.key").write_bytes(bytes(range(32)))
    file, again = tmp_path / "backup.tar", tmp_path / "again"
    assert "jump.key" in command.json("backup", file, "--home", home)["files"]
    command.json("restore", file, "--home", again)
    assert (again / "jump.key").read_bytes() == bytes(range(32))
    assert stat.S_IMODE((again / "jump.key").stat().st_mode) == 0o600


def test_any_changed_byte_of_a_backup_is_refused(
    command: Command, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    command("backup", file, "--home", home)
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        members = {one.name: one for one in archive.getmembers()}
    places = [one.offset_data for one in members.values()]
    places += [one.offset_data + one.size - 1 for one in members.values()]
    places += [one.offset for one in members.values()]
    broken = tmp_path / "broken.tar"
    for place in places:
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        command.refused("backup-malformed", "restore", broken, "--home", tmp_path / "x", code=1)
        assert not (tmp_path / "x").exists()
    for length in (0, 100, 600, len(whole) // 2):
        broken.write_bytes(whole[:length])
        command.refused("backup-malformed", "restore", broken, "--home", tmp_path / "x", code=1)


@pytest.mark.parametrize("name", ["../escape", "/abs", "config.toml", "extra"])
def test_a_backup_writes_only_what_a_relay_has(
    command: Command, home: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "backup.tar"
    command("backup", file, "--home", home)
    with tarfile.open(file, "a") as archive:
        entry = tarfile.TarInfo(name)
        entry.type = tarfile.SYMTYPE
        entry.linkname = "/etc/passwd"
        archive.addfile(entry)
    command.refused("backup-malformed", "restore", file, "--home", tmp_path / "x", code=1)
    assert not (tmp_path / "escape").exists()


def test_postgresql_from_init_to_restore(
    command: Command, tmp_path: Path, postgres_url: str, postgres_server: Any
) -> None:
    place, file = tmp_path / "relay", tmp_path / "backup.tar"
    command("init", "--home", place, "--org", "E", "--database", postgres_url)
    assert not (place / "farhand.db").exists()
    made = command.json("backup", file, "--home", place)
    assert "rows.jsonl" in made["files"]
    again = tmp_path / "again"
    command.refused("backup-database", "restore", file, "--home", again, code=1)
    empty = postgres_server.create_database()
    try:
        command("restore", file, "--home", again, "--database", empty)
        second = tmp_path / "second.tar"
        rows = command.json("backup", second, "--home", again, "--database", empty)
        assert rows["files"]["rows.jsonl"] == made["files"]["rows.jsonl"]
        # A restored database still numbers its own rows.
        command.json("doctor", "--home", again, "--database", empty)
    finally:
        postgres_server.drop_database(empty)


def test_a_home_moves_to_postgresql(
    command: Command, home: Path, postgres_url: str, tmp_path: Path
) -> None:
    on_postgresql = ["--home", str(home), "--database", postgres_url]
    command.refused("no-trust-root", "token", *on_postgresql, code=1)
    file = tmp_path / "moved.tar"
    command("backup", file, *on_postgresql)
    with tarfile.open(file) as archive:
        rows = archive.extractfile("rows.jsonl")
        assert rows is not None
        tables = [json.loads(line)["t"] for line in rows]
    assert {"tenants", "accounts", "api_tokens", "audit"} <= set(tables)
    command.refused("no-trust-root", "token", *on_postgresql, code=1)  # and only once
