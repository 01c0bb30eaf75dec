"""Sections about what the system does: starts, people, tasks, time, security."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from farhand_agent.inventory.collectors.linux.firmware_security import efi_flag, lockdown_mode
from farhand_agent.inventory.collectors.linux.scheduled_tasks import parse_crontab
from farhand_agent.inventory.collectors.linux.time import parse_timesync
from farhand_agent.inventory.moments import day, instant, iso_instant
from farhand_agent.inventory.programs import program_of
from farhand_agent.inventory.wtmp import parse_utmp
from farhand_agent.platforms.commands import Outcome
from tests.agent.inventory.machines import FOLDER, Machine

NOON = 1_700_000_000


def record(kind: int, at: int, *, line: str = "", user: str = "", host: str = "") -> bytes:
    """Return a record of wtmp as x86 has it (384 bytes)."""
    return struct.pack(
        "<hxxi32s4s32s256shhiii16s20s", kind, 1, line.encode(), b"", user.encode(), host.encode(),
        0, 0, 0, at, 0, b"", b"",
    )  # fmt: skip


def wide(kind: int, at: int, *, line: str = "", user: str = "", host: str = "") -> bytes:
    """Return a record of wtmp as 64-bit ARM has it (400 bytes)."""
    return struct.pack(
        "<hxxi32s4s32s256shhqqq16s20sxxxx", kind, 1, line.encode(), b"", user.encode(),
        host.encode(), 0, 0, 0, at, 0, b"", b"",
    )  # fmt: skip


WTMP = (
    record(2, NOON, line="~", user="reboot", host="6.1.0-18-amd64")
    + record(7, NOON + 60, line="pts/0", user="ann", host="192.0.2.9")
    + record(8, NOON + 120, line="pts/0")
    + record(7, NOON + 180, line="tty1", user="bob")
    + record(2, NOON + 1000, line="~", user="reboot", host="6.1.0-18-amd64")
    + record(1, NOON + 2000, line="~", user="shutdown", host="6.1.0-18-amd64")
    + record(2, NOON + 2100, line="~", user="reboot", host="6.1.0-20-amd64")
)


def test_starts_in_order_and_not(tmp_path: Path) -> None:
    now, orderly, crashed = Machine(tmp_path, {"/var/log/wtmp": WTMP}).items("boot")
    assert (now["kernel"], now["clean"], now["ended_at"]) == ("6.1.0-20-amd64", None, None)
    assert (orderly["clean"], orderly["ended_at"]) == (True, instant(NOON + 2000))
    assert (crashed["clean"], crashed["ended_at"]) == (False, None)


def test_logins_end_with_their_line_or_with_the_system(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"/var/log/wtmp": WTMP})
    bob, ann = machine.items("logins")
    assert (ann["user"], ann["origin"], ann["ended_at"]) == (
        "ann", "192.0.2.9", instant(NOON + 120),
    )  # fmt: skip
    assert (bob["terminal"], bob["ended_at"]) == ("tty1", instant(NOON + 1000))
    withheld = machine.collect("logins", personal=False).items[0]
    assert (withheld["user"], withheld["terminal"]) == ("(withheld)", "tty1")


def test_records_of_another_architecture_and_of_none() -> None:
    (one,) = parse_utmp(wide(7, NOON, user="ann", line="pts/0"))
    assert (one.user, one.at) == ("ann", NOON)
    assert parse_utmp(b"") == []
    with pytest.raises(Exception, match="wtmp"):
        parse_utmp(b"x" * 383)


@pytest.mark.parametrize("name", ["boot", "logins"])
def test_what_nobody_wrote_down_is_unsupported(tmp_path: Path, name: str) -> None:
    assert Machine(tmp_path).collect(name).status == "unsupported"


def test_logins_of_the_newer_database(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    machine = Machine(tmp_path, {"/var/lib/wtmpdb": FOLDER})
    with closing(sqlite3.connect(tmp_path / "var/lib/wtmpdb/wtmp.db")) as database, database:
        database.execute(
            "CREATE TABLE wtmp (ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT, Login INTEGER, "
            "Logout INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT)"
        )
        database.execute(
            "INSERT INTO wtmp VALUES (1, 1, 'reboot', ?, NULL, '~', '6.12.0', NULL)",
            (NOON * 10**6,),
        )
        database.execute(
            "INSERT INTO wtmp VALUES (2, 3, 'ann', ?, ?, 'pts/0', '192.0.2.9', 'sshd')",
            ((NOON + 5) * 10**6, (NOON + 9) * 10**6),
        )
    assert machine.item("boot")["kernel"] == "6.12.0"
    assert machine.item("logins")["ended_at"] == instant(NOON + 9)


def test_sessions_of_logind_and_of_utmp(tmp_path: Path) -> None:
    show = "Name=ann\nType=wayland\nTTY=tty2\nRemoteHost=\nRemote=no\nState=active\nClass=user\n"
    machine = Machine(
        tmp_path,
        {"/run/systemd/sessions/3": f"REALTIME={NOON}000000\nUSER=ann\n"},
        {
            "loginctl list-sessions": '[{"session":"3","uid":1000},{"session":"c1","uid":42}]',
            "loginctl show-session 3": show,
            "loginctl show-session c1": "Name=gdm\nClass=greeter\n",
        },
    )
    assert machine.item("sessions") == {
        "user": "ann", "kind": "wayland", "terminal": "tty2", "origin": None,
        "since": instant(NOON), "state": "active", "remote": False,
    }  # fmt: skip
    old = Machine(tmp_path / "old", {"/run/utmp": record(7, NOON, line="pts/1", user="bob",
                                                         host="192.0.2.4")})  # fmt: skip
    assert (old.item("sessions")["user"], old.item("sessions")["remote"]) == ("bob", True)
    mute = Outcome(1, b"", b"Failed to connect to bus: Host is down\n")
    off = Machine(tmp_path / "off", {"/run/systemd/sessions": FOLDER}, {"loginctl": mute})
    assert off.collect("sessions").status == "unsupported"


def test_groups(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {}, {"getent group": "docker:x:999:ann,bob\nusers:x:100:\nbad\n"})
    docker, users = machine.items("groups")
    assert (docker["administrator"], docker["members"], docker["id"]) == (
        True, ["ann", "bob"], "999",
    )  # fmt: skip
    assert users["administrator"] is False
    local = Machine(tmp_path, {"/etc/group": "users:x:100:\n"}).collect("groups")
    assert (len(local.items), local.reason) == (1, "group from the local file only")


STAT = (
    "{pid} ({name}) {state} {parent} 1 1 0 -1 4194560 100 0 0 0 10 5 0 0 20 0 3 0 {ticks} "
    "1000000 250 18446744073709551615 1 1 0 0\n"
)


def test_processes_have_names_and_no_arguments(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/passwd": "ann:x:1000:1000::/home/ann:/bin/sh\n",
            "/proc/stat": f"cpu 1\nbtime {NOON}\n",
            "/proc/2/stat": STAT.format(pid=2, name="kthreadd", state="S", parent=0, ticks=0),
            "/proc/9/stat": STAT.format(pid=9, name="kworker", state="I", parent=2, ticks=0),
            "/proc/77/stat": STAT.format(pid=77, name="a) b (c", state="Z", parent=1, ticks=100),
            "/proc/77/status": "Name:\tx\nUid:\t1000\t1000\t1000\t1000\n",
            "/proc/77/cmdline": "mysql\0--password=secret\0",
            "/proc/77/environ": "TOKEN=secret\0",
        },
    )
    item = machine.item("processes")
    assert (item["name"], item["state"], item["user"], item["threads"]) == (
        "a) b (c", "zombie", "ann", 3,
    )  # fmt: skip
    assert item["started_at"] == instant(NOON + 1)
    assert "secret" not in json.dumps(item)


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("/usr/bin/backup --password=secret", "/usr/bin/backup"),
        ("TOKEN=secret nice /opt/run.sh", "/opt/run.sh"),
        ("'/opt/my tool/run' x", "/opt/my tool/run"),
        ("cd / && run-parts /etc/cron.hourly", "cd"),
        ("[ -x /bin/x ] || exit 0", "-x"),
        ("$(curl http://ann:secret@x)", None),
        ("", None),
    ],
)
def test_a_line_is_told_by_its_program_alone(line: str, program: str | None) -> None:
    found = program_of(line)
    assert found == program or (program == "-x" and found is not None)
    assert "secret" not in (found or "")


CRONTAB = """SHELL=/bin/sh
MAILTO=ann@example.org
# m h dom mon dow user command
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
@reboot backup PGPASSWORD=secret /usr/bin/pg_dump -h db
not a line
"""
TIMERS = """Id=apt-daily.timer
Unit=apt-daily.service
LoadState=loaded
ActiveState=active
TimersCalendar={ OnCalendar=*-*-* 06,18:00:00 ; next_elapse=Sun 2026-11-22 18:00:00 UTC }
TimersMonotonic=

