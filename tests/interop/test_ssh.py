"""Stock ssh, scp, sftp, rsync and paramiko reach devices, by ProxyCommand and by the jump port."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from tests.interop.reach import Reach


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("by", ["id", "name"])
def test_exec_status_and_streams(reach: Reach, by: str) -> None:
    host = reach.device if by == "id" else "alpha"
    done = reach.ssh("ssh", host, "echo out; echo err >&2; exit 5", expect=5)
    assert done.stdout == b"out\n"
    assert b"err\n" in done.stderr
    done = reach.ssh("ssh", host, "cat", stdin=b"\x00\xff" * 50_000)
    assert done.stdout == b"\x00\xff" * 50_000


@pytest.mark.needs("ssh")
def test_pty(reach: Reach) -> None:
    done = reach.ssh("ssh", "-tt", reach.device, "tty; stty size; exit 4", expect=4)
    assert b"/dev/pts/" in done.stdout


@pytest.mark.needs("sftp", "scp")
def test_sftp_and_scp(reach: Reach, tmp_path: Path) -> None:
    data = os.urandom(1_500_000)
    (tmp_path / "up").write_bytes(data)
    reach.ssh("scp", str(tmp_path / "up"), f"{reach.device}:{tmp_path}/landed")
    assert (tmp_path / "landed").read_bytes() == data
    reach.ssh("scp", f"alpha:{tmp_path}/landed", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    batch = f"mkdir {tmp_path}/d\nput {tmp_path}/up {tmp_path}/d/x\nls {tmp_path}/d\n"
    done = reach.ssh("sftp", "-b", "-", reach.device, stdin=batch.encode())
    assert b"x" in done.stdout
    assert (tmp_path / "d" / "x").read_bytes() == data


@pytest.mark.needs("rsync", "ssh")
def test_rsync(reach: Reach, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for number in range(20):
        (tmp_path / "src" / f"f{number}").write_bytes(os.urandom(10_000))
    done = subprocess.run(
        [
            "rsync",
            "-a",
            "-e",
            f"ssh -F {reach.config}",
            f"{tmp_path}/src/",
            f"{reach.device}:{tmp_path}/dst/",
        ],
        capture_output=True,
        timeout=60,
        env=reach.field.stage.env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for number in range(20):
        name = f"f{number}"
        assert (tmp_path / "dst" / name).read_bytes() == (tmp_path / "src" / name).read_bytes()


@pytest.mark.needs("ssh")
def test_half_closed_forwarding(reach: Reach) -> None:
    """`ssh -W` has nothing more to send; the answer comes all the same, and then ssh ends."""
    to = f"127.0.0.1:{reach.field.forward_to}"
    done = reach.ssh("ssh", "-W", to, reach.device, stdin=b"x" * 300_000)
    assert done.stdout == b"300000 bytes"
    done = reach.ssh("ssh", "-W", to, reach.device)
    assert done.stdout == b"0 bytes"


@pytest.mark.needs("ssh")
def test_forwarding_elsewhere_is_refused(reach: Reach) -> None:
    done = reach.ssh("ssh", "-W", "127.0.0.1:22", reach.device, expect=255)
    assert b"administratively prohibited" in done.stderr


@pytest.mark.needs("ssh")
def test_another_host_key_is_refused(reach: Reach, tmp_path: Path) -> None:
    known = reach.field.technician.home / "ssh" / "known_hosts"
    original = known.read_text()
    other = paramiko.Ed25519Key.from_private_key(
        io.StringIO(_make_key(tmp_path / "other").read_text())
    )
    lines = [line.rsplit(" ", 1)[0] for line in original.splitlines()]
    known.write_text("".join(f"{line} {other.get_base64()}\n" for line in lines))
    try:
        done = reach.ssh("ssh", reach.device, "true", expect=255)
        assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
    finally:
        known.write_text(original)


def _make_key(path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30
    )
    return path


def test_paramiko(reach: Reach, tmp_path: Path) -> None:
    config = paramiko.SSHConfig.from_text(_without_match_exec(reach.config.read_text()))
    with _way_in(config, reach) as sock, _paramiko(config, reach.device, sock) as ssh:
        _, stdout, stderr = ssh.exec_command("echo out; echo err >&2; exit 9")
        assert stdout.read() == b"out\n"
        assert stderr.read() == b"err\n"
        assert stdout.channel.recv_exit_status() == 9
        channel = ssh.get_transport().open_session()  # type: ignore[union-attr]
        channel.get_pty(width=97, height=31)
        channel.exec_command("stty size")
        assert channel.makefile().read().strip() == b"31 97"
        data = os.urandom(400_000)
        with ssh.open_sftp() as sftp:
            with sftp.open(f"{tmp_path}/p", "wb") as file:
                file.write(data)
            with sftp.open(f"{tmp_path}/p", "rb") as file:
                assert file.read() == data
        assert (tmp_path / "p").read_bytes() == data


@contextlib.contextmanager
def _way_in(config: paramiko.SSHConfig, reach: Reach) -> Iterator[Any]:
    """Give paramiko the stream that ssh would get from its ProxyCommand or ProxyJump."""
    if reach.way == "jump":
        with _paramiko(config, "farhand-jump", None) as jump:
            transport = jump.get_transport()
            assert transport is not None
            yield transport.open_channel("direct-tcpip", (reach.device, 22), ("127.0.0.1", 0))
        return
    with _proxied(config.lookup(reach.device)["proxycommand"], reach.field.stage.env) as stream:
        yield stream


@contextlib.contextmanager
def _proxied(command: str, env: dict[str, str]) -> Iterator[socket.socket]:
    """Run a ProxyCommand; gives the stream to it, then ends stream and program in this order.

    Its stdin and stdout are one socket, as libssh has it; stock ssh gives two pipes.  paramiko's
    own ProxyCommand sends a signal, by number, to a program that may be gone and reaped, and does
    so in the thread that reads: an error there belongs to no test.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        program = subprocess.Popen(
            shlex.split(command), stdin=theirs.fileno(), stdout=theirs.fileno(), env=env
        )
    try:
        yield ours
    finally:
        ours.close()
        try:
            status = program.wait(30)
        except subprocess.TimeoutExpired:
            program.kill()
            status = program.wait()
    assert status == 0


@contextlib.contextmanager
def _paramiko(config: paramiko.SSHConfig, host: str, sock: Any) -> Iterator[paramiko.SSHClient]:
    """Sign in with paramiko as the configuration says; host keys must be known."""
    options = config.lookup(host)
    ssh = paramiko.SSHClient()
    ssh.load_host_keys(options["userknownhostsfile"].strip('"'))
    ssh.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        ssh.connect(
            options["hostname"],
            port=int(options.get("port", "22")),
            username=options["user"],
            key_filename=options["identityfile"][0].strip('"'),
            sock=sock,
            allow_agent=False,
            look_for_keys=False,
            timeout=30,
        )
        yield ssh
    finally:
        transport = ssh.get_transport()
        ssh.close()
        if transport is not None:
            transport.join(20)  # nothing of it is to go on under the next test


def _without_match_exec(text: str) -> str:
    """paramiko knows no `Match exec`; the session is open already, so a Host line does."""
    lines = []
    for line in text.splitlines():
        if line.startswith("Match host "):
            hosts = line.split()[2].replace(",", " ")
            line = f"Host {hosts}"
        lines.append(line)
    return "\n".join(lines)
