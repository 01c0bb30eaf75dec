"""What could not be run here: systemd scopes as command lines, Windows job objects as calls."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import Any

import pytest

from farhand_agent.scripts import scope
from farhand_agent.scripts.accounts import Account
from farhand_agent.scripts.check import PARTS
from farhand_agent.scripts.job_object import ExtendedLimits, JobObject, job_limits
from farhand_agent.scripts.scope import dropping, end_scope, in_scope, scope_name
from farhand_protocol.manifest import Limits
from tests.agent.organisation import Organisation

MANIFEST = Organisation().manifest(
    b"true\n", timeout_s=60, limits=Limits(memory_mib=512, processes=64, cpu_s=9)
)
BODY = ["/bin/sh", "/dev/fd/7"]


def test_a_scope_carries_the_limits() -> None:
    words = in_scope(BODY, order="o-abc", part="body", manifest=MANIFEST)
    assert words[:2] == ["systemd-run", "--scope"]
    assert words[words.index("--") + 1 :] == BODY
    assert "--unit=farhand-o-abc-body.scope" in words
    # systemd may still hold the unit that has just ended when the next part begins.
    assert len({scope_name("o-abc", part) for part in PARTS}) == 3
    properties = {one.removeprefix("--property=") for one in words if "property" in one}
    assert properties == {
        "MemoryMax=512M",
        "MemorySwapMax=0",
        "TasksMax=64",
        "KillMode=control-group",
    }


def test_privileges_are_dropped_inside_it() -> None:
    account = Account("kay", "/home/kay", 1001, 1002, (1002,))
    words = in_scope(dropping(BODY, account), order="o-abc", part="body", manifest=MANIFEST)
    inner = words[words.index("--") + 1 :]
    assert inner[:3] == ["setpriv", "--reuid=1001", "--regid=1002"]
    assert {"--init-groups", "--no-new-privs", "--pdeathsig=KILL"} <= set(inner)
    assert inner[inner.index("--") + 1 :] == BODY


@pytest.mark.parametrize("program", ["systemd-run", "setpriv", "systemctl"])
def test_the_options_are_those_that_the_programs_have(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    account = Account("kay", "/home/kay", 1001, 1002, (1002,))
    used = {
        "systemd-run": in_scope([], order="o-abc", part="verify", manifest=MANIFEST),
        "setpriv": dropping([], account),
        "systemctl": ["systemctl", "--signal=SIGKILL"],
    }[program]
    for word in used:
        if word.startswith("--") and word != "--":
            assert word.split("=")[0] in said


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_setpriv_takes_what_it_is_given() -> None:
    account = Account("nobody", "/", 65_534, 65_534, (65_534,))
    done = subprocess.run(
        dropping(["/bin/sh", "-c", "id -u"], account), capture_output=True, text=True, check=False
    )
    # Only root may; anybody else is refused by the kernel, not for the words.
    assert done.stdout == "65534\n" or "setresuid" in done.stderr or "groups" in done.stderr


def test_a_scope_is_ended_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: calls.append(words))
    monkeypatch.setattr(scope, "has_scopes", lambda: False)
    end_scope("o-abc")
    assert calls == []
    monkeypatch.setattr(scope, "has_scopes", lambda: True)
    end_scope("o-abc")
    units = [f"farhand-o-abc-{part}.scope" for part in ("body", "detect", "verify")]
    assert calls == [["systemctl", "kill", "--signal=SIGKILL", *units]]


@pytest.mark.parametrize(
    "error", [subprocess.TimeoutExpired("systemctl", 20), FileNotFoundError("systemctl")]
)
def test_a_systemd_that_does_not_answer_keeps_no_order_open(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(scope, "has_scopes", lambda: True)
    end_scope("o-abc")
    assert "systemd did not end the scopes of o-abc" in capsys.readouterr().err


class Kernel:
    """Writes down what it is asked, and answers 1 but to the name it is told to refuse."""

    def __init__(self, refuses: str = "") -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.refuses = refuses

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append((name, arguments))
            return 0 if name == self.refuses else 40 + len(self.calls)

        return call

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def test_a_job_object_has_the_limits_and_its_documented_size() -> None:
    # winnt.h, 64 bit: 64 + 48 + 4 * 8.
    assert ctypes.sizeof(ExtendedLimits) == 144
    limits = job_limits(MANIFEST)
    assert limits.basic.flags == 0x0004 | 0x0008 | 0x0200 | 0x0400 | 0x2000
    assert limits.basic.per_job_user_time == 90_000_000
    assert (limits.basic.active_processes, limits.job_memory) == (64, 512 * 1024 * 1024)


def test_a_process_is_put_into_its_job_and_ends_with_it() -> None:
    kernel = Kernel()
    job = JobObject(MANIFEST, kernel)
    job.take(99)
    job.close()
    job.close()
    assert kernel.names == [
        "CreateJobObjectW", "SetInformationJobObject", "OpenProcess", "AssignProcessToJobObject",
        "CloseHandle", "TerminateJobObject", "CloseHandle",
    ]  # fmt: skip
    assert kernel.calls[1][1][:2] == (41, 9)
    assert kernel.calls[3][1] == (41, 43)


@pytest.mark.parametrize(
    "name",
    ["CreateJobObjectW", "SetInformationJobObject", "OpenProcess", "AssignProcessToJobObject"],
)
def test_a_job_that_windows_refuses_is_an_error(name: str) -> None:
    kernel = Kernel(refuses=name)
    with pytest.raises(OSError, match=r"job|process"):
        JobObject(MANIFEST, kernel).take(99)
    if name == "SetInformationJobObject":
        assert kernel.names[-1] == "CloseHandle"
