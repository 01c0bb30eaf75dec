"""Running a body for real: limits, deadlines, floods, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from farhand_agent.processes import end_marked
from farhand_agent.scripts import posix_body
from farhand_agent.scripts.accounts import Account, account_of
from farhand_agent.scripts.body import MAX_KEPT_BYTES, Ending, order_mark, run_body
from farhand_agent.scripts.capture import Capture
from farhand_agent.scripts.check import Plan
from farhand_agent.scripts.network import can_cut_network
from farhand_agent.scripts.workspace import Workspace
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.manifest import Limits
from farhand_protocol.orders import Order
from farhand_protocol.outputs import with_gap
from tests.agent.organisation import Organisation


def plan(body: bytes, parameters: dict[str, Any] | None = None, **fields: Any) -> Plan:
    organisation = Organisation()
    script = organisation.add_script(body, **fields)
    _, data = organisation.order(script, "d-x", "host")
    order = open_payload(decode_envelope(data), Order)
    return Plan(order, organisation.manifest(body, **fields), body, parameters or {})


def run(tmp_path: Path, wanted: Plan, account: Account | None = None) -> Ending:
    account = account or account_of(wanted.manifest.run_as)
    with Workspace(tmp_path, wanted, account) as space:
        ending = run_body(wanted, space, account)
        work = space.work
    assert not work.exists()
    assert list(tmp_path.iterdir()) == []
    return ending


def test_parameters_come_as_a_file_and_the_environment_is_small(tmp_path: Path) -> None:
    body = (
        b"import json, os, sys\n"
        b"given = json.load(open(os.environ['FARHAND_PARAMETERS']))\n"
        b"print(json.dumps([given, sorted(os.environ), sys.flags.isolated, os.getsid(0) == "
        b"os.getpid(), sys.stdin.read(), os.stat('.').st_mode & 0o777]))\n"
    )
    value = {"name": "$(touch /tmp/x); `id`", "count": 3}
    os.environ["FARHAND_SECRET_OF_THE_AGENT"] = "x"
    try:
        ending = run(tmp_path, plan(body, value, interpreter="python"))
    finally:
        del os.environ["FARHAND_SECRET_OF_THE_AGENT"]
    assert ending.exit_code == 0, ending.stderr.kept()
    given, names, isolated, own_session, stdin, mode = json.loads(ending.stdout.kept())
    assert given == value
    assert set(names) <= {
        "FARHAND_ORDER",
        "FARHAND_PARAMETERS",
        "FARHAND_PROBE_TO",
        "HOME",
        "LANG",
        "LC_CTYPE",
        "PATH",
        "TMPDIR",
        "USER",
    }
    assert (isolated, own_session, json.loads(stdin), mode) == (1, True, value, 0o700)


def test_exit_status_signal_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    ending = run(tmp_path, plan(b"printf '\\377\\000x'; exit 7\n"))
    assert (ending.exit_code, ending.signal, ending.stdout.kept()) == (7, None, b"\xff\x00x")
    killed = run(tmp_path, plan(b"kill -USR1 $$\n"))
    assert (killed.exit_code, killed.signal, killed.timed_out) == (None, "SIGUSR1", False)


def test_a_body_that_somebody_kills_before_it_is_a_program_has_ended_by_that_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runner lives and knows how it ended: that is `failed`, and nothing is uncertain."""
    monkeypatch.setattr(
        posix_body, "prepare_child", lambda *_, **__: lambda: os.kill(os.getpid(), 9)
    )
    killed = run(tmp_path, plan(b"echo ran\n"))
    assert (killed.exit_code, killed.signal, killed.timed_out) == (None, "SIGKILL", False)
    assert killed.stdout.kept() == b""


def test_a_script_that_ignores_sigterm_is_ended(tmp_path: Path) -> None:
    body = b"trap '' TERM; echo begun; while :; do sleep 0.1; done\n"
    ending = run(tmp_path, plan(body, timeout_s=5, grace_s=1))
    assert ending.timed_out
    assert ending.signal == "SIGKILL"
    assert ending.stdout.kept() == b"begun\n"


