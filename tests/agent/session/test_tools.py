"""Session tools over real SSH: what each answers, what it needs, what it would run."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from farhand_agent.inventory.context import Context
from farhand_agent.platforms.commands import CommandMissing, Outcome, Runner
from farhand_agent.session.files_roots import Roots
from farhand_agent.session.restart import MachineRestart
from farhand_agent.session.subsystems import Subsystem
from farhand_agent.session.tools import logs as logs_module
from farhand_agent.session.tools import services as services_module
from farhand_agent.session.tools.commands import ToolCommands
from farhand_agent.session.tools.desk import MAX_AT_ONCE, ToolDesk, scope_of
from farhand_agent.session.tools.disk import measure_folder
from farhand_agent.session.tools.logs import log_command, parse_entry
from farhand_agent.session.tools.power import power_command
from farhand_agent.session.tools.requests import Logs, Request, decode_request
from farhand_agent.session.tools.services import (
    Manager,
    parse_launchctl_list,
    parse_windows_services,
    service_command,
)
from farhand_agent.session.tools.wake import magic_packet
from farhand_protocol.errors import FarhandError, RemoteError
from tests.agent.session.ssh_pair import make_terms, ssh_pair
from tests.agent.session.test_live_help import Channel, channel

MAC = "52:54:00:ab:cd:ef"


class Recorded:
    """Stands for the system's commands: notes each, and answers as told."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.outcome = Outcome(0, b"", b"")
        self.missing = False

    def __call__(self, argv: Sequence[str], **options: Any) -> Outcome:
        assert options["env"]["FARHAND_SESSION"]
        self.seen.append(list(argv))
        if self.missing:
            raise CommandMissing(argv[0])
        return self.outcome


class Scene:
    """One session with tools."""

    def __init__(
        self,
        folder: Path,
        *scopes: str,
        runner: Runner | None = None,
        environment: Mapping[str, str] = {"FARHAND_SESSION": "s-test"},
    ) -> None:
        self.terms = make_terms(folder, scopes)
        self.restarts: list[str] = []
        commands = ToolCommands(environment, **({"runner": runner} if runner else {}))
        self.desk = ToolDesk(
            scopes=self.terms.scopes,
            actions=self.terms.actions,
            roots=self.terms.roots,
            restart=MachineRestart(self.terms.actions, lambda: self.restarts.append("told")),
            commands=commands,
            platform="linux",
        )
        tools = Subsystem(None, self.desk.serve)
        self.terms.subsystems = {**self.terms.subsystems, "farhand-tools": tools}


async def lines(tools: Channel) -> list[dict[str, Any]]:
    """Return the lines of a stream up to its end."""
    found = []
    while "done" not in (answer := await tools.answer()):
        assert "line" in answer, answer
        found.append(answer["line"])
    return found


EVERY_TOOL: list[tuple[dict[str, Any], str]] = [
    ({"tool": "processes"}, "view"),
    ({"tool": "services"}, "view"),
    ({"tool": "disk-usage"}, "files"),
    ({"tool": "logs", "file": "x.log"}, "files"),
    ({"tool": "logs"}, "terminal"),
    ({"tool": "process-kill", "pid": 999_999}, "terminal"),
    ({"tool": "service-start", "name": "ssh"}, "terminal"),
    ({"tool": "service-stop", "name": "ssh"}, "terminal"),
    ({"tool": "service-restart", "name": "ssh"}, "terminal"),
    ({"tool": "lock"}, "terminal"),
    ({"tool": "logout", "user": "ann"}, "terminal"),
    ({"tool": "restart"}, "terminal"),
    ({"tool": "shutdown"}, "terminal"),
    ({"tool": "power-cancel"}, "terminal"),
    ({"tool": "wake", "mac": MAC}, "terminal"),
]


