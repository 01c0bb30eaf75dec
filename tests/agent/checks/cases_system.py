"""Made-up systems for the checks of disks, memory, processor, processes, start and clock."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from farhand_agent.platforms.commands import CommandTimeout, Outcome
from farhand_agent.platforms.mounts import Capacity
from tests.agent.checks.systems import DAY, NOW, Case

BOOTED = int(NOW) - 2 * DAY
STAT = f"cpu 1 2 3\nbtime {BOOTED}\n"
TICKS = os.sysconf("SC_CLK_TCK")
# A network mount is asked through a command, so it can be made up.
MOUNT = "1 0 8:1 / / rw - nfs4 server:/x rw\n"
ROOT_MOUNT = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
SYSTEMD = ("/run/systemd/system",)


def space(used: int, *, inodes_free: int = 900) -> dict[str, str | Outcome | Exception]:
    return {"stat": f"{64 * 1024**2} 100 {100 - used} {100 - used} 1000 {inodes_free}\n"}


def volume(percent: float, free: int) -> dict[str, Any]:
    return {
        "record": "volume", "mount": "C:", "used_percent": percent, "available_bytes": free,
    }  # fmt: skip


def growth(name: str, state: str, per_day: float, **changes: Any) -> Case:
    samples = [(NOW - 7 * DAY + day * DAY, 50e9 + day * per_day) for day in range(7)]
    size = Capacity(100 * 10**9, int(50e9 + 7 * per_day), int(20e9), None, None)
    return Case(
        check="disk.growth",
        state=state,
        files={"/proc/self/mountinfo": ROOT_MOUNT},
        series={"disk.growth /": samples},
        patches={"farhand_agent.checks.builtin.disk.capacity": lambda mount, run: size},
        **changes,
    )


def meminfo(available: int, swap_free: int = 100, swap: int = 100) -> dict[str, str]:
    return {
        "/proc/meminfo": f"MemTotal: 100000 kB\nMemAvailable: {available * 1000} kB\n"
        f"SwapTotal: {swap} kB\nSwapFree: {swap_free} kB\n"
    }


def pressure(full: float) -> dict[str, str]:
    return {"/proc/pressure/memory": f"some avg60=0.00\nfull avg10=0.00 avg60={full:.2f}\n"}


def edac(corrected: int, lost: int) -> dict[str, str]:
    folder = "/sys/devices/system/edac/mc/mc0"
    return {f"{folder}/ce_count": f"{corrected}\n", f"{folder}/ue_count": f"{lost}\n"}


def oom(kills: int) -> dict[str, str]:
    return {"/proc/vmstat": f"nr_free_pages 1\noom_kill {kills}\n", "/proc/stat": STAT}


def load(factor: float) -> dict[str, str]:
    return {"/proc/loadavg": f"0.00 0.00 {factor * (os.cpu_count() or 1):.2f} 1/80 99\n"}


def core(celsius: int, limit: int = 100) -> dict[str, str]:
    folder = "/sys/class/hwmon/hwmon0"
    return {
        f"{folder}/name": "coretemp\n",
        f"{folder}/temp1_input": f"{celsius * 1000}\n",
        f"{folder}/temp1_crit": f"{limit * 1000}\n",
    }


def throttled(times: int) -> dict[str, str]:
    file = "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    return {file: f"{times}\n", "/proc/stat": STAT}


def process(pid: int, name: str, state: str, used_s: float) -> dict[str, str]:
    rest = " ".join(["1"] * 10)
    line = f"{pid} ({name}) {state} {rest} {int(used_s * TICKS)} 0 0 0 20 0 1 0 5 0 0\n"
    return {f"/proc/{pid}/stat": line}


def many(state: str, count: int) -> dict[str, str]:
    return {k: v for pid in range(count) for k, v in process(100 + pid, "x", state, 1).items()}


def started(*clean: bool | None) -> dict[str, list[dict[str, Any]]]:
    """Return the starts of the last days, a day apart, the newest first."""
    days = range(22, 0, -1)
    return {
        "boot": [
            {"booted_at": f"2026-11-{day:02}T07:00:00Z", "clean": one}
            for day, one in zip(days, clean, strict=False)
        ]
    }


def analyzed(text: str) -> dict[str, str | Outcome | Exception]:
    return {
        "systemd-analyze time": f"Startup finished in 2.5s (kernel) + 10s (userspace) = {text}\n"
    }


CHRONY = "A29FC87B,192.0.2.1,4,1795308942.1,{},0.0001,0.0002,-20.1,0.0,0.03,0.01,0.001,64.2,{}\n"


def zone(target: str) -> Any:
    def prepare(root: Path) -> None:
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/localtime").symlink_to(target)

    return prepare


def units(*names: str) -> str:
    return json.dumps(
        [
            {"unit": f"{n}.service", "load": "loaded", "active": "failed", "sub": "failed"}
            for n in names
        ]
    )


def restarts(count: int) -> dict[str, str | Outcome | Exception]:
    text = f"Id=a.service\nNRestarts=0\n\nId=bad.service\nNRestarts={count}\n"
    return {"systemctl show *.service": text}


TIMERS = json.dumps(
    [{"unit": "a.timer", "activates": "a.service"}, {"unit": "b", "activates": None}]
)


def timers(result: str) -> dict[str, str | Outcome | Exception]:
    return {"systemctl list-timers": TIMERS, "systemctl show": f"Id=a.service\nResult={result}\n"}


def case(check: str, state: str, **changes: Any) -> Case:
    return Case(check=check, state=state, **changes)


CASES = [
    *(
        case("disk.space", state, files={"/proc/self/mountinfo": MOUNT}, commands=space(used),
             value=used)
        for used, state in ((80, "ok"), (85, "warning"), (94, "warning"), (95, "critical"))
    ),
    case("disk.space", "ok", files={"/proc/self/mountinfo": MOUNT},
         commands={"stat": f"{1024**3} 10000 300 300 1000 500\n"}),
    case("disk.space", "unknown", files={"/proc/self/mountinfo": MOUNT},
         commands={"stat": CommandTimeout("stat", 5)}),
    case("disk.space", "critical", platform="windows", sections={"usage": [volume(99.0, 10**9)]}),
    case("disk.space", "ok", platform="macos", sections={"usage": [volume(99.0, 10**12)]}),
    # A recovery partition is meant to be full.
    case("disk.space", "ok", platform="windows", sections={"usage": [
        volume(50.0, 10**12), volume(99.0, 10**8) | {"mount": "\\\\?\\Volume{a}"}]}),
    case("disk.space", "unsupported", platform="plan9"),
    case("disk.space", "unknown", platform="macos", sections={"usage": "timeout"}),
    *(
        case("disk.inodes", state, files={"/proc/self/mountinfo": MOUNT},
             commands=space(50, inodes_free=free))
        for free, state in ((500, "ok"), (150, "warning"), (20, "critical"))
    ),
    case("disk.inodes", "unsupported", files={"/proc/self/mountinfo": MOUNT},
         commands={"stat": "4096 100 50 50 0 0\n"}),
    case("disk.read-only", "ok", files={"/proc/self/mountinfo": ROOT_MOUNT}, value=0),
    case("disk.read-only", "critical", value=1,
         files={"/proc/self/mountinfo": "1 0 8:1 / / ro - ext4 /dev/sda1 ro\n"}),
    case("disk.read-only", "warning",
         files={"/proc/self/mountinfo": ROOT_MOUNT + "2 1 8:2 / /srv ro - ext4 /dev/sdb1 ro\n"}),
    case("disk.read-only", "ok",
         files={"/proc/self/mountinfo": ROOT_MOUNT + "2 1 11:0 / /cd ro - iso9660 /dev/sr0 ro\n"}),
    case("disk.read-only", "unknown"),
    growth("shrinks", "ok", -1e9),
    growth("slow", "ok", 0.1e9),
    growth("soon", "warning", 2e9, value=10.0),
    growth("very soon", "critical", 10e9, value=2.0),
    case("disk.growth", "unknown", files={"/proc/self/mountinfo": ROOT_MOUNT}),
    *(
        case("memory.pressure", state, files=meminfo(available) | pressure(stalled))
        for available, stalled, state in (
            (50, 0, "ok"), (15, 0, "warning"), (4, 0, "critical"), (50, 12.5, "warning"),
            (50, 40, "critical"),
        )
    ),
    case("memory.pressure", "unknown"),
    case("memory.pressure", "critical", platform="windows",
         sections={"memory": [{"total_bytes": 100}], "usage": [{"memory_available_bytes": 4}]}),
    case("memory.pressure", "unknown", platform="macos", sections={"memory": [], "usage": []}),
    *(
        case("swap.usage", state, files=meminfo(50, free, total))
        for total, free, state in (
            (0, 0, "ok"), (100, 90, "ok"), (100, 40, "warning"), (100, 5, "critical"),
        )
    ),
    case("swap.usage", "unknown"),
    case("swap.usage", "warning", platform="macos", value=60,
         sections={"memory": [{"swap_total_bytes": 100}], "usage": [{"swap_free_bytes": 40}]}),
    case("mem.ecc", "ok", files=edac(0, 0) | {"/proc/stat": STAT}),
    case("mem.ecc", "warning", files=edac(100, 0) | {"/proc/stat": STAT}, value=50),
    case("mem.ecc", "critical", files=edac(0, 1) | {"/proc/stat": STAT}),
    case("mem.ecc", "unsupported"),
    case("oom.kills", "ok", files=oom(0)),
    case("oom.kills", "ok", files=oom(30), series={"oom.kills": [(NOW - DAY / 2, 30)]}, value=0),
    # What was counted before the last start does not count.
    case("oom.kills", "warning", value=4, series={"oom.kills": [(NOW - 0.99 * DAY, 3)]},
         files={"/proc/vmstat": "oom_kill 4\n", "/proc/stat": f"btime {int(NOW - DAY / 2)}\n"}),
    case("oom.kills", "warning", files=oom(2), value=1),
    case("oom.kills", "critical", files=oom(20)),
    case("oom.kills", "unsupported"),
    case("oom.kills", "unknown", files={"/proc/vmstat": "oom_kill 1\n"}),
    *(
        case("cpu.load", state, files=load(factor))
        for factor, state in ((0.5, "ok"), (2, "warning"), (5, "critical"))
    ),
    case("cpu.load", "unknown"),
    case("cpu.temp", "ok", files=core(50), value=50),
    case("cpu.temp", "warning", files=core(88)),
    case("cpu.temp", "critical", files=core(97)),
    case("cpu.temp", "unsupported", files={"/sys/class/hwmon/hwmon0/name": "nvme\n"}),
    case("cpu.throttle", "ok", files=throttled(0)),
    case("cpu.throttle", "warning", files=throttled(100), value=50),
    case("cpu.throttle", "critical", files=throttled(20_000)),
    case("cpu.throttle", "unsupported"),
    case("cpu.microcode-vuln", "ok", value=0,
         files={"/sys/devices/system/cpu/vulnerabilities/meltdown": "Mitigation: PTI\n"}),
    case("cpu.microcode-vuln", "warning", value=1,
         files={"/sys/devices/system/cpu/vulnerabilities/mds": "Vulnerable: no microcode\n"}),
    case("cpu.microcode-vuln", "unsupported"),
    case("proc.runaway", "ok", files=process(1, "init", "S", 3)),
    case("proc.runaway", "ok",
         files=process(9, "young", "R", 10), later=process(9, "young", "R", 11)),
    case("proc.runaway", "warning", value=100,
         files=process(9, "a (b) c", "R", 900), later=process(9, "a (b) c", "R", 901)),
    case("proc.runaway", "critical", parameters={"critical_busy": 95},
         files=process(9, "wild", "R", 900), later=process(9, "wild", "R", 901)),
    case("proc.runaway", "warning", said="stuck", files=many("Z", 25)),
    case("proc.runaway", "warning", said="stuck", files=many("D", 12)),
    case("proc.runaway", "unknown"),
    *(
        case("uptime", state, files={"/proc/stat": f"cpu 1\nbtime {int(NOW) - days * DAY}\n"},
             value=days)
        for days, state in ((1, "ok"), (40, "warning"), (100, "critical"))
    ),
    case("uptime", "unknown"),
    case("uptime", "warning", platform="windows",
         sections={"usage": [{"record": "system", "booted_at": "2026-10-01T00:00:00Z"}]}),
    *(
        case("reboot.required", state, sections={"reboot": [{"required": r, "reasons": ["k"]}]})
        for r, state in ((True, "warning"), (False, "ok"), (None, "unknown"))
    ),
    case("reboot.required", "unknown", sections={"reboot": "denied"}),
    case("reboot.required", "unsupported"),
    *(
        case("boot.time", state, folders=SYSTEMD, commands=analyzed(text), value=seconds)
        for text, seconds, state in (
            ("12.5s", 12.5, "ok"), ("1min 40.2s", 100.2, "warning"), ("5min", 300, "critical"),
        )
    ),
    case("boot.time", "unsupported"),
    case("boot.time", "unknown", folders=SYSTEMD,
         commands={"systemd-analyze": Outcome(1, b"", b"Bootup is not yet finished\nmore")}),
    case("power.events", "ok", sections=started(None, True, True), value=0),
    case("power.events", "ok", sections=started(None, *[True] * 8, False)),
    case("power.events", "warning", sections=started(None, True, False), value=1),
    case("power.events", "critical", sections=started(None, *[False] * 4), value=4),
    case("power.events", "unknown", sections={"boot": []}),
    case("power.events", "unsupported"),
    *(
        case("clock.offset", state, commands={"chronyc": CHRONY.format(offset, leap)})
        for offset, leap, state in (
            ("0.000012", "Normal", "ok"), ("-2.5", "Normal", "warning"),
            ("31.0", "Normal", "critical"), ("0.0", "Not synchronised", "warning"),
        )
    ),
    case("clock.offset", "unknown", commands={
        "chronyc": Outcome(1, CHRONY.format("0.0", "Normal").encode(), b"Cannot talk to daemon"),
    }),
    case("clock.offset", "unknown", commands={
        "timedatectl show": "NTP=yes\nNTPSynchronized=yes\n",
        "timedatectl timesync-status": Outcome(1, b"  Offset: +1us\n", b"no service"),
    }),
    case("clock.offset", "warning", said="not-compared", commands={
        "timedatectl show": "NTP=no\nNTPSynchronized=no\n",
        "timedatectl timesync-status": Outcome(1, b"", b"no service"),
    }),
    case("svc.flapping", "unknown", folders=SYSTEMD, files={"/proc/stat": STAT},
         commands={"systemctl": Outcome(1, b"Id=a.service\nNRestarts=0\n", b"no bus")}),
    case("clock.offset", "critical", value=-62.5, commands={
        "timedatectl show": "NTP=yes\nNTPSynchronized=yes\n",
        "timedatectl timesync-status": "  Server: 192.0.2.1\n  Offset: -1min 2.5s\n  Delay: 1ms\n",
    }),
    case("clock.offset", "ok", commands={
        "timedatectl show": "NTP=yes\nNTPSynchronized=yes\n", "timedatectl timesync-status": "",
    }),
    case("clock.offset", "warning", said="not-compared", commands={
        "timedatectl show": "NTP=no\nNTPSynchronized=no\n", "timedatectl timesync-status": "",
    }),
    case("clock.offset", "unknown"),
    case("clock.offset", "unknown", commands={"timedatectl": Outcome(1, b"", b"not booted")}),
    case("clock.offset", "critical", platform="windows", value=60,
         sections={"time": [{"synchronised": True, "offset_ms": 60_000, "source": "w32tm"}]}),
    case("clock.offset", "warning", said="not-compared", platform="macos",
         sections={"time": [{"synchronised": False, "offset_ms": None}]}),
    case("clock.offset", "unknown", platform="macos", sections={"time": [{"timezone": "UTC"}]}),
    case("time.zone", "ok"),
    case("time.zone", "warning", prepare=zone("/usr/share/zoneinfo/No/Where")),
    case("services.failed", "ok", folders=SYSTEMD, commands={"systemctl": units()}, value=0),
    case("services.failed", "warning", folders=SYSTEMD, commands={"systemctl": units("bad")},
         value=1),
    case("services.failed", "warning", folders=SYSTEMD, commands={"systemctl": units("a", "b")}),
    case("services.failed", "critical", folders=SYSTEMD, commands={"systemctl": units("bad", "x")},
         parameters={"important": "other,bad.service"}),
    case("services.failed", "unknown", folders=SYSTEMD,
         commands={"systemctl": Outcome(1, b"", b"no bus")}),
    case("services.failed", "unsupported"),
    case("svc.flapping", "ok", folders=SYSTEMD, files={"/proc/stat": STAT}, commands=restarts(2)),
    case("svc.flapping", "warning", folders=SYSTEMD, files={"/proc/stat": STAT},
         commands=restarts(200)),
    case("svc.flapping", "critical", folders=SYSTEMD, files={"/proc/stat": STAT},
         commands=restarts(2000)),
    case("svc.flapping", "unknown", folders=SYSTEMD,
         commands={"systemctl": Outcome(1, b"", b"no")}),
    case("svc.flapping", "unsupported"),
    case("task.failed", "ok", folders=SYSTEMD, commands=timers("success"), value=0),
    case("task.failed", "ok", folders=SYSTEMD, commands={"systemctl list-timers": "[]"}),
    case("task.failed", "warning", folders=SYSTEMD, commands=timers("exit-code"), value=1),
    case("task.failed", "critical", folders=SYSTEMD, commands=timers("timeout"),
         parameters={"important": "a"}),
    case("task.failed", "unknown", folders=SYSTEMD, commands={"systemctl list-timers": "{}"}),
    case("task.failed", "unsupported"),
]  # fmt: skip
