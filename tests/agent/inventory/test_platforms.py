"""External commands, small files and mounts: bounded, and nothing left behind."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.platforms import commands
from farhand_agent.platforms.commands import (
    FIXED_PATH,
    CommandDenied,
    CommandMissing,
    CommandOverflow,
    CommandTimeout,
    Outcome,
    run,
)
from farhand_agent.platforms.files import SystemFiles
from farhand_agent.platforms.mounts import Capacity, capacity, data_mounts
from farhand_agent.platforms.outputs import PolledOutputs, ThreadedOutputs
from farhand_agent.terminal import printable, table


def marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if mark in (process.info["cmdline"] or []) and process.info["status"] != "zombie":
            found.append(process)
    return found


@pytest.fixture(params=[PolledOutputs, ThreadedOutputs])
def outputs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read pipes; Windows has only the second, which works everywhere."""
    monkeypatch.setattr(commands, "_OUTPUTS", request.param)


def test_a_command_gets_a_fixed_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_SECRET", "x")
    shown = dict(line.split("=", 1) for line in run(["env"]).text.splitlines())
    assert shown == {
        "PATH": FIXED_PATH, "LC_ALL": "C", "LANG": "C", "LANGUAGE": "C", "HOME": "/",
    }  # fmt: skip
    assert run(["sh", "-c", "cat; pwd"]).text == "/\n"


def test_no_descriptor_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        listed = run(["ls", "-l", "/proc/self/fd"]).text
    assert "secret" not in listed


@pytest.mark.usefixtures("outputs")
def test_exit_codes_and_both_outputs() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2; exit 7"]) == Outcome(7, b"out\n", b"err\n")


def test_missing_and_forbidden_programs(tmp_path: Path) -> None:
    with pytest.raises(CommandMissing):
        run(["no-such-program"])
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    with pytest.raises(CommandDenied):
        run([str(broken)])


@pytest.mark.usefixtures("outputs")
def test_a_timeout_ends_the_whole_group() -> None:
    mark = f"fh-mark-{uuid.uuid4()}"
    script = f'sh -c "while :; do sleep 1; done" {mark} & sh -c "while :; do sleep 1; done" {mark}'
    with pytest.raises(CommandTimeout):
        run(["sh", "-c", script], timeout_s=0.5)
    assert marked(mark) == []


@pytest.mark.usefixtures("outputs")
def test_a_daemon_left_behind_does_not_hold_the_answer() -> None:
    mark = f"fh-mark-{uuid.uuid4()}"
    outcome = run(
        ["sh", "-c", f'sh -c "while :; do sleep 1; done" {mark} & echo done'], timeout_s=60
    )
    assert outcome.text == "done\n"
    assert marked(mark) == []


@pytest.mark.usefixtures("outputs")
def test_output_is_bounded() -> None:
    with pytest.raises(CommandOverflow):
        run(["yes"], max_bytes=10_000)
    tail = run(["sh", "-c", "seq 1 100000"], max_bytes=1_000, overflow="tail")
    assert len(tail.stdout) == 1_000
    assert tail.text.endswith("100000\n")


@pytest.mark.usefixtures("outputs")
def test_a_grace_lets_the_program_clean_up(tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f'trap "echo bye > {note}; exit" TERM; while :; do sleep 0.05; done'
    with pytest.raises(CommandTimeout):
        run(["sh", "-c", script], timeout_s=0.5, grace_s=30)
    assert note.read_text() == "bye\n"


def test_files_are_read_below_their_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/one").write_bytes(b" 42 \n")
    (tmp_path / "etc/two").write_bytes(b"\xff\n")
    files = SystemFiles(tmp_path)
    assert (files.line("/etc/one"), files.number("/etc/one")) == ("42", 42)
    assert (files.text("/etc/two"), files.number("/etc/two")) == ("\ufffd\n", None)
    assert (files.text("/etc/none"), files.line("/etc/one/none")) == (None, None)
    assert files.names("/etc") == ["one", "two"]
    assert files.names("/none") == []


def test_data_mounts_leave_out_pseudo_file_systems_and_binds(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:5 / /proc rw - proc proc rw\n"
        "3 1 8:1 /srv /mnt/bind rw - ext4 /dev/sda1 rw\n"
        "4 1 0:40 / /mnt/share rw - nfs4 server:/x rw\n"
        "5 1 7:1 / /snap/core rw - squashfs /dev/loop1 ro\n"
        "6 1 0:50 /@ /data rw - btrfs /dev/sdb rw\n"
        "7 1 0:51 /@home /data/home rw - btrfs /dev/sdb rw\n"
        "nonsense\n"
    )
    found = data_mounts(SystemFiles(tmp_path))
    assert [(mount.target, mount.network) for mount in found] == [
        ("/", False),
        ("/data", False),
        ("/mnt/share", True),
    ]


def test_a_dead_file_server_is_no_capacity() -> None:
    def hang(argv: object, **_: object) -> Outcome:
        raise CommandTimeout("stat", 5)

    mounts = data_mounts(SystemFiles())
    share = type(mounts[0])("/mnt/x", "server:/x", "nfs4", False, True, "0:40")
    assert capacity(share, hang) is None
    answers = Outcome(0, b"4096 1000 500 400 100 20\n", b"")
    assert capacity(share, lambda argv, **_: answers) == Capacity(
        4096_000, 2048_000, 1638_400, 100, 20
    )


@given(st.text(), st.integers(1, 50))
def test_printable_text_is_one_harmless_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()


def test_escapes_read_the_same_way_back() -> None:
    assert printable("a\x1b[0m\u202eb\\x1b") == "a\\x1b[0m\\u202eb\\\\x1b"
    assert printable(None) == "-"
    assert printable("x" * 9, 4) == "xxx…"


def test_tables_align_and_escape() -> None:
    text = table(("name", "value"), [("a", 1), ("long\nname", None)])
    assert text.split("\n") == ["name          value", "a             1", "long\\x0aname  -"]


def test_settings_of_the_kernel_can_be_read() -> None:
    assert SystemFiles().line("/proc/sys/kernel/hostname") == os.uname().nodename
