"""Running a body for real: limits, deadlines, floods, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from farhand_agent.processes import end_marked
from farhand_agent.scripts import body as body_module
from farhand_agent.scripts.body import MAX_KEPT_BYTES, Ending, Workspace, order_mark, run_body
from farhand_agent.scripts.capture import Capture
from farhand_agent.scripts.check import Plan
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import Order
from tests.agent.organisation import Organisation


def plan(body: bytes, parameters: dict[str, Any] | None = None, **fields: Any) -> Plan:
    organisation = Organisation()
    script = organisation.add_script(body, **fields)
    _, data = organisation.order(script, "d-x", "host")
    order = open_payload(decode_envelope(data), Order)
    return Plan(order, organisation.manifest(body, **fields), body, parameters or {})


def run(tmp_path: Path, wanted: Plan) -> Ending:
    with Workspace(tmp_path, wanted) as space:
        ending = run_body(wanted, space)
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
    assert (isolated, own_session, stdin, mode) == (1, True, "", 0o700)


def test_exit_status_signal_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    ending = run(tmp_path, plan(b"printf '\\377\\000x'; exit 7\n"))
    assert (ending.exit_code, ending.signal, ending.stdout.kept()) == (7, None, b"\xff\x00x")
    killed = run(tmp_path, plan(b"kill -USR1 $$\n"))
    assert (killed.exit_code, killed.signal, killed.timed_out) == (None, "SIGUSR1", False)


def test_a_body_that_somebody_kills_before_it_is_a_program_has_ended_by_that_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runner lives and knows how it ended: that is `failed`, and nothing is uncertain."""
    monkeypatch.setattr(body_module, "_limits", lambda _: lambda: os.kill(os.getpid(), 9))
    killed = run(tmp_path, plan(b"echo ran\n"))
    assert (killed.exit_code, killed.signal, killed.timed_out) == (None, "SIGKILL", False)
    assert killed.stdout.kept() == b""


def test_a_script_that_ignores_sigterm_is_ended(tmp_path: Path) -> None:
    body = b"trap '' TERM; echo begun; while :; do sleep 0.1; done\n"
    ending = run(tmp_path, plan(body, timeout_s=1))
    assert ending.timed_out
    assert ending.signal == "SIGKILL"
    assert ending.stdout.kept() == b"begun\n"


def test_a_script_may_tidy_up_at_its_deadline(tmp_path: Path) -> None:
    body = b"trap 'echo tidied; exit 0' TERM; while :; do sleep 0.1; done\n"
    ending = run(tmp_path, plan(body, timeout_s=1))
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


def test_a_flood_of_output_fills_neither_memory_nor_disk(tmp_path: Path) -> None:
    body = b"echo first; head -c 100000000 /dev/zero; echo last\n"
    ending = run(tmp_path, plan(body, max_output_bytes=4 * 1024 * 1024))
    assert ending.exit_code == 0
    assert ending.stdout.total_bytes == 100_000_000 + len(b"first\nlast\n")
    kept = ending.stdout.kept()
    assert len(kept) == MAX_KEPT_BYTES
    assert kept.startswith(b"first\n")
    assert kept.endswith(b"last\n")
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
    assert capture.kept() == (data if size <= 10 else data[:5] + data[-5:])
    assert capture.is_truncated == (size > 10)
    assert capture.total_bytes == size
