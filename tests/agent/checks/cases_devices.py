"""Made-up systems for the checks of drives, devices, printing, logs, programs and updates."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from farhand_agent.platforms.commands import CommandTimeout, Outcome
from farhand_protocol.instants import format_instant, from_unix
from tests.agent.checks.systems import DAY, NOW, Case, found, update

HOUR = 3600
CONNECT = "farhand_agent.checks.builtin.programs.connect"


def case(check: str, state: str, **changes: Any) -> Case:
    return Case(check=check, state=state, **changes)


def local(seconds_ago: float, form: str) -> str:
    """Return an instant as tools write it: this machine's local time."""
    return datetime.fromtimestamp(NOW - seconds_ago).strftime(form)


def drive(**changes: Any) -> dict[str, list[dict[str, Any]]]:
    well = {
        "name": "sda", "serial": "X", "passed": True, "temperature_celsius": 35, "wear_percent": 5,
        "spare_percent": 100, "media_errors": 0, "reallocated_sectors": 0, "failing": [],
    }  # fmt: skip
    return {"disk_health": [well | changes]}


def diskstats(done: int, waited: int) -> dict[str, str]:
    return {
        "/proc/diskstats": f"8 0 sda {done} 0 0 {waited} 0 0 0 0 0 500 0 0 0 0\n"
        "8 1 sda1 9 0 0 9 0 0 0 0 0 9 0\n7 0 loop0 1 0 0 9 0 0 0 0 0 9 0\n"
    }


def array(state: str, failed: int = 0) -> dict[str, list[dict[str, Any]]]:
    return {"raid": [{"name": "md0", "level": "raid1", "state": state, "failed": failed}]}


def btrfs(corrupted: int, read: int) -> dict[str, str]:
    text = f"write_errs 0\nread_errs {read}\nflush_errs 0\ncorruption_errs {corrupted}\n"
    return {"/sys/fs/btrfs/0123-4567/devinfo/1/error_stats": text}


def battery(health: float | None, cycles: int | None = 100) -> dict[str, list[dict[str, Any]]]:
    return {"batteries": [{"name": "BAT0", "health_percent": health, "cycles": cycles}]}


def broken(name: str, **changes: Any) -> dict[str, list[dict[str, Any]]]:
    return {"drivers": [{"bus": "pci", "name": name, "problem": "no driver"} | changes]}


def nvidia(heat: str, log: str = "") -> dict[str, str | Outcome | Exception]:
    return {"nvidia-smi": f"NVIDIA T4, {heat}\n", "journalctl": log}


def queue(**changes: Any) -> dict[str, list[dict[str, Any]]]:
    return {"printers": [{"name": "Office", "state": "idle", "accepting": True} | changes]}


def job(seconds_ago: float) -> dict[str, str | Outcome | Exception]:
    return {"lpstat -o": f"Office-12  ada  1024   {local(seconds_ago, '%a %b %d %H:%M:%S %Y')}\n"}


def call_device(chassis: str, sound: int, camera: int) -> dict[str, Any]:
    return {
        "system": [{"chassis": chassis}],
        "sound": [{"name": "s"}] * sound,
        "cameras": [{"name": "c"}] * camera,
    }


def logged(errors: int) -> dict[str, Any]:
    return {"log_summary": [{"source": "x.service", "hours": 24, "critical": 0, "errors": errors}]}


WEEK = {"log.errors": [(NOW - 7 * DAY + hour * HOUR, 20.0) for hour in range(160)]}


def crashed(hours_ago: float, *, kind: str = "program", times: int = 1) -> dict[str, Any]:
    at = format_instant(from_unix(int(NOW - hours_ago * HOUR)))
    return {"crashes": [{"at": at, "kind": kind, "program": "editor"}] * times}


SOFTWARE: dict[str, Any] = {
    "software": [
        {"name": "firefox", "version": "139.0.1-1~deb12u1"},
        {"name": "openssl", "version": "3.0.17-1~deb12u2"},
    ]
}


