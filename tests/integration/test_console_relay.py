"""The console and the relay it pinned: certificates, keys, another relay in its place."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator

import msgspec
import pytest

from farhand_protocol.tokens import format_signin_token, parse_signin_token
from tests.support.stage import ConsoleHome, Stage, free_port


@pytest.fixture
def stage() -> Iterator[Stage]:
    """An empty stage."""
    with Stage() as made:
        yield made


def init_tls(stage: Stage) -> str:
    """Make a relay that speaks TLS with its own certificate; return the sign-in token."""
    stage.url = f"https://localhost:{stage.port}"
    done = stage.server(
        "init",
        "--org",
        "Example",
        "--listen",
        f"127.0.0.1:{stage.port}",
        "--url",
        stage.url,
        "--json",
    )
    token = json.loads(done.stdout)["signin_token"]
    stage.start_relay()
    return str(token)


def test_a_pinned_certificate_and_another_one(stage: Stage) -> None:
    token = init_tls(stage)
    pinned = parse_signin_token(token)
    assert len(pinned.tls_sha256) == 32
    wrong = msgspec.structs.replace(pinned, tls_sha256=b"x" * 32)
    console = stage.console("admin")
    refused = console.refused("login", stage.url, "--token", format_signin_token(wrong))
    assert refused == "tls-fingerprint"
    assert not (console.home / "config.toml").exists()
    console.login(token)
    console.json("trust", "init")
    made = console.json("account", "add", "tess", "--role", "technician")["signin_token"]
    assert parse_signin_token(made).tls_sha256 == pinned.tls_sha256
    assert len(parse_signin_token(made).root_sha256) == 32

    # Somebody with another certificate takes the relay's place.
    other = Stage()
    with other:
        other.port = stage.port
        assert stage.relay is not None
        stage.relay.end()
        init_tls(other)
        assert console.refused("whoami") == "relay-unreachable"


def test_a_token_for_another_relay(stage: Stage) -> None:
    stage.init_relay()
    stage.start_relay()
    pinned = parse_signin_token(stage.signin_token)
    console = stage.console("admin")
    for change in ({"relay_key": b"x" * 32}, {"tenant": "n-otherotherother"}):
        other = format_signin_token(msgspec.structs.replace(pinned, **change))
        code = console.refused("login", stage.url, "--token", other)
        assert code in ("relay-key-mismatch", "sign-in-failed")
        assert not (console.home / "config.toml").exists()


def test_a_home_keeps_to_its_relay(stage: Stage) -> None:
    stage.init_relay()
    stage.start_relay()
    console = stage.console("admin")
    console.login(stage.signin_token)
    with Stage() as other:
        other.init_relay()
        other.start_relay()
        words = ["login", other.url, "--token", other.signin_token]
        assert console.refused(*words) == "relay-key-mismatch"
    assert console.json("whoami")["url"] == stage.url


def test_a_relay_that_was_rebuilt_has_another_root(stage: Stage) -> None:
    """A copy of the relay from before `trust init`, with a root of somebody else's making."""
    stage.init_relay()
    admin = stage.console("admin")
    backup = stage.folder / "backup"
    shutil.copytree(stage.relay_home, backup)
    stage.start_relay()
    admin.login(stage.signin_token)
    admin.json("trust", "init")
    assert stage.relay is not None
    stage.relay.end(signal.SIGKILL)
    shutil.rmtree(stage.relay_home)
    shutil.copytree(backup, stage.relay_home)
    stage.start_relay()
    thief = stage.console("thief")
    thief.login(stage.signin_token)
    thief.json("trust", "init", "--with-library")
    thief.json("trust", "refresh")  # beyond the version that the admin has seen
    # What the admin pinned goes on counting: nothing of the other root is ever taken.
    config = (admin.home / "config.toml").read_text()
    stolen = (thief.home / "config.toml").read_text()
    mine, his = (
        next(line for line in text.splitlines() if line.startswith("api_token"))
        for text in (config, stolen)
    )
    (admin.home / "config.toml").write_text(config.replace(mine, his))
    assert admin.refused("trust", "status") == "trust-invalid"
    assert admin.refused("token", "create") == "trust-invalid"


def test_nobody_there_and_a_home_never_signed_in(stage: Stage) -> None:
    console = ConsoleHome(stage, "x")
    assert console.refused("device", "list") == "not-signed-in"
    stage.init_relay()
    words = ["login", f"http://127.0.0.1:{free_port()}", "--token", stage.signin_token]
    assert console.refused(*words) == "relay-unreachable"