async def test_each_tool_needs_its_scope_and_does_nothing_without(tmp_path: Path) -> None:
    known = {kind.__struct_config__.tag for kind in Request.__args__}
    assert {str(request["tool"]) for request, _ in EVERY_TOOL} == known
    for open_scope in ("view", "files", "terminal"):
        recorded = Recorded()
        scene = Scene(tmp_path, open_scope, runner=recorded)
        async with ssh_pair(scene.terms) as pair:
            tools = await channel(pair, "farhand-tools")
            refused = 0
            for request, scope in EVERY_TOOL:
                assert scope_of(decode_request(msgspec.json.encode(request))) == scope
                if scope != open_scope:
                    answer = await tools.ask(request)
                    assert answer["error"]["code"] == "scope-missing", request
                    refused += 1
            assert recorded.seen == []
            assert len(pair.actions("denied")) == refused
            assert pair.actions("tool") == pair.actions("view") == []


@pytest.mark.parametrize(
    "request_line",
    [
        b"[]", b"\xff", b"{}", b'{"tool":"format"}', b'{"tool":"lock","user":"x"}',
        b'{"tool":"service-stop","name":"-h"}', b'{"tool":"service-stop","name":"a b"}',
        b'{"tool":"service-stop","name":"a;b"}', b'{"tool":"service-stop","name":"a\\nb"}',
        b'{"tool":"service-stop","name":"a\'b"}', b'{"tool":"service-stop","name":""}',
        b'{"tool":"service-stop","name":"ssh\\n"}',
        b'{"tool":"logs","unit":"--flush"}', b'{"tool":"logs","lines":2001}',
        b'{"tool":"logs","since_s":0}', b'{"tool":"logout","user":"--all"}',
        b'{"tool":"process-kill","pid":1}', b'{"tool":"process-kill","pid":-7}',
        b'{"tool":"process-kill","pid":"7"}', b'{"tool":"restart","delay_min":-1}',
        b'{"tool":"shutdown","delay_min":99999}', b'{"tool":"wake","mac":"52:54:00:ab:cd"}',
        b'{"tool":"wake","mac":"zz:54:00:ab:cd:ef"}',
    ],
)  # fmt: skip
def test_what_no_tool_takes_is_refused_before_anything_is_done(request_line: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        decode_request(request_line)
    assert caught.value.code == "tool-malformed"


async def test_a_process_is_found_and_ended(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(tmp_path)])
    try:
        scene = Scene(tmp_path, "view", "terminal")
        async with ssh_pair(scene.terms) as pair:
            tools = await channel(pair, "farhand-tools")
            found = await tools.ask({"tool": "processes", "match": str(tmp_path)})
            assert [one["pid"] for one in found["items"]] == [child.pid]
            kill = {"tool": "process-kill", "pid": child.pid}
            answer = await tools.ask({**kill, "name": "another"})
            assert answer["error"]["code"] == "tool-failed"
            assert child.poll() is None
            answer = await tools.ask({**kill, "name": found["items"][0]["name"]})
            assert (answer["pid"], answer["ended"]) == (child.pid, True)
            mine = await tools.ask({"tool": "process-kill", "pid": os.getpid()})
            assert mine["error"]["code"] == "tool-failed"
            gone = await tools.ask({"tool": "process-kill", "pid": 2**31 - 1})
            assert gone["error"] == {"code": "tool-failed", "message": "there is no such process"}
        assert pair.actions("view") == [f"processes match={tmp_path} sort=memory"]
    finally:
        child.kill()
        child.wait()


async def test_a_file_is_shown_from_its_end_and_followed(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(50)))
    scene = Scene(tmp_path, "files")
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        tools.send({"tool": "logs", "file": "app.log", "lines": 3, "unit": "", "match": ""})
        assert [one["text"] for one in await lines(tools)] == ["line 47", "line 48", "line 49"]
        tools.send({"tool": "logs", "file": "app.log", "match": "LINE 4", "lines": 2})
        assert [one["text"] for one in await lines(tools)] == ["line 48", "line 49"]
        tools.send({"tool": "logs", "file": "app.log", "lines": 1, "follow": True})
        assert (await tools.answer())["line"]["text"] == "line 49"
        with log.open("ab") as more:
            more.write(b"half a ")
            more.flush()
            more.write(b"line \xff\x1b[2J\n")
        assert (await tools.answer())["line"]["text"] == "half a line �\x1b[2J"
        log.rename(tmp_path / "app.log.1")
        log.write_bytes(b"a new file\n")
        assert (await tools.answer())["line"]["text"] == "a new file"
        log.write_bytes(b"cut\n")
        assert (await tools.answer())["line"]["text"] == "cut"
        again = await channel(pair, "farhand-tools")
        again.send({"tool": "logs", "file": "app.log", "lines": 1, "follow": True})
        assert (await again.answer())["line"]["text"] == "cut"
        again.process.stdin.write_eof()  # nothing is written any more, and still it ends
        assert (await asyncio.wait_for(again.process.wait(), 20)).exit_status == 0
        scene.terms.scopes.withdraw("files", "the person took it back")
        assert (await tools.answer())["error"]["code"] == "scope-missing"