def docker(*states: str, status: str = "Up 2 hours") -> dict[str, str | Outcome | Exception]:
    rows = [
        json.dumps({"Names": f"web{n}", "State": s, "Status": status}) for n, s in enumerate(states)
    ]
    return {"docker": "WARNING: something\n" + "\n".join(rows)}


def docker_says(words: str) -> dict[str, str | Outcome | Exception]:
    return {"docker": Outcome(1, b"", words.encode())}


APT_LOG = (
    "\nStart-Date: 2026-01-01  00:00:00\nInstall: x:amd64 (1)\nEnd-Date: 2026-01-01  00:00:01\n"
    "\nStart-Date: {at}\nCommandline: apt-get upgrade\nUpgrade: a:amd64 (1, 2)\nEnd-Date: {at}\n"
)


def upgraded(days_ago: float) -> dict[str, str]:
    at = local(days_ago * DAY, "%Y-%m-%d  %H:%M:%S")
    return {"/var/log/apt/history.log": APT_LOG.format(at=at)}


def rotated(root: Path) -> None:
    folder = root / "var/log/apt"
    folder.mkdir(parents=True)
    (folder / "history.log").write_text("")
    text = APT_LOG.format(at=local(20 * DAY, "%Y-%m-%d  %H:%M:%S"))
    (folder / "history.log.1.gz").write_bytes(gzip.compress(text.encode()))


