"""What the shipped diagnostics and remedies do, on made-up devices and scratch folders.

Python bodies run in this process with the programs they call exchanged; shell bodies see made-up
programs only (`test_library.with_tools`).  PowerShell bodies are read, not run: nobody had Windows.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.platforms import commands, screens
from farhand_agent.platforms.commands import CommandMissing, Outcome
from farhand_console.library.catalogue import shipped
from farhand_protocol.answers import read_answer
from farhand_protocol.errors import FarhandError
from farhand_protocol.parameters import check_parameters
from tests.console.library.test_library import with_tools

SCRIPTS = {one.id: one for one in shipped()}
OURS = {name: one for name, one in SCRIPTS.items() if name.startswith(("diagnose.", "remedy."))}
DOCS = Path(__file__).parents[3] / "docs" / "library.md"


@pytest.fixture
def body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run a Python body with parameters; returns its exit status and its checked answer."""

    def work(
        name: str, parameters: dict[str, Any] | None = None, **replaced: str
    ) -> tuple[int, dict[str, Any]]:
        script = SCRIPTS[name]
        given = tmp_path / "given.json"
        given.write_text(json.dumps(check_parameters(script.parameters, parameters or {})))
        monkeypatch.setenv("FARHAND_PARAMETERS", str(given))
        source = script.body.decode()
        for old, new in replaced.items():
            source, count = re.subn(rf"(?m)^{old} = .*$", f"{old} = {new}", source)
            assert count == 1, old
        capsys.readouterr()
        before = signal.getsignal(signal.SIGTERM)
        status = 0
        try:
            exec(compile(source, name, "exec"), {"__name__": "__main__"})
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
        answer = read_answer(script.answer, capsys.readouterr().out.encode())
        assert answer is not None
        return status, answer

    return work


def outcome(text: str = "", exit_code: int = 0) -> Outcome:
    return Outcome(exit_code, text.encode(), b"")


# All of them.


def test_there_are_enough_and_each_promises_an_answer() -> None:
    assert len(SCRIPTS) >= 40
    assert sum(one.risk in ("R1", "R2") for one in OURS.values()) >= 20
    for one in OURS.values():
        assert one.platforms
        tells_what = one.risk == "R0" or one.id in OTHERWISE
        assert one.answer == ("object" if tells_what else "change")


# They tell what they did in words of their own.
OTHERWISE = {
    "remedy.clock.sync", "remedy.dns.flush", "remedy.journal.vacuum", "remedy.packages.clean",
    "remedy.packages.repair", "remedy.print.reset", "remedy.service.restart",
}  # fmt: skip


def row(name: str) -> str:
    one = OURS[name]
    properties = one.parameters.get("properties", {})
    required = one.parameters.get("required", [])
    given = ", ".join(f"`{each}`" + ("" if each in required else "?") for each in properties)
    looks = " ".join(
        f"{verb} `{other}`"
        for verb, other in (("before", one.detect), ("after", one.verify))
        if other
    )
    sealed = "; sealed" if one.sensitive else ""
    return (
        f"| `{name}` | {one.title} | {', '.join(one.platforms)} | {one.risk}, {one.run_as}{sealed} "
        f"| {given or '-'} | {looks or '-'} |"
    )


def test_the_page_says_what_the_manifests_say() -> None:
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert lines == [row(name) for name in sorted(OURS)]


def test_windows_bodies_stop_at_the_first_error_and_splice_nothing() -> None:
    bodies = [one for one in OURS.values() if one.interpreter == "powershell"]
    assert len(bodies) >= 9
    for one in bodies:
        text = one.body.decode("ascii")  # Windows PowerShell reads a file without a BOM as ANSI
        assert "$ErrorActionPreference = 'Stop'" in text
        assert "Set-StrictMode -Version 2.0" in text
        assert "ConvertTo-Json -Compress" in text
        assert "changed = " in text
        for word in ("Invoke-Expression", "iex ", "Invoke-WebRequest", "DownloadString", "`"):
            assert word not in text, (one.id, word)
        for opening, closing in ("()", "{}", "[]"):
            assert text.count(opening) == text.count(closing), one.id
        used = set(re.findall(r"\$given\.(\w+)", text))
        assert used == set(one.parameters.get("properties", {})), one.id