def test_a_script_may_tidy_up_at_its_deadline(tmp_path: Path) -> None:
    body = b"trap 'echo tidied; exit 0' TERM; while :; do sleep 0.1; done\n"
    ending = run(tmp_path, plan(body, timeout_s=5))
    assert ending.timed_out
    assert ending.stdout.kept() == b"tidied\n"


def test_what_it_started_is_gone_with_it(tmp_path: Path) -> None:
    pids = tmp_path.parent / f"{tmp_path.name}.pids"
    body = f"(sleep 300 & echo $! >> {pids}); setsid sleep 300 & echo $! >> {pids}; exit 0\n"
    wanted = plan(body.encode())
    ending = run(tmp_path, wanted)
    assert ending.exit_code == 0
    for pid in pids.read_text().split():
        with contextlib.suppress(psutil.NoSuchProcess):
            # Killed it is; the machine may take a moment over it.
            psutil.Process(int(pid)).wait(20)
    assert end_marked(order_mark(wanted.order.id)) == 0


def test_what_hides_is_gone_with_it(tmp_path: Path) -> None:
    """Forked twice, in a session of its own, with no environment to be known by."""
    pids = tmp_path.parent / f"{tmp_path.name}.hidden"
    inner = f"echo $$ >> {pids}; exec sleep 300"
    body = f"(setsid env -i /bin/sh -c '{inner}' >/dev/null 2>&1 &)\n"
    body += f"while [ ! -s {pids} ]; do sleep 0.01; done\n"
    ending = run(tmp_path, plan(body.encode()))
    assert ending.exit_code == 0, ending.stderr.kept()
    (pid,) = pids.read_text().split()
    assert not Path(f"/proc/{pid}").exists()


def test_a_bystander_is_left_alone(tmp_path: Path) -> None:
    """What ran below this process before the body is none of its descendants."""
    with subprocess.Popen(["/bin/sleep", "300"]) as bystander:
        try:
            assert run(tmp_path, plan(b"sleep 300 & exit 0\n")).exit_code == 0
            assert bystander.poll() is None
        finally:
            bystander.kill()


LIMITS: dict[str, tuple[str, Limits, str]] = {
    "cpu": ("while True: pass", Limits(cpu_s=1), "SIGXCPU"),
    "memory": ("bytearray(1 << 30)", Limits(memory_mib=256), "MemoryError"),
    "file": ("open('x', 'wb').write(bytes(2 << 20))", Limits(file_mib=1), "File too large"),
    "files": ("x = [open('/dev/null') for _ in range(99)]", Limits(files=32), "Too many open"),
}


@pytest.mark.parametrize("which", LIMITS)
def test_each_limit_holds(tmp_path: Path, which: str) -> None:
    code, limits, word = LIMITS[which]
    wanted = plan(f"{code}\n".encode(), interpreter="python", limits=limits, timeout_s=60)
    ending = run(tmp_path, wanted)
    assert ending.exit_code != 0
    assert word in (ending.signal or "") + ending.stderr.kept().decode()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


@as_root
def test_processes_are_limited(tmp_path: Path) -> None:
    """They are counted for an account, and root's are not; this one is nobody else's."""
    account = Account("x", "/", 64_917, 64_917, ())
    wanted = plan(b"(true) & wait; echo unlimited\n", limits=Limits(processes=1))
    ending = run(tmp_path, wanted, account)
    assert ending.exit_code != 0
    assert b"ork" in ending.stderr.kept()
    assert ending.stdout.kept() == b""


@pytest.mark.skipif(not can_cut_network(), reason="this system gives no network namespaces")
def test_a_body_without_a_network_reaches_nobody(tmp_path: Path) -> None:
    body = b"import os; print(sorted(os.listdir('/sys/class/net')), open('/proc/net/route').read())"
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"import socket; socket.create_connection({server.getsockname()!r}, 5)\n".encode()
        open_ended = run(tmp_path, plan(reach, interpreter="python"))
        cut = run(tmp_path, plan(reach, interpreter="python", network=False))
    assert open_ended.exit_code == 0, open_ended.stderr.kept()
    assert cut.exit_code == 1
    assert b"unreachable" in cut.stderr.kept()
    ending = run(tmp_path, plan(body, interpreter="python", network=False))
    assert len(ending.stdout.kept().split(b"\n")) <= 3  # a heading, and no route