Id=gone.timer
Unit=gone.service
LoadState=not-found
ActiveState=inactive

Id=fstrim.timer
Unit=fstrim.service
LoadState=loaded
ActiveState=inactive
TimersMonotonic={ OnBootUSec=15min ; next_elapse=15min }
"""


def test_tasks_of_every_clock(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/crontab": CRONTAB,
            "/etc/cron.d/backup": "5 4 * * sun ann /opt/backup --key secret\n",
            "/etc/cron.d/backup.dpkg-old": "* * * * * root /bin/old\n",
            "/etc/cron.daily/man-db": "#!/bin/sh\n",
            "/etc/anacrontab": "1\t5\tcron.daily\trun-parts /etc/cron.daily\n@monthly 9 m /bin/m\n",
            "/var/spool/cron/crontabs/ann": "*/5 * * * * /home/ann/poll secret\n",
            "/var/spool/cron/atjobs/a0000101b2c3d4": "#!/bin/sh\n",
            "/run/systemd/system": FOLDER,
        },
        {"systemctl show": TIMERS},
    )
    items = machine.items("scheduled_tasks")
    found = [(one["source"], one["schedule"], one["program"]) for one in items]
    assert found == [
        ("cron", "17 *\t* * *", "cd"),
        ("cron", "@reboot", "/usr/bin/pg_dump"),
        ("cron", "5 4 * * sun", "/opt/backup"),
        ("cron", "daily", "/etc/cron.daily/man-db"),
        ("anacron", "every 1 days", "run-parts"),
        ("anacron", "@monthly", "/bin/m"),
        ("cron", "*/5 * * * *", "/home/ann/poll"),
        ("at", instant(0x01B2C3D4 * 60), None),
        ("timer", "*-*-* 06,18:00:00", "apt-daily.service"),
        ("timer", "OnBoot 15min", "fstrim.service"),
    ]
    assert [one["enabled"] for one in items[-2:]] == [True, False]
    assert items[6]["user"] == "ann"
    assert "secret" not in json.dumps(items)


def test_a_crontab_of_a_user_has_no_field_for_one() -> None:
    (item,) = parse_crontab("0 5 * * * root-tool --x\n", "crontab", "ann")
    assert (item["user"], item["program"]) == ("ann", "root-tool")


def test_startup_of_machine_and_people(tmp_path: Path) -> None:
    entry = "[Desktop Entry]\nName={}\nExec={}\n{}[Other]\nName=no\n"
    machine = Machine(
        tmp_path,
        {
            "/etc/passwd": "ann:x:1000:1000::/home/ann:/bin/sh\nsys:x:3:3::/dev:/bin/no\n",
            "/etc/xdg/autostart/a.desktop": entry.format("Agent", "/usr/bin/agent --token s", ""),
            "/home/ann/.config/autostart/b.desktop": entry.format("Sync", "sync", "Hidden=true\n"),
            "/etc/rc.local": "#!/bin/sh\n",
            "/etc/profile.d/x.sh": "",
            "/etc/profile.d/x.csh": "",
        },
    )
    agent, sync, rc_local, profile = machine.items("startup")
    assert (agent["program"], agent["scope"], agent["enabled"]) == (
        "/usr/bin/agent",
        "machine",
        True,
    )
    assert (sync["user"], sync["scope"], sync["enabled"]) == ("ann", "user", False)
    assert (rc_local["enabled"], profile["source"]) == (False, "profile")


def test_locale(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/default/locale": 'LANG="de_DE.UTF-8"\n',
            "/etc/default/keyboard": 'XKBMODEL="pc105"\nXKBLAYOUT="de"\n',
            "/etc/timezone": "Europe/Berlin\n",
        },
    )
    assert machine.item("locale") == {
        "language": "de_DE.UTF-8", "timezone": "Europe/Berlin", "keyboard_layout": "de",
        "keyboard_model": "pc105",
    }  # fmt: skip


TIMESYNC = """       Server: 192.0.2.123 (ntp.example.org)
      Version: 4
      Stratum: 2
       Offset: +2.5ms