@pytest.mark.parametrize("name", [n for n, one in OURS.items() if one.interpreter == "sh"])
def test_shell_bodies_are_sound(name: str) -> None:
    checked = subprocess.run(
        ["/bin/sh", "-n"], input=OURS[name].body, capture_output=True, check=False
    )
    assert checked.stderr == b""


# Diagnostics.


def test_the_largest_folders_and_files_are_named(body: Any, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "big" / "inner").mkdir(parents=True)
    (root / "big" / "inner" / "film").write_bytes(b"x" * 500_000)
    (root / "small").mkdir()
    (root / "small" / "note").write_bytes(b"x" * 20_000)
    os.link(root / "big" / "inner" / "film", root / "small" / "the-same")
    (root / "small" / "loop").symlink_to(root)
    status, found = body("diagnose.disk.top", {"folder": f"{root}/", "count": 3})
    assert (status, found["whole"], found["entries"]) == (0, True, 7)
    assert [Path(one["path"]).name for one in found["folders"][:2]] == ["root", "big"]
    assert 500_000 <= found["bytes"] < 600_000  # what has two names is counted once
    assert len(found["files"]) <= 3
    status, found = body("diagnose.disk.top", {"folder": str(root), "count": 1})
    assert len(found["files"]) == 1
    with contextlib.suppress(FarhandError):
        status, _ = body("diagnose.disk.top", {"folder": str(root / "missing")})
        assert status == 1


def test_the_busiest_processes_are_named(body: Any) -> None:
    status, found = body("diagnose.proc.top", {"seconds": 0, "count": 100})
    assert status == 0
    assert os.getpid() in [one["pid"] for one in found["by_memory"]] or found["processes"] > 100
    assert all("cmdline" not in one for one in found["by_cpu"])


def test_errors_are_counted_by_who_wrote_them(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        json.dumps({"SYSLOG_IDENTIFIER": "cups", "MESSAGE": f"job {number} failed"})
        for number in range(5)
    ] + ["{cut", json.dumps({"_COMM": "x", "MESSAGE": [255, 104, 105]})]
    monkeypatch.setattr(commands, "run", lambda *_, **__: outcome("\n".join(lines)))
    status, found = body("diagnose.logs.errors")
    assert (status, found["errors"], found["kinds"]) == (0, 6, 2)
    assert found["most"][0] == {"source": "cups", "times": 5, "example": "job 4 failed"}