@as_root
def test_a_body_runs_as_whom_the_manifest_names(tmp_path: Path) -> None:
    body = (
        b"id -u; id -g; echo $USER; cat $FARHAND_PARAMETERS; echo; : >mine && echo wrote\n"
        b"grep -c 'NoNewPrivs:.1' /proc/self/status; ls /root >/dev/null 2>&1 || echo shut\n"
    )
    expected = pwd.getpwnam("nobody")
    ending = run(tmp_path, plan(body, {"a": 1}, run_as="user:nobody"))
    assert ending.stdout.kept().decode().split() == [
        str(expected.pw_uid), str(expected.pw_gid), "nobody", '{"a":1}', "wrote", "1", "shut",
    ], ending.stderr.kept()  # fmt: skip


def test_an_account_that_is_not_there_is_told() -> None:
    with pytest.raises(RefusedError) as caught:
        account_of("user:nobody-of-this-name")
    assert caught.value.code == "script-account-unknown"
    own = pwd.getpwuid(os.getuid()).pw_name
    assert account_of(f"user:{own}") is None
    assert account_of("agent") is None


def test_a_script_that_was_taken_away_is_told(tmp_path: Path) -> None:
    wanted = plan(b"true\n")
    with Workspace(tmp_path, wanted) as space:
        space.script.unlink()
        with pytest.raises(FarhandError) as caught:
            run_body(wanted, space)
    assert caught.value.code == "script-vanished"


def test_a_script_that_was_exchanged_behind_the_check_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(b"echo approved\n")
    with Workspace(tmp_path, wanted) as space:
        other = space.script.with_name("other")
        other.write_bytes(b"echo evil\n")
        assert space.is_whole()
        # Behind the last look, as somebody would do it who can write there.
        whole = space.is_whole

        def exchange() -> bool:
            was_whole = whole()
            if other.exists():
                other.replace(space.script)
            return was_whole

        monkeypatch.setattr(space, "is_whole", exchange)
        ending = run_body(wanted, space)
    assert ending.stdout.kept() == b"approved\n"


def test_files_are_private_and_read_only(tmp_path: Path) -> None:
    with Workspace(tmp_path, plan(b"true\n")) as space:
        modes = [path.stat().st_mode & 0o777 for path in (space.script, space.parameters)]
        assert [*modes, space.work.stat().st_mode & 0o777] == [0o500, 0o500, 0o700]


def test_a_flood_of_output_fills_neither_memory_nor_disk(tmp_path: Path) -> None:
    body = b"echo first; head -c 100000000 /dev/zero; echo last\n"
    ending = run(tmp_path, plan(body, max_output_bytes=4 * 1024 * 1024))
    assert ending.exit_code == 0
    assert ending.stdout.total_bytes == 100_000_000 + len(b"first\nlast\n")
    kept = ending.stdout.kept()
    assert len(kept) == MAX_KEPT_BYTES
    assert kept.startswith(b"first\n")
    assert kept.endswith(b"last\n")
    # Where the gap is follows from what was kept: a quarter stands before it.
    shown = with_gap(b"a" * 4 + b"b" * 12, 20)
    assert shown == "aaaa\n[4 bytes were not kept]\n" + "b" * 12
    assert ending.stdout.is_truncated


def test_a_body_that_is_not_the_approved_one_is_not_started(tmp_path: Path) -> None:
    good = plan(b"true\n")
    with pytest.raises(FarhandError) as caught:
        with Workspace(tmp_path, Plan(good.order, good.manifest, b"false\n", {})):
            pytest.fail("it was opened")
    assert caught.value.code == "script-changed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 25, 1000])
@pytest.mark.parametrize("piece", [1, 3, 50])
def test_a_capture_keeps_head_and_tail(size: int, piece: int) -> None:
    data = bytes(number % 251 for number in range(size))
    capture = Capture(10)
    for at in range(0, size, piece):
        capture.add(data[at : at + piece])
    assert capture.kept() == (data if size <= 10 else data[:2] + data[-8:])
    assert capture.is_truncated == (size > 10)
    assert capture.total_bytes == size