def damaged(root: Path) -> None:
    folder = root / "var/log/apt"
    folder.mkdir(parents=True)
    (folder / "history.log.1.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])


AUDIT = (
    "The following packages are only half configured, probably due to problems\n"
    "configuring them the first time.\n libfoo1   the foo library\n\n"
)


def release(name: str, version: str) -> dict[str, Any]:
    return {"os": [{"id": name, "version": version, "pretty_name": f"{name} {version}"}]}


CASES = [
    case("disk.smart", "ok", sections=drive(), value=5),
    case("disk.smart", "ok", sections=drive(wear_percent=None)),
    case("disk.smart", "warning", sections=drive(wear_percent=85)),
    case("disk.smart", "warning", sections=drive(reallocated_sectors=3)),
    case("disk.smart", "critical", sections=drive(wear_percent=97)),
    case("disk.smart", "critical", sections=drive(spare_percent=5)),
    case("disk.smart", "critical", sections=drive(passed=False)),
    case("disk.smart", "critical", sections=drive(failing=["Reallocated_Sector_Ct"])),
    case("disk.smart", "critical", sections=drive(uncorrectable_sectors=1), platform="windows"),
    case("disk.smart", "unsupported", sections={"disk_health": [{"name": "vda"}]}),
    case("disk.smart", "unknown", sections={"disk_health": "denied"}),
    case("disk.temp", "ok", sections=drive(), value=35),
    case("disk.temp", "warning", sections=drive(temperature_celsius=58)),
    case("disk.temp", "ok", sections=drive(name="nvme0n1", temperature_celsius=58)),
    case("disk.temp", "critical", sections=drive(name="nvme0n1", temperature_celsius=84)),
    case("disk.temp", "unsupported", sections=drive(temperature_celsius=0)),
    case("disk.io", "ok", files=diskstats(100, 100), later=diskstats(110, 120), value=2),
    case("disk.io", "ok", files=diskstats(100, 100), later=diskstats(100, 100), value=0),
    case("disk.io", "warning", files=diskstats(100, 100), later=diskstats(110, 900)),
    case("disk.io", "critical", files=diskstats(100, 100), later=diskstats(110, 9000)),
    case("disk.io", "unsupported"),
    case("raid.state", "ok", sections=array("clean"), value=0),
    case("raid.state", "warning", sections=array("recovering 12 %")),
    case("raid.state", "critical", sections=array("clean, degraded", 1), value=1),
    case("raid.state", "critical", sections=array("Failed Redundancy"), platform="windows"),
    case("raid.state", "unknown", sections=array("unknown"), platform="windows"),
    case("raid.state", "unsupported", sections={"raid": []}),
    case("fs.errors", "ok", files={"/sys/fs/ext4/sda1/errors_count": "0\n"}, value=0),
    case("fs.errors", "warning", files={"/sys/fs/ext4/sda1/errors_count": "3\n"}, value=3),
    case("fs.errors", "warning", files=btrfs(0, 2)),
    case("fs.errors", "critical", files=btrfs(4, 0)),
    case("fs.errors", "unsupported", files={"/sys/fs/ext4/features/x": ""}),
    case("battery.health", "ok", sections=battery(96)),
    case("battery.health", "warning", sections=battery(70), value=70),
    case("battery.health", "warning", sections=battery(96, 900)),
    case("battery.health", "critical", sections=battery(40), platform="macos"),
    case("battery.health", "unknown", sections=battery(None)),
    case("battery.health", "unsupported", sections={"batteries": []}),
    case("dev.driver-errors", "ok", sections={"drivers": []}, value=0),
    case("dev.driver-errors", "ok", sections=broken("nvidia", bus="module")),
    case("dev.driver-errors", "ok", sections=broken("Camera", problem_code=22), platform="windows"),
    case("dev.driver-errors", "warning", sections=broken("Fingerprint reader"), value=1),
    case("dev.driver-errors", "critical", sections=broken("Ethernet controller")),
    case("dev.driver-errors", "unsupported", platform="macos"),
    case("gpu.health", "ok", commands=nvidia("60"), value=60),
    case("gpu.health", "ok", commands=nvidia("[N/A]")),
    case("gpu.health", "warning", commands=nvidia("90")),
    case("gpu.health", "warning", commands=nvidia("60", "NVRM: Xid (PCI:0000:01:00): 13, x\n")),
    case("gpu.health", "critical", commands=nvidia("60", "NVRM: Xid (PCI:0000:01:00): 79, x\n")),
    case("gpu.health", "unknown", commands={"nvidia-smi": Outcome(4, b"", b"no permission")}),
    case("gpu.health", "unknown",
         commands=nvidia("60") | {"journalctl": Outcome(1, b"", b"not opened")}),
    case("gpu.health", "critical",
         commands={"nvidia-smi": Outcome(9, b"NVIDIA-SMI has failed because\nx", b"")}),
    case("gpu.health", "critical", files={
        "/sys/class/hwmon/hwmon3/name": "amdgpu\n",
        "/sys/class/hwmon/hwmon3/temp1_input": "99000\n"}),
    case("gpu.health", "unsupported"),
    case("print.queue", "ok", sections=queue(), commands={"lpstat -o": ""}, value=0),
    case("print.queue", "ok", sections=queue(state="offline"), commands=job(60)),
    case("print.queue", "unknown", sections=queue(),
         commands={"lpstat -o": Outcome(1, b"", b"lpstat: Bad file descriptor")}),
    case("print.queue", "unknown", sections=queue(), commands={"lpstat -o": "Office-12  ada\n"}),
    case("virt.docker", "unknown", commands=docker_says("unknown flag: --format\n")),
    case("virt.docker", "unknown", commands={"docker": '{"Names": "web\n'}),
    case("print.queue", "warning", sections=queue(), commands=job(4000), value=1),
    case("print.queue", "critical", sections=queue(state="stopped"), value=1),
    case("print.queue", "critical", sections=queue(accepting=False), platform="windows"),
    case("print.queue", "unsupported", sections={"printers": []}),
    case("audio.video", "ok", sections=call_device("laptop", 1, 1)),
    case("audio.video", "ok", sections=call_device("desktop", 1, 0)),
    case("audio.video", "warning", said="no-sound", sections=call_device("Notebook", 0, 1)),
    case("audio.video", "warning", said="no-camera", sections=call_device("laptop", 1, 0)),
    case("audio.video", "warning", said="no-sound-camera", sections=call_device("laptop", 0, 0)),
    case("audio.video", "warning", said="no-sound-camera",
         sections={"system": [{"chassis": "laptop"}]}),
    case("audio.video", "unsupported", sections=call_device("server", 0, 0)),
    case("log.errors", "ok", sections=logged(0), value=0),
    case("log.errors", "ok", sections=logged(30), series=WEEK),
    case("log.errors", "warning", sections=logged(200), series=WEEK, value=10),
    case("log.errors", "critical", sections=logged(2000), series=WEEK),
    case("log.errors", "unknown", sections=logged(30)),
    case("crash.apps", "ok", sections=crashed(30)),
    case("crash.apps", "warning", sections=crashed(2), value=1),
    case("crash.apps", "critical", sections=crashed(2, times=6)),
    case("crash.apps", "critical", said="system", sections=crashed(2, kind="kernel")),
    case("crash.apps", "unknown", sections={"crashes": [{"at": None, "kind": "kernel"}]}),
    case("crash.apps", "critical",
         sections={"crashes": [*crashed(2, times=6)["crashes"], {"at": "once", "kind": "x"}]}),
    case("app.version", "ok", sections=SOFTWARE, parameters={"required": "openssl>=3.0.17"}),
    case("app.version", "warning", sections=SOFTWARE, value=1,
         parameters={"required": "firefox >= 140, openssl>=3.0.17"}),
    case("app.version", "unknown", sections=SOFTWARE, parameters={"required": "firefox"}),
    case("app.version", "unsupported", sections=SOFTWARE),
    case("mail.client", "ok", parameters={"servers": "imap.example.org:993"},
         patches={CONNECT: lambda host, port: (5.0, "")}),
    case("mail.client", "warning", parameters={"servers": "a.example.org:993,b.example.org:587"},
         patches={CONNECT: lambda host, port: (0.0, "no answer" if port == 587 else "")}),
    case("mail.client", "critical", parameters={"servers": "imap.example.org:993"},
         patches={CONNECT: lambda host, port: (0.0, "no answer")}),
    case("mail.client", "unknown", parameters={"servers": "imap.example.org"}),
    case("mail.client", "unsupported"),
    case("virt.docker", "ok", commands=docker("running", "exited"), value=0),
    case("virt.docker", "warning", commands=docker("running", "restarting"), value=1),
    case("virt.docker", "warning", commands=docker("running", status="Up 2 hours (unhealthy)")),
    case("virt.docker", "critical", commands=docker_says("Cannot connect to the Docker daemon\n")),
    case("virt.docker", "critical", commands=docker_says(
        "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is "
        "correct and if the daemon is running: dial unix: no such file\n")),
    case("virt.docker", "unknown", commands=docker_says("permission denied while trying\n")),
    case("virt.docker", "unknown", commands=docker_says(
        f"failed to connect to the docker API at unix://{'/run' * 40}: permission denied\n")),
    case("virt.docker", "unknown", commands={"docker": CommandTimeout("docker", 20)}),
    case("virt.docker", "unsupported"),
    case("updates.security", "unsupported"),
    case("updates.security", "ok", lists=[found()], value=0),
    case("updates.security", "ok", lists=[found([update("a", "bugfix")])], value=0),
    case("updates.security", "critical", lists=[found([update("a", "security")])], value=1),
    case("updates.security", "warning", lists=[found([update("a", "security", held=True)])],
         value=1),
    case("updates.security", "unknown", lists=[found([update("a")], security_labelled=False)]),
    case("updates.security", "unknown", lists=[found(status="denied", reason="x")]),
    case("updates.security", "unknown",
         lists=[found(), found(provider="dnf", security_labelled=False)]),
    # What brings programs and carries no labels hides nothing of the system's.
    case("updates.security", "ok",
         lists=[found(), found(provider="snap", security_labelled=False)]),
    case("updates.security", "unknown", lists=[found(provider="snap", security_labelled=False)]),
    case("updates.security", "unsupported", lists=[found(provider="pip")]),
    case("updates.pending", "unsupported"),
    case("updates.pending", "ok", lists=[found(), found([update("a")], provider="npm")], value=0),
    case("updates.pending", "ok", lists=[found()], value=0),
    case("updates.pending", "warning", value=1, lists=[found([
        update("a"), update("b", held=True), update("c", phased=True),
        update("d", kept_back=True)])]),
    case("updates.pending", "critical", lists=[found([update("a")])],
         parameters={"critical_count": 1}),
    case("updates.pending", "unknown",
         lists=[found(), found(provider="dnf", status="error", reason="x")]),
    case("updates.pending", "unknown", lists=[found(status="error", reason="x")]),
    case("updates.refreshed", "unsupported"),
    case("updates.refreshed", "ok", lists=[found()]),
    case("updates.refreshed", "warning", lists=[found(refreshed_at="2026-11-15T00:00:00Z")]),
    case("updates.refreshed", "critical", lists=[found(refreshed_at="2020-01-01T00:00:00Z")]),
    case("updates.refreshed", "unknown", lists=[found(refreshed_at=None)]),
    case("packages.health", "ok", commands={"dpkg": ""}, value=0),
    case("packages.health", "critical", commands={"dpkg": AUDIT}, value=1),
    case("packages.health", "unknown", commands={"dpkg": Outcome(2, b"", b"dpkg: error: locked")}),
    case("packages.health", "unsupported"),
    case("packages.health", "ok", folders=["/var/lib/rpm"], commands={"rpmdb": ""}),
    case("packages.health", "critical", folders=["/var/lib/rpm"],
         commands={"rpmdb": Outcome(1, b"", b"BDB0060 PANIC: fatal region error\n")}),
    case("packages.health", "unknown", folders=["/var/lib/rpm"],
         commands={"rpmdb": Outcome(1, b"", b"cannot open: Permission denied\n")}),
    case("patch.age", "ok", files=upgraded(2)),
    case("patch.age", "warning", files=upgraded(20), value=20),
    case("patch.age", "warning", prepare=rotated, value=20),
    case("patch.age", "critical", files=upgraded(90)),
    case("patch.age", "critical", files={
        "/var/log/pacman.log": "[2026-01-01T10:00:00+0000] [ALPM] upgraded a (1 -> 2)\n"}),
    case("patch.age", "ok", folders=["/var/lib/rpm"],
         commands={"rpm": f"{int(NOW) - DAY}\n1500000000\n"}, value=1),
    case("patch.age", "unknown"),
    case("patch.age", "unknown", prepare=damaged),
    case("os.eol", "ok", sections=release("debian", "12"), value=586),
    case("os.eol", "ok", sections=release("arch", "")),
    case("os.eol", "warning", sections=release("ubuntu", "22.04.5"), value=159),
    case("os.eol", "critical", sections=release("debian", "10.13")),
    case("os.eol", "critical", sections=release("windows", "10.0.19045"), platform="windows"),
    # The same build: its end depends on the edition.
    *(
        case("os.eol", state, platform="windows", sections={"os": [
            {"id": "windows", "version": "10.0.26100", "pretty_name": f"Windows {edition}"}]})
        for edition, state in (("11 Pro", "critical"), ("11 Enterprise", "ok"), ("Server", "ok"))
    ),
    case("os.eol", "unknown", sections=release("beos", "5")),
    case("os.eol", "warning", sections=release("fedora", "99"),
         files={"/etc/os-release": 'ID=fedora\nSUPPORT_END="2027-01-01"\n'}),
    case("os.eol", "unknown", sections=release("fedora", "99"),
         files={"/etc/os-release": "SUPPORT_END=2027-99-99\n"}),
]  # fmt: skip