async def test_the_systems_log_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "_TEXT_LOGS", ())
    recorded = Recorded()
    entries = [{"MESSAGE": f"{word} {number}"} for number in range(3) for word in ("good", "Bad")]
    recorded.outcome = Outcome(0, b"junk\n" + b"\n".join(map(msgspec.json.encode, entries)), b"")
    scene = Scene(tmp_path, "terminal", runner=recorded)
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        tools.send({"tool": "logs", "unit": "ssh", "match": "bad", "lines": 2})
        assert [one["text"] for one in await lines(tools)] == ["Bad 1", "Bad 2"]
    assert recorded.seen == [log_command(Logs(unit="ssh", match="bad", lines=2), "linux")]
    assert "--lines=20000" in recorded.seen[0]


async def test_a_followed_command_is_killed_when_nobody_follows() -> None:
    commands = ToolCommands({"FARHAND_SESSION": "s-test"})
    words = ["sh", "-c", "echo $$; echo $FARHAND_SESSION; printf unfinished; exec sleep 600"]
    async with aclosing(commands.follow(words)) as found:
        pid = int(await anext(found))
        assert await anext(found) == b"s-test"
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    with pytest.raises(FarhandError) as caught:
        await anext(commands.follow(["no-such-program-anywhere"]))
    assert caught.value.code == "tool-unsupported"


@pytest.mark.parametrize(
    "tool", [{"tool": "logs", "file": "P"}, {"tool": "disk-usage", "path": "P"}]
)
async def test_files_stay_within_the_roots(tmp_path: Path, tool: dict[str, str]) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "inside" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "inside" / "up").symlink_to(tmp_path)
    scene = Scene(tmp_path / "inside", "files")
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        field = "file" if tool["tool"] == "logs" else "path"
        for path in ("/etc/passwd", "../secret", "out", "up", "up/secret", "/etc"):
            answer = await tools.ask({**tool, field: path})
            assert answer["error"]["code"] == "tool-refused", path
        answer = await tools.ask({**tool, field: "not-there"})
        assert answer["error"]["code"] == "tool-failed"


def test_a_folder_is_measured(tmp_path: Path) -> None:
    big = tmp_path / "big" / "deeper"
    big.mkdir(parents=True)
    (big / "one").write_bytes(os.urandom(300_000))
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    roots = Roots.of([str(tmp_path)], str(tmp_path), read_only=True)
    found = measure_folder("", roots, threading.Event())
    assert found["items"][0]["name"] == "big"
    assert {one["name"]: one["kind"] for one in found["items"]} == {
        "big": "folder", "small": "file", "loop": "other"
    }  # fmt: skip
    assert found["items"][0]["bytes"] >= 300_000
    assert found["items"][0]["files"] == 1
    assert found["complete"] is True
    stopped = threading.Event()
    stopped.set()
    assert measure_folder("", roots, stopped)["complete"] is False