def test_crashes_are_collected_without_their_memory(
    body: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_usr_bin_x.crash").write_text("Title: x crashed\nCoreDump: base64\n secret\n")
    listed = json.dumps([{"pid": 7, "exe": "/usr/bin/y", "sig": 11}])

    def run(words: list[str], **_: Any) -> Outcome:
        return outcome(listed if words[1] == "list" else "Stack trace of thread 7")

    monkeypatch.setattr(commands, "run", run)
    status, found = body("diagnose.crash.collect", FOLDERS=f'("{tmp_path}",)')
    assert status == 0
    assert [one["program"] for one in found["crashes"]] == ["/usr/bin/y", None]
    assert found["crashes"][1]["text"] == "Title: x crashed"

    def missing(words: list[str], **_: Any) -> Outcome:
        raise CommandMissing(words[0])

    monkeypatch.setattr(commands, "run", missing)
    _, found = body("diagnose.crash.collect", FOLDERS='("/nonexistent",)')
    assert found == {"crashes": []}


def test_the_first_step_that_fails_is_named(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    up = {"eth0": type("Stats", (), {"isup": True})()}
    address = type("Address", (), {"address": "10.0.0.2", "family": socket.AF_INET})()
    monkeypatch.setattr(psutil, "net_if_stats", lambda: up)
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": [address]})
    order = ["link", "address", "route", "names", "connection"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _, found = body("diagnose.net.path", {"host": "localhost", "port": port})
    steps = [one["step"] for one in found["steps"]]
    assert steps == order[: len(steps)]
    # Without any route out it ends there, also on a machine that reaches itself.
    assert found["ends_at"] in (None, "route")
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    _, found = body("diagnose.net.path", {"host": "localhost", "port": port})
    assert (found["ends_at"], len(found["steps"])) == ("address", 2)


# Remedies in Python.


def test_only_old_temporary_files_go(body: Any, tmp_path: Path) -> None:
    root, outside = tmp_path / "tmp", tmp_path / "outside"
    (root / "old" / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_text("x")
    (root / "old" / "deep" / "file").write_text("x")
    (root / "new").write_text("x")
    (root / ".X11-unix").mkdir()
    (root / ".X11-unix" / "old").write_text("x")
    (root / "link").symlink_to(outside)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        # Its change time cannot be set, so the clock that the body reads is set on.
        later = f"{time.time() + 86_400 * 30!r} - 86_400 * 10"
        os.utime(root / "new", (time.time() + 86_400 * 40, time.time() + 86_400 * 40))
        status, found = body("remedy.temp.clean", ROOTS=f'("{root}",)', oldest=later)
    assert status == 0
    assert {path.name for path in root.iterdir()} == {"new", ".X11-unix", "socket"}
    assert (outside / "kept").exists()
    assert (root / ".X11-unix" / "old").exists()
    assert (found["changed"], found["files"], found["folders"]) == (True, 2, 2)
    status, found = body("remedy.temp.clean", ROOTS=f'("{root}",)')
    assert (status, found["changed"], found["files"]) == (0, False, 0)


class Network:
    """One interface, and what `ip`, `ping` and a DHCP client make of it."""

    def __init__(self, *, answers: bool = True, renews_to: str | None = "10.0.0.9") -> None:
        self.address, self.gateway = "10.0.0.2", "10.0.0.1"
        self.answers_after, self.renews_to = answers, renews_to
        self.is_renewed = False
        self.calls: list[str] = []

    def run(self, words: list[str], **_: Any) -> Outcome:
        self.calls.append(" ".join(words))
        match words[:2]:
            case ["ip", "link"]:
                return outcome(exit_code=0 if words[-1] == "eth0" else 1)
            case ["ip", "-j"]:
                if "address" in words:
                    listed: list[dict[str, Any]] = [
                        {"addr_info": [{"local": self.address, "prefixlen": 24}]}
                    ]
                else:
                    listed = [{"dst": "default", "gateway": self.gateway}, {"dst": "10.0.0.0/24"}]
                return outcome(json.dumps(listed))
            case ["ip", "address"]:
                self.address, self.is_renewed = words[3].partition("/")[0], False
            case ["ping", _]:
                return outcome(exit_code=0 if not self.is_renewed or self.answers_after else 1)
            case ["networkctl", _]:
                if self.renews_to is None:
                    return outcome(exit_code=1)
                self.address, self.is_renewed = self.renews_to, True
        return outcome()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def make(**fields: Any) -> Network:
        made = Network(**fields)
        monkeypatch.setattr(commands, "run", made.run)
        monkeypatch.setattr(commands, "installed", lambda name: name == "networkctl")
        return made

    return make  # type: ignore[return-value]


def test_a_new_address_that_works_stays(body: Any, network: Any) -> None:
    made = network()
    status, found = body("remedy.net.renew", {"interface": "eth0"})
    assert (status, found["by"], found["reverted"]) == (0, "systemd-networkd", False)
    assert (found["before"], found["after"]) == (["10.0.0.2/24"], ["10.0.0.9/24"])
    assert made.address == "10.0.0.9"


@pytest.mark.parametrize("fields", [{"answers": False}, {"renews_to": None}])
def test_a_network_that_is_gone_is_put_back(
    body: Any, network: Any, fields: dict[str, Any]
) -> None:
    made = network(**fields)
    status, found = body("remedy.net.renew", {"interface": "eth0", "seconds": 0})
    assert (status, found["reverted"], found["changed"]) == (1, True, False)
    assert made.address == "10.0.0.2"
    routes = [call for call in made.calls if call.startswith("ip route replace")]
    # What lies on the link comes before what goes by its gateway.
    assert routes == [
        "ip route replace 10.0.0.0/24 dev eth0",
        "ip route replace default via 10.0.0.1 dev eth0",
    ]


def test_a_renewal_that_is_ended_puts_everything_back(
    body: Any, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = network(answers=False)
    real: Callable[..., Outcome] = made.run

    def run(words: list[str], **fields: Any) -> Outcome:
        if words[0] == "ping" and made.is_renewed:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(words, **fields)

    monkeypatch.setattr(commands, "run", run)
    status, found = body("remedy.net.renew", {"interface": "eth0"})
    assert (status, found["reverted"]) == (1, True)
    assert made.address == "10.0.0.2"


def test_people_are_told(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def show(text: str) -> int:
        told.append(text)
        return 2

    monkeypatch.setattr(screens, "show_on_screens", show)
    status, found = body("remedy.user.notify", {"message": "Wartung um 18 Uhr: bitte speichern!"})
    assert (status, found, told) == (
        0, {"changed": True, "screens": 2}, ["Wartung um 18 Uhr: bitte speichern!"],
    )  # fmt: skip
    schema = SCRIPTS["remedy.user.notify"].parameters
    check_parameters(schema, {"message": "Über Nacht wird neu gestartet."})
    for bad in ("-x", "$(id)", "a\nb", "a\x1b[2J", "", "x" * 301):
        with pytest.raises(FarhandError):
            check_parameters(schema, {"message": bad})


def test_a_program_that_hangs_is_ended(body: Any) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); "
    with subprocess.Popen(
        [sys.executable, "-c", code + "import time; time.sleep(300)"], stdout=subprocess.PIPE
    ) as hanging:
        assert hanging.stdout is not None
        assert hanging.stdout.readline() == b"1\n"
        import psutil

        name = psutil.Process(hanging.pid).name()
        status, found = body("remedy.process.end", {"pid": hanging.pid, "name": "other"})
        assert (status, found["changed"]) == (1, False)
        assert hanging.poll() is None
        given = {"pid": hanging.pid, "name": name, "seconds": 1}
        status, found = body("remedy.process.end", given)
        assert (status, found) == (0, {"changed": True, "ended": "by force"})
    status, found = body("remedy.process.end", given)
    assert (status, found["changed"]) == (0, False)
    own = {"pid": os.getpid(), "name": psutil.Process().name()}
    assert body("remedy.process.end", own)[0] == 1


# Remedies in the shell.


def test_package_sources_are_asked(tmp_path: Path) -> None:
    done, calls = with_tools("remedy.updates.refresh", tmp_path, dnf="echo asked", yum="")
    assert json.loads(done.stdout) == {"changed": True, "by": "dnf"}
    assert calls == ["dnf -q makecache"]
    (tmp_path / "none").mkdir()
    done, _ = with_tools("remedy.updates.refresh", tmp_path / "none")
    assert (done.returncode, json.loads(done.stdout)["changed"]) == (1, False)


def test_sound_is_restarted_for_each_person(tmp_path: Path) -> None:
    systemctl = 'case "$*" in *is-active*pulseaudio*) exit 3;; esac'
    done, calls = with_tools(
        "remedy.audio.restart", tmp_path, loginctl='echo " 1000 ada"', systemctl=systemctl
    )
    assert json.loads(done.stdout) == {"changed": True, "restarted": 3, "failed": 0}
    assert "systemctl --user --machine=ada@.host restart pipewire.service" in calls


@pytest.mark.parametrize(("active", "by"), [("exit 0", "daemon"), ("exit 3", "freshclam")])
def test_signatures_are_fetched(tmp_path: Path, active: str, by: str) -> None:
    systemctl = f'case "$*" in *is-active*) {active};; esac'
    done, calls = with_tools(
        "remedy.av.update", tmp_path, freshclam="echo fresh", systemctl=systemctl
    )
    assert json.loads(done.stdout) == {"changed": True, "by": by}
    assert ("freshclam --stdout" in calls) == (by == "freshclam")


def test_disks_are_told_what_is_free(tmp_path: Path) -> None:
    done, calls = with_tools(
        "remedy.disk.trim", tmp_path, fstrim='echo "/: 1 GiB (1073741824 bytes) trimmed"'
    )
    assert json.loads(done.stdout) == {"changed": True, "file_systems": 1}
    assert calls == ["fstrim --all --verbose --quiet-unsupported"]


@pytest.mark.parametrize(
    ("name", "programs", "call"),
    [
        (
            "remedy.dns.flush.macos",
            {"dscacheutil": "", "killall": ""},
            "killall -HUP mDNSResponder",
        ),
        ("remedy.audio.restart.macos", {"killall": ""}, "killall coreaudiod"),
        (
            "remedy.clock.sync.macos",
            {"systemsetup": 'echo "Network Time Server: time.example.org"', "sntp": ""},
            "sntp -sS time.example.org",
        ),
        (
            "remedy.clock.sync.macos",
            {"systemsetup": 'echo "Network Time Server: -x;y"', "sntp": ""},
            "sntp -sS time.apple.com",
        ),
        (
            "remedy.print.reset.macos",
            {"lpstat": 'echo "scheduler is running"', "cancel": "", "launchctl": ""},
            "launchctl kickstart -k system/org.cups.cupsd",
        ),
    ],
)
def test_twins_for_macos(tmp_path: Path, name: str, programs: dict[str, str], call: str) -> None:
    done, calls = with_tools(name, tmp_path, **programs)
    assert done.returncode == 0, done.stderr
    assert read_answer("change", done.stdout.encode())
    assert call in calls
    # A print service that never answers is waited for; one that cannot be restarted is not.
    failing = {one: body if one == "lpstat" else "exit 1" for one, body in programs.items()}
    (tmp_path / "again").mkdir()
    done, _ = with_tools(name, tmp_path / "again", **failing)
    assert done.returncode == 1


# A password for once.


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play the device's accounts; returns the replaced line and what was told to programs."""
    told: list[tuple[list[str], bytes]] = []
    states = {"zoe": "P", "away": "L"}
    failing: set[str] = set()

    def run(command: list[str], **more: Any) -> Outcome:
        told.append((command, b""))
        if command[0] == "passwd":
            return outcome(f"{command[-1]} {states[command[-1]]} 2026-11-22 0 99999 7 -1\n")
        return outcome(exit_code=1 if command[0] in failing else 0)

    def feed(command: list[str], **more: Any) -> Any:
        told.append((command, more["input"]))
        status = 1 if command[0] in failing else 0
        return subprocess.CompletedProcess(command, status, b"", b"")

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(commands, "installed", lambda name: True)
    monkeypatch.setattr(subprocess, "run", feed)
    local = tmp_path / "passwd"
    local.write_text(
        "root:x:0:0:root:/root:/bin/sh\nzoe:x:1000:1000::/home/zoe:/bin/bash\n"
        "away:x:1001:1001::/home/away:/bin/bash\nrobot:x:1002:1002::/:/usr/sbin/nologin\n"
    )
    return local, told, failing


def test_a_password_is_drawn_and_has_to_be_changed(body: Any, accounts: Any) -> None:
    local, told, _ = accounts
    assert SCRIPTS["remedy.password.reset"].sensitive
    drawn = set()
    for _ in range(20):
        told.clear()
        status, found = body("remedy.password.reset", {"account": "zoe"}, LOCAL=repr(str(local)))
        assert (status, found["changed"], found["must_change"]) == (0, True, True)
        password = found["password"]
        assert len(password) == 17
        assert re.search("[a-z]", password)
        assert re.search("[A-Z]", password)
        assert re.search("[2-9]", password)
        assert not set(password) & set("0O1lI")
        # On no command line, where anybody on the device could read it.
        assert told[1:] == [
            (["chpasswd"], f"zoe:{password}\n".encode()),
            (["chage", "-d", "0", "--", "zoe"], b""),
        ]
        drawn.add(password)
    assert len(drawn) == 20


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("root", "the system's"), ("away", "locked"), ("robot", "nobody may log in"),
        ("nobody-by-this-name", "no such account"), ("daemon", "a directory's"),
    ],
)  # fmt: skip
def test_whose_password_is_not_set(body: Any, accounts: Any, account: str, words: str) -> None:
    local, told, _ = accounts
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status, found = body("remedy.password.reset", {"account": account}, LOCAL=repr(str(local)))
    assert (status, found) == (1, {"changed": False, "account": account})
    assert words in said.getvalue()
    assert not [command for command, _ in told if command[0] != "passwd"]


def test_a_password_on_the_screen_is_told_to_nobody_else(
    body: Any, accounts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, told, _ = accounts
    shown: list[str] = []
    reached = 0

    def show(line: str, *, seated: Collection[int]) -> int:
        assert seated == {1000}, "nobody but who sits at the device"
        shown.append(line)
        return reached

    monkeypatch.setattr(screens, "show_on_screens", show)
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    for name, uid, more in (("1", 1000, "SEAT=seat0\n"), ("2", 1001, "REMOTE=1\n")):
        (sessions / name).write_text(f"UID={uid}\nACTIVE=1\nSTATE=active\nCLASS=user\n{more}")
    asked = {"account": "zoe", "show": "screen"}
    places = {"LOCAL": repr(str(local)), "SESSIONS": repr(str(sessions))}
    status, found = body("remedy.password.reset", asked, **places)
    assert (status, found["changed"]) == (1, False)
    assert [command[0] for command, _ in told] == ["passwd"]
    shown.clear()
    reached = 1
    status, found = body("remedy.password.reset", asked, **places)
    assert status == 0
    assert "password" not in found
    assert told[-2][1].decode().strip() == shown[1].replace(": ", ":")


@pytest.mark.parametrize(("program", "changed"), [("chpasswd", False), ("chage", True)])
def test_a_password_that_would_never_end_is_given_to_nobody(
    body: Any, accounts: Any, program: str, changed: bool
) -> None:
    local, _, failing = accounts
    failing.add(program)
    status, found = body("remedy.password.reset", {"account": "zoe"}, LOCAL=repr(str(local)))
    assert (status, found) == (1, {"changed": changed, "account": "zoe"})


@pytest.mark.parametrize("program", ["chpasswd", "chage"])
def test_what_did_not_end_in_time_is_told_as_a_change(
    body: Any, accounts: Any, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    local, _, _ = accounts
    run, feed = commands.run, subprocess.run

    def late(command: list[str], **more: Any) -> Any:
        if command[0] != program:
            return (feed if command[0] == "chpasswd" else run)(command, **more)
        if program == "chpasswd":
            raise subprocess.TimeoutExpired(command, 30)
        raise commands.CommandTimeout(command[0], 30)

    monkeypatch.setattr(commands, "run", late)
    monkeypatch.setattr(subprocess, "run", late)
    status, found = body("remedy.password.reset", {"account": "zoe"}, LOCAL=repr(str(local)))
    assert (status, found) == (1, {"changed": True, "account": "zoe"})


def test_nothing_is_printed_beside_the_answer(
    body: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as words:
        body("diagnose.proc.top", {"seconds": 0})
    assert words.getvalue() == ""