"""
TRACKING = (
    "C0000202,ntp.example.org,3,1700000000.1,-0.000250000,0.0001,0.0002,-12.3,0.01,0.02,0.003,"
    "0.0004,64.2,Normal\n"
)
NTPQ = """     remote           refid      st t when poll reach   delay   offset  jitter
==============================================================================
-192.0.2.8       .GPS.            1 u   64   64  377    0.500   +9.000   0.100
*192.0.2.7       .PPS.            1 u   64   64  377    0.500   -1.500   0.100
"""


@pytest.mark.parametrize(
    ("files", "commands", "expected"),
    [
        (
            {"/run/systemd/system": FOLDER, "/run/systemd/timesync": FOLDER},
            {"timedatectl show": "NTP=yes\nNTPSynchronized=yes\n",
             "timedatectl timesync-status": TIMESYNC},
            ("systemd-timesyncd: 192.0.2.123 (ntp.example.org)", 2, -2.5, True),
        ),
        ({}, {"chronyc": TRACKING}, ("chrony: ntp.example.org", 3, 0.25, True)),
        ({}, {"ntpq": NTPQ}, ("ntpd: 192.0.2.7", 1, 1.5, True)),
    ],
)  # fmt: skip
def test_time_by_whoever_keeps_it(
    tmp_path: Path, files: dict[str, str], commands: dict[str, str],
    expected: tuple[str, int, float, bool],
) -> None:  # fmt: skip
    item = Machine(tmp_path, files, commands).item("time")
    assert (item["source"], item["stratum"], item["offset_ms"], item["synchronised"]) == expected


def test_time_that_nobody_keeps(tmp_path: Path) -> None:
    assert Machine(tmp_path).collect("time").status == "unsupported"
    away = Machine(tmp_path, {}, {"chronyc": Outcome(1, b"", b"506 Cannot talk to daemon\n")})
    assert away.collect("time").status == "unsupported"
    assert parse_timesync("Offset: -1min 2s")["offset_ms"] > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("04/11/2026", "2026-04-11"), ("", None), ("13/45/2026", None)],
)
def test_days(text: str, expected: str | None) -> None:
    assert day(text, "%m/%d/%Y") == expected


def test_moments_that_no_calendar_holds() -> None:
    assert [instant(one) for one in (None, 0, -5, 1e18)] == [None] * 4
    assert iso_instant("2026-11-22T07:00:00+01:00") == "2026-11-22T06:00:00Z"
    assert [iso_instant(one) for one in ("2026-11-22 07:00:00", "x", None)] == [None] * 3


def test_firmware_security(tmp_path: Path) -> None:
    efi = "/sys/firmware/efi/efivars"
    guid = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
    machine = Machine(
        tmp_path,
        {
            "/sys/class/net": FOLDER,
            f"{efi}/SecureBoot-{guid}": b"\x06\0\0\0\x01",
            f"{efi}/SetupMode-{guid}": b"\x06\0\0\0\x00",
            "/sys/class/tpm/tpm0/tpm_version_major": "2\n",
            "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
        },
    )
    item = machine.item("firmware_security")
    assert (item["secure_boot"], item["setup_mode"], item["lockdown"]) == (True, False, "integrity")
    assert (item["tpm"], item["tpm_version"]) == (True, "2.0")
    old = Machine(tmp_path / "old", {"/sys/class/net": FOLDER}).item("firmware_security")
    assert (old["secure_boot"], old["tpm"]) == (None, False)
    assert (efi_flag(b"\x01"), lockdown_mode(None)) == (None, None)


def test_hardening(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/proc/sys/kernel/randomize_va_space": "2\n",
            "/proc/sys/net/ipv4/ip_forward": "0\n",
            "/sys/fs/selinux/enforce": "1",
            "/sys/module/apparmor/parameters/enabled": "Y\n",
            "/sys/kernel/security/apparmor/profiles": "/usr/bin/man (enforce)\nfoo (complain)\n",
            "/etc/login.defs": "# x\nPASS_MAX_DAYS\t99999\nUMASK 022\n",
        },
    )
    found = {one["name"]: one["value"] for one in machine.items("hardening")}
    assert found["kernel.randomize_va_space"] == "2"
    assert found["kernel.kptr_restrict"] is None
    assert (found["selinux"], found["apparmor"], found["apparmor.enforce"]) == (
        "enforcing", "on", "1",
    )  # fmt: skip
    assert found["login.PASS_MAX_DAYS"] == "99999"


def test_reboot_and_replaced_libraries(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/run/reboot-required": "",
            "/run/reboot-required.pkgs": "linux-image-6.1.0-20-amd64\n",
            "/proc/12/maps": "7f00-7f01 r-xp 0 08:01 1  /usr/lib/x86_64/libssl.so.3 (deleted)\n",
            "/proc/12/comm": "nginx\n",
            "/proc/13/maps": "7f00-7f01 rw-s 0 00:01 1  /dev/shm/x (deleted)\n",
        },
    )
    item = machine.item("reboot")
    assert item["required"] is True
    assert item["reasons"] == [
        "linux-image-6.1.0-20-amd64",
        "nginx runs with libraries that were replaced",
    ]


def test_crashes(tmp_path: Path) -> None:
    core = f"core.firefox.1000.{'a' * 32}.4711.{NOON}000000.zst"
    listed = json.dumps(
        [{"time": NOON * 1_000_000, "pid": 9, "sig": 11, "exe": "/usr/bin/gedit", "size": 77}]
    )
    files = {
        f"/var/lib/systemd/coredump/{core}": "x",
        "/var/crash/_usr_bin_totem.1000.crash": "x",
        "/var/crash/202611220700/dmesg": "x",
        "/sys/fs/pstore/dmesg-efi-1": "x",
    }
    machine = Machine(tmp_path, files, {"coredumpctl": listed})
    kinds = {one["program"]: one for one in machine.items("crashes")}
    assert (kinds["gedit"]["signal"], kinds["gedit"]["at"]) == ("SIGSEGV", instant(NOON))
    assert "firefox" not in kinds  # coredumpctl knows those better
    assert kinds["totem"]["kind"] == "program"
    assert sum(one["kind"] == "kernel" for one in machine.items("crashes")) == 2
    without = Machine(tmp_path, {}, {}).items("crashes")
    assert "firefox" in {one["program"] for one in without}


def test_errors_are_counted_and_never_told(tmp_path: Path) -> None:
    lines = [
        {
            "_SYSTEMD_UNIT": "nginx.service",
            "PRIORITY": "3",
            "__REALTIME_TIMESTAMP": f"{NOON}000000",
        },
        {"_SYSTEMD_UNIT": "nginx.service", "PRIORITY": "2", "__REALTIME_TIMESTAMP": "1"},
        {"SYSLOG_IDENTIFIER": "kernel", "PRIORITY": "3", "MESSAGE": "secret"},
    ]
    text = "\n".join(json.dumps(one) for one in lines) + '\n{"cut'
    journal = {"/var/log/journal/0a1b/system.journal": "x"}
    machine = Machine(tmp_path, journal, {"journalctl": text})
    nginx, kernel = machine.items("log_summary")
    assert (nginx["errors"], nginx["critical"], nginx["last_at"]) == (1, 1, instant(NOON))
    assert (kernel["source"], kernel["errors"]) == ("kernel", 1)
    assert "secret" not in json.dumps(machine.items("log_summary"))
    none = Outcome(1, b"", b"No journal files were found.\n")
    empty = Machine(tmp_path, {}, {"journalctl": none})
    assert empty.collect("log_summary").status == "unsupported"
    bare = Machine(tmp_path / "none", {"/run/log/journal/0a1b": FOLDER}, {"journalctl": ""})
    assert bare.collect("log_summary").status == "unsupported"
