"""The relay as a real process: ready, HTTP, TLS, signals, one relay per home."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from farhand_protocol.tokens import parse_signin_token
from farhand_server.cli.main import _run as _in_process
from tests.server.relays import RelayParts
from tests.support.stage import free_port

_COMMAND = [sys.executable, "-c", "from farhand_server.cli import main; main()"]
_WAIT_S = 60


def _run(*arguments: str | Path) -> dict[str, str]:
    """Run another command in this process, which is much quicker than starting one."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert _in_process([*map(str, arguments), "--json"]) == 0
    value: dict[str, str] = json.loads(out.getvalue())
    return value


class _Relay:
    """A running `farhand-server run`."""

    def __init__(self, home: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*_COMMAND, "run", "--home", str(home), "--listen", "127.0.0.1:0", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.url = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("farhand-server: ready "):
                self.url = line.split()[2]
                break

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; stderr is collected."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=_WAIT_S)
        self.lines += err.splitlines(keepends=True)
        return self.process.returncode

    @property
    def words(self) -> str:
        return "".join(self.lines)


@contextlib.contextmanager
def running(home: Path, *options: str) -> Iterator[_Relay]:
    relay = _Relay(home, *options)
    try:
        yield relay
    finally:
        if relay.process.poll() is None:
            relay.process.kill()
        relay.process.communicate(timeout=_WAIT_S)


def test_a_relay_from_init_to_sigterm(relay_parts: RelayParts, tmp_path: Path) -> None:
    home = tmp_path / "relay"
    made = _run("init", "--home", home, "--org", "Example")
    options: list[str] = []
    if relay_parts.bus_url:
        options = ["--database", relay_parts.database_url, "--bus", relay_parts.bus_url]
    with running(home, *options) as relay:
        assert relay.url.startswith("http://127.0.0.1:"), relay.words
        with httpx.Client(base_url=relay.url) as client:
            assert client.get("/healthz").json()["status"] == "ok"
            assert "farhand_http_requests_total" in client.get("/metrics").text
            answer = client.post("/api/v1/sign-in", json={"token": made["signin_token"]})
            assert answer.status_code == 200, answer.text
            assert answer.json()["relay_key"] == made["relay_key"]
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            assert client.get("/api/v1/me", headers=headers).json()["account"]["name"] == "admin"
            # The command line works beside the running relay, on the same database.
            backup = _run("backup", tmp_path / "b.tar", "--home", home, *options[:2])
            assert backup["tenant"] == answer.json()["organisation"]["tenant"]
        assert relay.end() == 0, relay.words
    assert "Traceback" not in relay.words
    assert "stopped" in relay.words
    # What was written is there after a restart.
    with running(home, *options) as relay:
        me = httpx.get(f"{relay.url}/api/v1/me", headers=headers)
        assert me.status_code == 200, relay.words
        assert relay.end(signal.SIGINT) == 0


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    home = tmp_path / "relay"
    made = _run("init", "--home", home, "--org", "Example")
    with running(home) as relay, httpx.Client(base_url=relay.url) as client:
        answer = client.post("/api/v1/sign-in", json={"token": made["signin_token"]})
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        for number in range(20):
            body = {"name": f"p{number}", "role": "technician"}
            added = client.post("/api/v1/accounts", headers=headers, json=body)
            assert added.status_code == 201
        relay.process.kill()
    with running(home) as relay:
        page = httpx.get(f"{relay.url}/api/v1/accounts", headers=headers).json()
        assert len(page["items"]) == 21
        assert relay.end() == 0


def test_tls_with_the_pinned_certificate(tmp_path: Path) -> None:
    home = tmp_path / "relay"
    made = _run("init", "--home", home, "--org", "Example", "--url", "https://127.0.0.1:8443")
    with running(home) as relay:
        assert relay.url.startswith("https://"), relay.words
        host, port = relay.url.removeprefix("https://").split(":")
        # Trusting exactly this certificate, its name checked too.
        context = ssl.create_default_context(cafile=str(home / "tls" / "cert.pem"))
        with (
            socket.create_connection((host, int(port)), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        ):
            der = tls.getpeercert(binary_form=True)
        assert der is not None
        pinned = parse_signin_token(made["signin_token"]).tls_sha256
        assert hashlib.sha256(der).digest() == pinned
        assert httpx.get(f"{relay.url}/healthz", verify=context).status_code == 200
        assert relay.end() == 0


def test_one_relay_per_home_and_port(tmp_path: Path) -> None:
    home, other = tmp_path / "relay", tmp_path / "other"
    for place in (home, other):
        _run("init", "--home", place, "--org", "Example")
    with running(home) as relay:
        with running(home) as second:
            assert second.end() == 1
            assert "error: home-locked: " in second.words
        taken = relay.url.rpartition(":")[2]
        with running(other, "--listen", f"127.0.0.1:{taken}") as third:
            assert third.end() == 1
            assert "error: listen-failed: " in third.words
        assert relay.end() == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--bus", "nats://127.0.0.1:1"], "bus-unreachable"),
        (["--database", "postgresql+asyncpg://nobody@127.0.0.1:1/x"], "store-unreachable"),
        (["--listen", "192.0.2.1:8443"], "listen-failed"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: str,
) -> None:
    monkeypatch.setattr("farhand_server.cli.commands.configure_logging", lambda style: None)
    home = tmp_path / "relay"
    _run("init", "--home", home, "--org", "Example", "--listen", f"127.0.0.1:{free_port()}")
    assert _in_process(["run", "--home", str(home), *options]) == 1
    assert f"farhand-server: error: {code}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "code"), [(b"x" * 31, "relay-key-malformed"), (None, "relay-key-missing")]
)
def test_a_relay_without_its_key_does_not_start(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: bytes | None,
    code: str,
) -> None:
    monkeypatch.setattr("farhand_server.cli.commands.configure_logging", lambda style: None)
    home = tmp_path / "relay"
    _run("init", "--home", home, "--org", "Example")
    (home / "relay.key").unlink()
    if key is not None:
        (home / "relay.key").write_bytes(key)
    assert _in_process(["run", "--home", str(home), "--listen", "127.0.0.1:0"]) == 1
    assert f"farhand-server: error: {code}: " in capsys.readouterr().err
