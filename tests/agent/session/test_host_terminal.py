"""The `terminal` scope over real SSH: exec, status, streams apart, pty, resize, signals."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from pathlib import Path

import asyncssh
import psutil
import pytest

from farhand_agent.session.channel import MAX_PACKET_BYTES, WINDOW_BYTES
from tests.agent.session.ssh_pair import make_terms, ssh_pair


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_exec_returns_status_and_keeps_streams_apart(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        done = await pair.ssh.run("echo out; echo err >&2; exit 7")
        assert (done.stdout, done.stderr, done.exit_status) == ("out\n", "err\n", 7)
        assert pair.actions("exec") == ["echo out; echo err >&2; exit 7"]


async def test_exec_forwards_input_to_its_end(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    async with ssh_pair(make_terms(tmp_path)) as pair:
        done = await pair.ssh.run("cat", input=data, encoding=None)
        assert done.stdout == data


async def test_output_larger_than_every_window_arrives_whole(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        done = await pair.ssh.run("head -c 12000000 /dev/zero", encoding=None)
        assert len(done.stdout or b"") == 12_000_000
        assert done.exit_status == 0
        assert (await pair.ssh.run("echo still here")).stdout == "still here\n"


async def test_a_program_that_ends_by_a_signal_says_which(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        done = await pair.ssh.run("kill -TERM $$")
        assert done.exit_signal is not None
        assert done.exit_signal[0] == "TERM"


async def test_a_signal_from_the_console_reaches_the_program(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process("trap 'echo caught; exit 3' INT; echo up; cat")
        assert await process.stdout.readline() == "up\n"
        process.send_signal("INT")
        done = await process.wait()
        assert "caught" in str(done.stdout)
        assert done.exit_status == 3


async def test_what_stays_in_the_background_does_not_hold_the_channel(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        done = await asyncio.wait_for(pair.ssh.run("sleep 300 & echo $!"), 30)
        assert done.exit_status == 0
        async with asyncio.timeout(10):
            while not is_gone(int(str(done.stdout))):
                await asyncio.sleep(0.01)


async def test_a_terminal_hears_what_the_agent_ignores(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        async with ssh_pair(make_terms(tmp_path)) as pair:
            done = await pair.ssh.run("sh -c 'kill -INT $$; echo deaf'", term_type="xterm")
    finally:
        signal.signal(signal.SIGINT, before)
    assert "deaf" not in str(done.stdout)


async def test_terminal_with_size_type_and_resize(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process(
            "tty >/dev/null && echo tty; echo $TERM; stty size; read x; stty size",
            term_type="vt220",
            term_size=(132, 43),
        )
        lines = [(await process.stdout.readline()).strip() for _ in range(3)]
        assert lines == ["tty", "vt220", "43 132"]
        process.change_terminal_size(90, 20)
        process.stdin.write("go\n")
        done = await process.wait()
        assert "20 90" in str(done.stdout)
        assert done.exit_status == 0


async def test_login_shell_on_a_terminal_has_a_controlling_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the account's own startup files do, and how long that takes, is not what this is about.
    real, home = pwd.getpwuid(os.getuid()), tmp_path / "home"
    home.mkdir()
    own = pwd.struct_passwd((*real[:5], str(home), *real[6:]))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: own)
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process(term_type="xterm")
        process.stdin.write("echo works > /dev/tty; exit 5\n")
        done = await asyncio.wait_for(process.wait(), 60)
        assert "works" in str(done.stdout)
        assert done.exit_status == 5
        assert pair.actions("shell") == ["shell"]


async def test_end_of_input_ends_a_shell_on_a_terminal(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process("cat", term_type="xterm")
        process.stdin.write("last\n")
        process.stdin.write_eof()
        done = await asyncio.wait_for(process.wait(), 30)
        assert "last" in str(done.stdout)
        assert done.exit_status == 0


async def test_environment_is_a_login_and_not_the_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    async with ssh_pair(make_terms(tmp_path)) as pair:
        done = await pair.ssh.run("env", env={"LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8"})
        names = dict(line.split("=", 1) for line in str(done.stdout).splitlines() if "=" in line)
        assert names["LC_ALL"] == "C.UTF-8"
        assert names["LANG"] == "de_DE.UTF-8"
        assert names["FARHAND_SESSION"].startswith("s-")
        assert "SECRET_OF_THE_AGENT" not in names


async def test_withdrawing_terminal_ends_what_runs_and_refuses_more(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process("echo $$; exec sleep 300")
        pid = int(await process.stdout.readline())
        pair.scopes.withdraw("terminal")
        await asyncio.wait_for(process.wait_closed(), 30)
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.run("echo no")
        assert "exec echo no" in pair.actions("denied")
        while not is_gone(pid):
            await asyncio.sleep(0.01)


async def test_losing_the_connection_kills_a_program_that_ignores_hangup(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process("trap '' HUP TERM; echo $$; sleep 300; sleep 300")
        pid = int(await process.stdout.readline())
        pair.ssh.abort()
        while not is_gone(pid):
            await asyncio.sleep(0.01)


async def test_a_cut_network_is_not_noticed_by_the_program(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process(
            "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; read x; echo got $x",
            term_type="xterm",
        )
        await process.stdout.readline()
        for _ in range(3):
            await pair.wire.cut()
            pair.wire.attach()
        process.stdin.write("after\n")
        done = await asyncio.wait_for(process.wait(), 30)
        text = str(done.stdout)
        assert "line 199" in text
        assert "got after" in text


async def test_a_terminal_is_drained_while_the_network_is_away(tmp_path: Path) -> None:
    marker = tmp_path / "done"
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process(
            f"read x; head -c 3000000 /dev/zero | tr '\\0' a; touch {marker}; read y",
            term_type="xterm",
        )
        process.stdin.write("\n")
        await process.stdout.readline()
        await pair.wire.cut()
        async with asyncio.timeout(30):
            while not marker.exists():
                await asyncio.sleep(0.01)
        pair.wire.attach()
        process.stdin.write("\n")
        done = await asyncio.wait_for(process.wait(), 30)
        assert str(done.stdout).count("a") == 3_000_000


async def test_what_runs_while_the_peer_is_away_for_long_fills_a_window_and_no_more(
    tmp_path: Path,
) -> None:
    """The program waits, the session does not grow, and afterwards every byte arrives."""
    size = 40_000_000
    async with ssh_pair(make_terms(tmp_path)) as pair:
        process = await pair.ssh.create_process(f"head -c {size} /dev/zero", encoding=None)
        got = len(await process.stdout.read(1000))
        await pair.wire.cut()
        kept, still = -1, 0
        while still < 20:
            now = pair.wire.device.unacked_bytes
            kept, still = now, still + 1 if now == kept else 0
            await asyncio.sleep(0.02)  # until nothing is added any more
        assert kept <= WINDOW_BYTES + MAX_PACKET_BYTES
        pair.wire.attach()
        while data := await process.stdout.read(1024 * 1024):
            got += len(data)
        assert got == size