async def test_wake_sends_the_magic_packet(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
        neighbour.bind(("127.0.0.1", 0))
        neighbour.settimeout(20)
        port = neighbour.getsockname()[1]
        scene = Scene(tmp_path, "terminal")
        async with ssh_pair(scene.terms) as pair:
            tools = await channel(pair, "farhand-tools")
            wake = {"tool": "wake", "mac": MAC, "broadcast": "127.0.0.1", "port": port}
            answer = await tools.ask(wake)
            assert answer["sent_to"] == ["127.0.0.1"]
            data = await asyncio.to_thread(neighbour.recv, 1000)
            assert data == b"\xff" * 6 + bytes.fromhex("525400abcdef") * 16 == magic_packet(MAC)
            named = await tools.ask({**wake, "broadcast": "example.org"})
            assert named["error"]["code"] == "tool-failed"


async def test_power_runs_the_systems_command_and_says_so_first(tmp_path: Path) -> None:
    recorded = Recorded()
    scene = Scene(tmp_path, "terminal", runner=recorded)
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        answer = await tools.ask({"tool": "shutdown", "delay_min": 5})
        assert (answer["ordered"], answer["delay_min"]) == ("shutdown", 5)
        await tools.ask({"tool": "power-cancel"})
        await tools.ask({"tool": "lock"})
        await tools.ask({"tool": "logout", "user": "ann"})
        assert recorded.seen == [
            ["shutdown", "-P", "+5"], ["shutdown", "-c"], ["loginctl", "lock-sessions"],
            ["loginctl", "terminate-user", "--", "ann"],
        ]  # fmt: skip
        recorded.outcome = Outcome(1, b"", b"noise\nFailed: \x1b[1mnot permitted\n")
        answer = await tools.ask({"tool": "lock"})
        assert answer["error"]["code"] == "tool-failed"
        assert "not permitted" in answer["error"]["message"]
        recorded.missing = True
        assert (await tools.ask({"tool": "lock"}))["error"]["code"] == "tool-unsupported"
    assert pair.actions("tool")[:2] == ["shutdown delay_min=5", "power-cancel"]


async def test_a_restart_in_a_while_can_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "shutdown"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/ran\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    scene = Scene(tmp_path, "terminal", runner=Recorded())
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        answer = await tools.ask({"tool": "restart", "delay_min": 7})
        assert answer["ordered"] == "restart"
        assert (tmp_path / "ran").read_text() == "-r +7\n"
        assert scene.restarts == ["told"]
        assert scene.desk.restart.is_due
        await tools.ask({"tool": "power-cancel"})
        assert not scene.desk.restart.is_due
    assert pair.actions("tool") == ["restart this computer in 7 min", "power-cancel"]


async def test_commands_end_with_their_scope_however_many(tmp_path: Path) -> None:
    loop, began = asyncio.get_running_loop(), asyncio.Event()
    ended: asyncio.Queue[int] = asyncio.Queue()

    def runner(argv: Sequence[str], **options: Any) -> Outcome:
        program = "import time; time.sleep(600)"
        process = subprocess.Popen([sys.executable, "-c", program], env=options["env"])
        loop.call_soon_threadsafe(began.set)
        loop.call_soon_threadsafe(ended.put_nowait, process.wait())
        return Outcome(0, b"", b"")

    # More than may work at once: whoever would end them needs a thread as well.
    scene = Scene(tmp_path, "terminal", runner=runner)
    async with ssh_pair(scene.terms) as pair:
        many = [await channel(pair, "farhand-tools") for _ in range(MAX_AT_ONCE + 5)]
        for tools in many:
            tools.send({"tool": "lock"})
        await asyncio.wait_for(began.wait(), 20)
        scene.terms.scopes.withdraw("terminal", "taken back")
        for tools in many:
            assert (await tools.answer())["error"]["code"] == "scope-missing"
        assert await asyncio.wait_for(ended.get(), 20) == -signal.SIGKILL


async def test_a_command_that_starts_just_as_it_is_ended_is_ended(tmp_path: Path) -> None:
    loop, asked, begin = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    statuses: list[int] = []

    def runner(argv: Sequence[str], **options: Any) -> Outcome:
        loop.call_soon_threadsafe(asked.set)
        assert begin.wait(20)
        program = "import time; time.sleep(600)"
        process = subprocess.Popen([sys.executable, "-c", program], env=options["env"])
        statuses.append(process.wait())
        return Outcome(0, b"", b"")

    scene = Scene(tmp_path, "terminal", runner=runner)
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        tools.send({"tool": "lock"})
        await asyncio.wait_for(asked.wait(), 20)
        scene.terms.scopes.withdraw("terminal", "taken back")
        # By then whoever ends it has looked once, and found nothing.
        loop.call_later(0.3, begin.set)
        assert (await tools.answer())["error"]["code"] == "scope-missing"
    assert statuses == [-signal.SIGKILL]


async def test_services_come_from_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"manager": "systemd", "display": None, "detail": None, "start": "enabled"}

    def collect(context: Context) -> list[dict[str, Any]]:
        context.note("systemd does not run here")
        return [{**row, "name": name, "state": "running"} for name in ("cron", "sshd")]

    monkeypatch.setattr(services_module, "collect", collect)
    scene = Scene(tmp_path, "view")
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        answer = await tools.ask({"tool": "services", "match": "SSH"})
        assert [one["name"] for one in answer["items"]] == ["sshd"]
        assert answer["note"] == "systemd does not run here"


