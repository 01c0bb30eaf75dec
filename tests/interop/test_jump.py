"""The jump port alone: what opens it, and what it never opens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import paramiko
import pytest

from tests.interop.reach import Field

pytestmark = pytest.mark.needs("ssh")


@pytest.fixture(scope="session")
def config(field: Field, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return field.config("jump", tmp_path_factory.mktemp("jump"))


def _ssh(field: Field, config: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["ssh", "-F", str(config), "-o", "BatchMode=yes", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        env=field.stage.env,
        check=False,
    )


def _denied(done: subprocess.CompletedProcess[bytes], words: bytes) -> None:
    assert done.returncode == 255
    assert words in done.stderr, done.stderr.decode(errors="replace")


def test_through_it_by_hand(field: Field, config: Path, tmp_path: Path) -> None:
    """`ssh -J` on the command line takes precedence over the ProxyCommand that was written."""
    both = tmp_path / "both"
    jump_block = config.read_text().partition("Match host")[0]
    both.write_text(jump_block + field.config("proxy", tmp_path).read_text())
    done = _ssh(field, both, "-J", "farhand-jump", "beta", "echo here")
    assert (done.returncode, done.stdout) == (0, b"here\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("farhand-jump", "id"),
        ("-tt", "farhand-jump"),
        ("-s", "farhand-jump", "sftp"),
        ("-N", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:9", "farhand-jump"),
    ],
    ids=["exec", "shell", "subsystem", "remote-forward"],
)
def test_nothing_else_opens(field: Field, config: Path, arguments: tuple[str, ...]) -> None:
    assert _ssh(field, config, *arguments).returncode != 0


@pytest.mark.parametrize("where", ["127.0.0.1:{jump}", "delta:22", "{device}:80", "127.0.0.1:22"])
def test_only_port_22_of_a_device_with_a_session(field: Field, config: Path, where: str) -> None:
    to = where.format(jump=field.jump_port, device=field.devices["alpha"])
    done = _ssh(field, config, "-W", to, "farhand-jump")
    assert done.returncode != 0
    assert b"open failed" in done.stderr


def test_a_key_that_nobody_registered(field: Field, config: Path, tmp_path: Path) -> None:
    key = tmp_path / "stranger"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True, timeout=30)
    text = config.read_text().replace(f'{field.technician.home}/ssh/jump"', f'{key}"')
    changed = tmp_path / "config"
    changed.write_text(text)
    assert str(key) in text
    _denied(_ssh(field, changed, "-W", "alpha:22", "farhand-jump"), b"Permission denied")


def test_a_technician_without_a_session_reaches_nothing(field: Field, tmp_path: Path) -> None:
    """Her roster key and her jump key are good; no grant is hers."""
    other = field.stage.technician(field.admin, "otto")
    path = tmp_path / "config"
    path.write_text(other.json("ssh-config", "--jump")["config"])
    done = _ssh(field, path, "-W", "alpha:22", "farhand-jump")
    assert done.returncode != 0
    assert b"no open session" in done.stderr


def test_another_host_key_of_the_port_is_refused(
    field: Field, config: Path, tmp_path: Path
) -> None:
    known = field.technician.home / "ssh" / "jump_known_hosts"
    original = known.read_text()
    other = paramiko.Ed25519Key.from_private_key_file(str(_make_key(tmp_path / "other")))
    name = original.split()[0]
    known.write_text(f"{name} ssh-ed25519 {other.get_base64()}\n")
    try:
        _denied(_ssh(field, config, "alpha", "true"), b"IDENTIFICATION HAS CHANGED")
    finally:
        known.write_text(original)


def _make_key(path: Path) -> Path:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(words, check=True, timeout=30)
    return path


def test_an_ended_session_is_out_of_reach(field: Field, config: Path) -> None:
    assert _ssh(field, config, "gamma", "true").returncode == 0
    field.technician.run("session", "end", field.sessions["gamma"], "--note", "done")
    try:
        done = _ssh(field, config, "-W", "gamma:22", "farhand-jump")
        assert done.returncode != 0
        assert b"no open session" in done.stderr
    finally:
        field.open_session("gamma")
