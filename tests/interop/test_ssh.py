"""Stock ssh, scp, sftp, rsync and paramiko reach a device through ssh-config and proxy."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest

from tests.support.stage import Stage


@dataclass
class Reach:
    """A device with an open session, as ssh knows it."""

    stage: Stage
    config: Path
    device: str
    session: str
    home: Path

    def ssh(
        self, program: str, *arguments: str, stdin: bytes = b"", expect: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [program, "-F", str(self.config), *arguments],
            input=stdin,
            capture_output=True,
            timeout=60,
            env=self.stage.env,
            check=False,
        )
        assert done.returncode == expect, done.stderr.decode(errors="replace")
        return done


@pytest.fixture(scope="module")
def reach() -> Iterator[Reach]:
    with Stage() as stage:
        stage.init_relay()
        stage.start_relay()
        admin = stage.first_admin(library=False)
        technician = stage.technician(admin, "tess")
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        helper = agent.code("--yes")
        opened = technician.json("session", "open", "--code", helper.next_json()["code"])
        config = Path(technician.json("ssh-config", "--write")["path"])
        yield Reach(stage, config, agent.device, opened["session"], technician.home)


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
        env=reach.stage.env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for number in range(20):
        name = f"f{number}"
        assert (tmp_path / "dst" / name).read_bytes() == (tmp_path / "src" / name).read_bytes()


@pytest.mark.needs("ssh")
def test_another_host_key_is_refused(reach: Reach, tmp_path: Path) -> None:
    known = reach.home / "ssh" / "known_hosts"
    original = known.read_text()
    other = paramiko.Ed25519Key.from_private_key(
        io.StringIO(_make_key(tmp_path / "other").read_text())
    )
    name, kind, _ = original.split()[:3]
    known.write_text(f"{name} {kind} {other.get_base64()}\n")
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
    options = config.lookup(reach.device)
    ssh = paramiko.SSHClient()
    ssh.load_host_keys(options["userknownhostsfile"].strip('"'))
    ssh.set_missing_host_key_policy(paramiko.RejectPolicy())
    proxy = paramiko.ProxyCommand(options["proxycommand"])
    try:
        ssh.connect(
            reach.device,
            username=options["user"],
            key_filename=options["identityfile"][0].strip(chr(34)),
            sock=proxy,
            allow_agent=False,
            look_for_keys=False,
            timeout=30,
        )
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
    finally:
        ssh.close()
        proxy.close()
        proxy.process.communicate(timeout=20)  # paramiko leaves its child and pipes to us


def _without_match_exec(text: str) -> str:
    """paramiko knows no `Match exec`; the session is open already, so a Host line does."""
    lines = []
    for line in text.splitlines():
        if line.startswith("Match host "):
            hosts = line.split()[2].replace(",", " ")
            line = f"Host {hosts}"
        lines.append(line)
    return "\n".join(lines)
