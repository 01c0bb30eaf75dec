"""Made-up systems for the checks of protection, accounts, backups, domain and the agent itself."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farhand_agent.platforms.commands import Outcome
from farhand_protocol.instants import format_instant, from_unix
from tests.agent.checks.systems import DAY, NOW, Case


def case(check: str, state: str, **changes: Any) -> Case:
    return Case(check=check, state=state, **changes)


def product(**changes: Any) -> dict[str, Any]:
    return {
        "antivirus": [
            {
                "name": "ClamAV", "enabled": True, "up_to_date": None, "definitions_on": None,
            } | changes
        ]
    }  # fmt: skip


def filtering(**changes: Any) -> dict[str, Any]:
    return {
        "name": "nftables", "enabled": True, "default_inbound": "drop", "rules": 5,
    } | changes  # fmt: skip


def disk(encrypted: bool | None, chassis: str = "desktop", **changes: Any) -> dict[str, Any]:
    volume = {
        "mount": "/", "encrypted": encrypted, "method": "luks2" if encrypted else None,
        "state": "open" if encrypted else None,
    }  # fmt: skip
    return {"disk_encryption": [volume | changes], "system": [{"chassis": chassis}]}


def firmware(**changes: Any) -> dict[str, Any]:
    return {
        "firmware_security": [
            {"secure_boot": True, "setup_mode": False, "tpm": True, "tpm_version": "2.0"} | changes
        ]
    }


def hardening(**settings: str) -> dict[str, Any]:
    return {"hardening": [{"name": name, "value": value} for name, value in settings.items()]}


def user(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "uid": 1000, "home": f"/home/{name}", "interactive": True,
        "administrator": False, "password": "set",
    } | changes  # fmt: skip


def users(*known: dict[str, Any]) -> dict[str, Any]:
    return {"users": list(known)}


def way_in(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "remote_access": [
            {
                "name": name, "enabled": True, "running": True, "ports": [22],
                "root_login": None, "password_login": False,
            } | changes
        ]
    }  # fmt: skip


DESKTOP = {"/usr/share/xsessions/plasma.desktop": ""}


def kde(text: str) -> dict[str, str]:
    return DESKTOP | {"/home/ada/.config/kscreenlockerrc": f"[Daemon]\n{text}\n"}


def gnome(text: str) -> dict[str, str]:
    return DESKTOP | {"/etc/dconf/db/local.d/00-lock": text}


def owned(uid: int) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        (root / "home/ada").mkdir(parents=True)
        os.chown(root / "home/ada", uid, -1)

    return prepare


ME = max(1000, os.getuid())


def marker(days: float) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        path = root / "backup/done"
        path.parent.mkdir()
        path.write_text("")
        os.utime(path, (NOW - days * DAY, NOW - days * DAY))

    return prepare


def timeshift(days: float) -> list[str]:
    name = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(NOW - days * DAY))
    return [f"/timeshift/snapshots/{name}"]


def restic(root: Path) -> None:
    folder = root / "home/ada/.cache/restic/abc/snapshots"
    folder.mkdir(parents=True)
    os.utime(folder, (NOW - 5 * DAY, NOW - 5 * DAY))


def time_machine(days: float) -> dict[str, str | Outcome | Exception]:
    name = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(NOW - days * DAY))
    return {"tmutil": f"/Volumes/Backup/Backups.backupdb/Mac/{name}.backup\n"}


REALM = "example.org\n  type: kerberos\n  realm-name: EXAMPLE.ORG\n  configured: kerberos-member\n"


def joined(outcome: Outcome | str | None) -> dict[str, str | Outcome | Exception]:
    commands: dict[str, str | Outcome | Exception] = {"realm": REALM}
    return commands if outcome is None else commands | {"adcli": outcome}


def trust(days: float, *, revoked: bool = False) -> dict[str, str]:
    at = format_instant(from_unix(int(NOW + days * DAY)))
    listed = [{"kind": "device", "subject": "d-me"}] if revoked else []
    document = {
        "root_expires": "2036-01-01T00:00:00Z", "targets_expires": at,
        "revocations": {"revoked": listed},
    }  # fmt: skip
    return {"config.toml": 'device = "d-me"\n', "trust/verified.json": json.dumps(document)}


def queue(waiting: int) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        with sqlite3.connect(root / "farhand-home/journal.db") as connection:
            connection.execute("create table outbox (kind text)")
            rows = [("result",)] * waiting + [("aside-result",)] * 5
            connection.executemany("insert into outbox values (?)", rows)
        connection.close()

    return prepare


def no_journal(root: Path) -> None:
    (root / "farhand-home/journal.db").write_text("this is no database, whatever it is called")


CASES = [
    case("sec.av", "ok", sections=product(definitions_on="2026-11-21"), value=1),
    case("sec.av", "ok", sections=product(up_to_date=True), platform="windows"),
    case("sec.av", "warning", sections=product(definitions_on="2026-11-18")),
    case("sec.av", "warning", sections=product(up_to_date=False), platform="windows"),
    case("sec.av", "critical", sections=product(definitions_on="2026-10-01")),
    case("sec.av", "critical", said="off", sections=product(enabled=False)),
    case("sec.av", "unknown", sections=product(enabled=None)),
    case("sec.av", "unknown", sections=product()),
    case("sec.av", "unsupported", sections={"antivirus": []}),
    case("sec.firewall", "ok", sections={"firewall": [filtering()]}, value=1),
    case("sec.firewall", "warning", platform="linux",
         sections={"firewall": [filtering(default_inbound="accept", rules=0)]}),
    case("sec.firewall", "warning", platform="windows",
         sections={"firewall": [filtering(), filtering(name="Domain", enabled=False)]}),
    case("sec.firewall", "critical", platform="windows",
         sections={"firewall": [filtering(), filtering(name="Public", enabled=False)]}),
    case("sec.firewall", "critical", sections={"firewall": []}),
    case("sec.firewall", "unknown", sections={"firewall": [filtering(enabled=None)]}),
    case("sec.firewall", "unknown", sections={"firewall": "denied"}),
    case("sec.firewall", "unknown"),
    case("sec.disk-encryption", "ok", sections=disk(True)),
    case("sec.disk-encryption", "warning", sections=disk(False)),
    case("sec.disk-encryption", "critical", sections=disk(False, "laptop")),
    case("sec.disk-encryption", "warning", said="partly", platform="windows",
         sections=disk(True, mount="C:", state="suspended")),
    case("sec.disk-encryption", "unknown", sections=disk(None)),
    case("sec.disk-encryption", "unsupported"),
    case("sec.secureboot-tpm", "ok", sections=firmware()),
    case("sec.secureboot-tpm", "warning", sections=firmware(secure_boot=False)),
    case("sec.secureboot-tpm", "warning", sections=firmware(tpm_version="1.2")),
    case("sec.secureboot-tpm", "warning", sections=firmware(setup_mode=True)),
    case("sec.secureboot-tpm", "unsupported", sections=firmware(secure_boot=None, tpm=False)),
    case("sec.mac", "ok", files={"/sys/fs/selinux/enforce": "1\n"}),
    case("sec.mac", "ok", files={"/sys/module/apparmor/parameters/enabled": "Y\n"}),
    case("sec.mac", "warning", files={"/sys/fs/selinux/enforce": "0\n"}),
    case("sec.mac", "critical", files={"/sys/module/apparmor/parameters/enabled": "N\n"}),
    case("sec.mac", "critical", files={"/etc/selinux/config": "SELINUX=enforcing\n"}),
    case("sec.mac", "unsupported"),
    case("sec.mac", "critical", platform="windows",
         sections={"hardening": [{"name": "uac.EnableLUA", "value": "0"}]}),
    case("sec.mac", "ok", platform="windows", sections={"hardening": [
        {"name": "uac.EnableLUA", "value": "1"},
        {"name": "uac.ConsentPromptBehaviorAdmin", "value": "5"}]}),
    case("sec.mac", "ok", platform="macos",
         sections=hardening(gatekeeper="enabled", sip="enabled")),
    case("sec.mac", "unknown", platform="macos", sections=hardening(other="1")),
    case("sec.admins", "ok", sections=users(user("ada", administrator=True)), value=1),
    case("sec.admins", "warning", sections=users(user("ada", administrator=True)),
         parameters={"expected": "root,bo"}),
    case("sec.admins", "warning", sections=users(user("ada")),
         files={"/etc/gdm3/custom.conf": "[daemon]\nAutomaticLoginEnable = true\n"}),
    case("sec.admins", "warning", sections=users(user("ada")),
         files={"/etc/lightdm/lightdm.conf": "autologin-user=ada\n"}),
    case("sec.admins", "warning", platform="windows",
         sections=users(user("ada")) | hardening(AutoAdminLogon="1")),
    case("sec.admins", "critical", sections=users(user("ada", password="none"))),
    case("sec.admins", "unknown", sections=users(user("ada", password="unknown"))),
    case("sec.admins", "unknown", sections=users()),
    case("sec.sshd-rdp", "ok", sections=way_in("ssh"), value=0),
    case("sec.sshd-rdp", "ok", sections=way_in("telnet", enabled=False, running=False)),
    case("sec.sshd-rdp", "warning", sections=way_in("ssh", password_login=True)),
    case("sec.sshd-rdp", "critical",
         sections=way_in("ssh", password_login=True, root_login="yes")),
    case("sec.sshd-rdp", "critical", sections=way_in("telnet", running=None)),
    case("sec.sshd-rdp", "unsupported"),
    case("sec.screenlock", "ok", files=kde("Timeout=10"), sections=users(user("ada")), value=10),
    case("sec.screenlock", "ok", sections=users(), value=5,
         files=gnome("[org/gnome/desktop/session]\nidle-delay=uint32 300\n")),
    case("sec.screenlock", "warning", files=kde("Timeout=30"), sections=users(user("ada"))),
    case("sec.screenlock", "critical", files=kde("Autolock=false"), sections=users(user("ada"))),
    case("sec.screenlock", "critical", sections=users(),
         files=gnome("[org/gnome/desktop/screensaver]\nlock-enabled=false\n")),
    case("sec.screenlock", "unknown", files=DESKTOP, sections=users(user("ada"))),
    case("sec.screenlock", "unsupported", sections=users(user("ada"))),
    case("sec.screenlock", "ok", platform="windows", value=15,
         sections=hardening(InactivityTimeoutSecs="900")),
    case("sec.screenlock", "critical", platform="macos", sections=hardening(screen_lock="off")),
    case("sec.screenlock", "unknown", platform="macos", sections=hardening()),
    case("user.profile", "ok", sections=users(user("ada", uid=ME)), prepare=owned(ME), value=0),
    case("user.profile", "warning", sections=users(user("ada", uid=ME + 1)), prepare=owned(ME)),
    case("user.profile", "critical", sections=users(user("bo"))),
    case("user.profile", "unsupported", sections=users(user("root", uid=0, home="/root"))),
    case("backup.age", "ok", parameters={"marker": "/backup/done"}, prepare=marker(1), value=1),
    case("backup.age", "unknown", parameters={"marker": "/backup/done"}),
    case("backup.age", "ok", folders=timeshift(2), value=2),
    case("backup.age", "warning", prepare=restic, value=5),
    case("backup.age", "critical", folders=timeshift(30)),
    case("backup.age", "warning", platform="macos", commands=time_machine(4), value=4),
    case("backup.age", "unsupported", platform="macos", commands={"tmutil": ""}),
    case("backup.age", "unsupported"),
    case("domain.trust", "ok", commands=joined("Sucessfully validated join to domain x\n")),
    case("domain.trust", "unknown", commands={"realm": Outcome(1, b"", b"no bus")}),
    case("domain.trust", "unknown", commands=joined(
        Outcome(3, b"", b"adcli: couldn't find usable domain controller to connect to\n"))),
    case("backup.age", "unknown", platform="macos",
         commands={"tmutil": Outcome(80, b"", b"tmutil: requires Full Disk Access privileges")}),
    case("backup.age", "unsupported", platform="macos",
         commands={"tmutil": Outcome(70, b"", b"No machine directory found for host.\n")}),
    case("domain.trust", "critical",
         commands=joined(Outcome(3, b"", b"adcli: couldn't connect: Preauthentication failed\n"))),
    case("domain.trust", "unknown", commands=joined(None)),
    case("domain.trust", "unknown",
         commands=joined(Outcome(2, b"", b"adcli: keytab: Permission denied\n"))),
    case("domain.trust", "unsupported"),
    case("agent.health", "ok", home=trust(20), prepare=queue(3), value=20),
    case("agent.health", "warning", home=trust(5)),
    case("agent.health", "warning", home=trust(20), prepare=queue(200)),
    case("agent.health", "critical", home=trust(-1)),
    case("agent.health", "critical", home=trust(20, revoked=True)),
    case("agent.health", "unknown", home={"config.toml": ""}),
    case("agent.health", "unknown", home={"config.toml": "", "trust/verified.json": "{"}),
    case("agent.health", "unknown", home=trust(20), prepare=no_journal),
    case("agent.health", "unsupported"),
]  # fmt: skip
