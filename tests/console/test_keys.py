"""The operator's key: with and without a passphrase, in a file, in an ssh-agent."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from farhand_console.keys import create_key, load_signer, read_public_key
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import verify


@pytest.fixture
def ssh_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real ssh-agent; its socket."""
    program = shutil.which("ssh-agent")
    assert program is not None
    socket = Path(os.environ["XDG_RUNTIME_DIR"]) / "agent"
    process = subprocess.Popen(
        [program, "-D", "-a", str(socket)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()  # printed once it listens
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield socket
    process.terminate()
    process.wait(20)
    process.stdout.close()
    socket.unlink(missing_ok=True)


def test_a_key_without_a_passphrase_is_kept_private_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FARHAND_PASSPHRASE", raising=False)
    path = tmp_path / "operator.key"
    public = create_key(path, "tess@example")
    assert "without a passphrase" in capsys.readouterr().err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert create_key(path, "again") == public == read_public_key(path)
    assert verify(public, load_signer(path).sign(b"words"), b"words")


def test_a_passphrase_is_asked_for_and_must_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "operator.key"
    monkeypatch.setenv("FARHAND_PASSPHRASE", "correct horse")
    public = create_key(path, "")
    assert load_signer(path).public_key == public
    for wrong in ("wrong", ""):
        monkeypatch.setenv("FARHAND_PASSPHRASE", wrong)
        with pytest.raises(FarhandError, match="key-passphrase"):
            load_signer(path)
    monkeypatch.delenv("FARHAND_PASSPHRASE")
    with pytest.raises(FarhandError, match="needs its passphrase"):
        load_signer(path)


def test_a_missing_public_half_is_made_from_the_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "")
    path = tmp_path / "operator.key"
    public = create_key(path, "")
    path.with_name("operator.key.pub").unlink()
    assert create_key(path, "") == public == read_public_key(path)


def test_what_is_no_operator_key_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(FarhandError, match="key-missing"):
        load_signer(path)
    rsa = generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    for data in (b"", b"\xff" * 1000, rsa, rsa[:200]):
        path.write_bytes(data)
        with pytest.raises(FarhandError, match="key-malformed"):
            load_signer(path)
    for text in (b"", b"\xff", b"ssh-rsa AAAA", b"ssh-ed25519 x"):
        path.with_name("key.pub").write_bytes(text)
        with pytest.raises(FarhandError, match="key-malformed"):
            read_public_key(path)


@pytest.mark.needs("ssh-agent", "ssh-add")
def test_a_key_that_only_an_ssh_agent_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ssh_agent: Path
) -> None:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "")
    path = tmp_path / "operator.key"
    public = create_key(path, "tess")
    signer = None
    subprocess.run(["ssh-add", "-q", str(path)], check=True, capture_output=True)
    path.unlink()
    assert create_key(path, "tess") == public  # no new key in place of the one in the agent
    assert not path.exists()
    for named in (path, path.with_name("operator.key.pub")):
        signer = load_signer(named)
        assert verify(public, signer.sign(b"words"), b"words")

    async def inside_a_loop() -> bytes:
        assert signer is not None
        return signer.sign(b"more")

    assert verify(public, asyncio.run(inside_a_loop()), b"more")
    subprocess.run(["ssh-add", "-qD"], check=True, capture_output=True)
    with pytest.raises(FarhandError, match=r"key-agent.*does not hold"):
        load_signer(path).sign(b"words")


def test_without_an_agent_the_words_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "")
    path = tmp_path / "operator.key"
    create_key(path, "")
    path.unlink()
    for socket in (None, str(tmp_path / "nothing"), str(tmp_path)):
        if socket is None:
            monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        else:
            monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        with pytest.raises(FarhandError, match="key-agent"):
            load_signer(path).sign(b"words")