@pytest.mark.parametrize(
    ("manager", "outcome", "state"),
    [
        ("systemd", Outcome(0, b"active\n", b""), "running"),
        ("systemd", Outcome(0, b"failed\n", b""), "failed"),
        ("sysv", Outcome(0, b"is running\n", b""), "running"),
        ("sysv", Outcome(0, b"", b""), "running"),
    ],
)
async def test_a_service_is_restarted_and_its_state_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: Manager, outcome: Outcome, state: str
) -> None:
    monkeypatch.setattr("farhand_agent.session.tools.desk.service_manager", lambda _: manager)
    recorded = Recorded()
    recorded.outcome = outcome
    scene = Scene(tmp_path, "terminal", runner=recorded)
    async with ssh_pair(scene.terms) as pair:
        tools = await channel(pair, "farhand-tools")
        answer = await tools.ask({"tool": "service-restart", "name": "cups@a"})
        assert (answer["name"], answer["state"]) == ("cups@a", state)
        assert recorded.seen == [
            service_command(manager, "restart", "cups@a"),
            service_command(manager, "state", "cups@a"),
        ]


# The tables of commands, as words.


@pytest.mark.parametrize(
    ("manager", "verb", "argv"),
    [
        ("systemd", "stop", "systemctl --no-pager --no-ask-password stop -- ssh.service"),
        ("systemd", "state", "systemctl show --property=ActiveState --value -- ssh.service"),
        ("sysv", "start", "service ssh start"),
        ("sysv", "state", "service ssh status"),
        ("launchd", "start", "launchctl kickstart system/ssh"),
        ("launchd", "stop", "launchctl kill TERM system/ssh"),
        ("launchd", "restart", "launchctl kickstart -k system/ssh"),
        ("launchd", "state", "launchctl print system/ssh"),
        (
            "windows", "restart",
            "powershell.exe -NoProfile -NonInteractive -Command Restart-Service -Name 'ssh'",
        ),
        (
            "windows", "state",
            "powershell.exe -NoProfile -NonInteractive -Command (Get-Service -Name 'ssh').Status",
        ),
    ],
)  # fmt: skip
def test_service_commands(manager: Manager, verb: str, argv: str) -> None:
    assert " ".join(service_command(manager, verb, "ssh")) == argv


@pytest.mark.parametrize(
    ("what", "platform", "argv"),
    [
        ("shutdown", "linux", ["shutdown", "-P", "+2"]),
        ("shutdown", "macos", ["shutdown", "-h", "+2"]),
        ("shutdown", "windows", ["shutdown.exe", "/s", "/t", "120"]),
        ("lock", "macos", ["pmset", "displaysleepnow"]),
        ("lock", "windows", ["rundll32.exe", "user32.dll,LockWorkStation"]),
        ("logout", "macos", ["launchctl", "bootout", "user/501"]),
        ("logout", "windows", ["shutdown.exe", "/l"]),
        ("power-cancel", "macos", ["killall", "shutdown"]),
        ("power-cancel", "windows", ["shutdown.exe", "/a"]),
    ],
)
def test_power_commands(what: str, platform: str, argv: list[str]) -> None:
    assert power_command(what, platform, delay_min=2, user="ann", uid=501) == argv


def test_power_is_not_guessed_on_an_unknown_system() -> None:
    with pytest.raises(FarhandError) as caught:
        power_command("lock", "plan9")
    assert caught.value.code == "tool-unsupported"


def test_log_commands() -> None:
    request = Logs(unit="ssh", since_s=60, priority=3, lines=5)
    assert log_command(request, "linux") == [
        "journalctl", "--no-pager", "--quiet", "--output=json", "--lines=5",
        "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,_COMM,_PID",
        "--unit=ssh", "--since=-60s", "--priority=3",
    ]  # fmt: skip
    assert log_command(Logs(follow=True), "linux")[-1] == "--follow"
    assert log_command(Logs(unit="sshd", since_s=60), "macos") == [
        "log", "show", "--last", "60s", "--style", "ndjson", "--predicate", 'process == "sshd"',
    ]  # fmt: skip
    assert log_command(Logs(follow=True), "macos") == ["log", "stream", "--style", "ndjson"]
    assert "Get-WinEvent -LogName System -MaxEvents 5" in log_command(request, "windows")[-1]
    for impossible in (("windows", True), ("plan9", False)):
        with pytest.raises(FarhandError) as caught:
            log_command(Logs(follow=impossible[1]), impossible[0])
        assert caught.value.code == "tool-unsupported"


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (
            {"__REALTIME_TIMESTAMP": "1796000000123456", "MESSAGE": "hello", "PRIORITY": "6",
             "_SYSTEMD_UNIT": "ssh.service", "_PID": "77"},
            ("2026-11-30T00:53:20Z", "ssh.service", 6, 77, "hello"),
        ),
        ({"MESSAGE": [104, 105, 255], "_COMM": "app"}, (None, "app", None, None, "hi�")),
        (
            {"timestamp": "2026-01-01 10:00:00", "eventMessage": "mac",
             "processImagePath": "/usr/libexec/x", "processID": 5},
            ("2026-01-01 10:00:00", "x", None, 5, "mac"),
        ),
        (
            {"at": "2026-01-01T10:00:00Z", "ProviderName": "Disk", "Level": 2, "ProcessId": 4,
             "Message": "bad block"},
            ("2026-01-01T10:00:00Z", "Disk", 2, 4, "bad block"),
        ),
    ],
)  # fmt: skip
def test_entries_of_each_system_read_alike(line: dict[str, Any], entry: tuple[Any, ...]) -> None:
    found = parse_entry(msgspec.json.encode(line))
    assert found is not None
    assert tuple(found[name] for name in ("at", "source", "priority", "pid", "text")) == entry


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[]", b'{"MESSAGE":null}', b'{"MESSAGE":{}}'])
def test_what_is_no_entry_is_left_out(line: bytes) -> None:
    assert parse_entry(line) is None


def test_lists_of_other_systems_services() -> None:
    text = "PID\tStatus\tLabel\n312\t0\tcom.example.agent\n-\t78\tcom.example.off\nbroken\n"
    found = parse_launchctl_list(text)
    assert [(one["name"], one["state"], one["detail"]) for one in found] == [
        ("com.example.agent", "running", "0"), ("com.example.off", "stopped", "78"),
    ]  # fmt: skip
    text = '"Name","DisplayName","Status","StartType"\r\n'
    text += '"Spooler","Print, Spooler","Running","Automatic"\r\n'
    assert parse_windows_services(text) == [
        {"manager": "windows", "name": "Spooler", "display": "Print, Spooler", "state": "running",
         "detail": None, "start": "Automatic"},
    ]  # fmt: skip


def test_what_is_wrong_with_a_request_is_said_without_its_value() -> None:
    with pytest.raises(RemoteError, match="mac is not as it should be") as caught:
        decode_request(b'{"tool":"wake","mac":"secret-thing"}')
    assert "secret" not in str(caught.value)
    with pytest.raises(RemoteError, match=r"no tool takes this request$"):
        decode_request(b"[]")
