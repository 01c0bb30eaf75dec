"""Installing: units as text, steps that change nothing when done twice, rights by name."""

from __future__ import annotations

import configparser
import json
import plistlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from farhand_agent.cli import cli
from farhand_agent.install import service as service_module
from farhand_agent.install.command import _check_interpreter
from farhand_agent.install.launchd import plist_bytes, user_commands
from farhand_agent.install.places import places_for
from farhand_agent.install.privileges import PRIVILEGES, chosen_privileges
from farhand_agent.install.service import Installation
from farhand_agent.install.systemd import drop_in_text, unit_text
from farhand_agent.install.tree import build_of, place_tree, remove_trees
from farhand_agent.install.windows import account, install_commands, remove_commands
from farhand_agent.install.windows_service import (
    RUNNING,
    START_PENDING,
    STOP_PENDING,
    STOPPED,
    AgentChild,
)
from farhand_agent.platforms.commands import Outcome
from farhand_protocol.errors import FarhandError, UsageError

HOME = "/var/lib/farhand-agent"
PROGRAM = ["/usr/bin/farhand-agent"]


def settings(text: str) -> dict[str, list[str]]:
    """The [Service] lines of a unit, each name with all its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.partition("[Service]\n")[2].partition("\n[Install]")[0].splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


# The unit.


def test_the_unit_is_an_ordinary_user_that_can_gain_nothing() -> None:
    text = unit_text(PROGRAM, user="farhand-agent", home=HOME)
    parsed = configparser.RawConfigParser(strict=False)
    parsed.read_string(text)
    assert parsed.sections() == ["Unit", "Service", "Install"]
    assert f"ConditionPathExists={HOME}/config.toml" in text
    unit = settings(text)
    assert unit["User"] == ["farhand-agent"]
    assert unit["ExecStart"] == [f"/usr/bin/farhand-agent run --home {HOME}"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["NoNewPrivileges"] == unit["RestrictSUIDSGID"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert (unit["StateDirectory"], unit["StateDirectoryMode"]) == (["farhand-agent"], ["0700"])
    assert (unit["RuntimeDirectory"], unit["RuntimeDirectoryMode"]) == (["farhand"], ["0755"])
    assert "AmbientCapabilities" not in unit
    # Scripts that run outlive a restart of the agent.
    assert unit["KillMode"] == ["process"]


def test_another_home_and_odd_words_are_quoted() -> None:
    unit = settings(unit_text(["/opt/a b/agent"], user="x", home="/srv/100%"))
    assert unit["ExecStart"] == ["'/opt/a b/agent' run --home /srv/100%%"]
    assert unit["ReadWritePaths"][0] == "/srv/100%"
    assert "StateDirectory" not in unit


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("privileges", [(), *[(name,) for name in PRIVILEGES]])
def test_systemd_itself_reads_it(privileges: tuple[str, ...], tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program is not None
    unit = tmp_path / "farhand-agent.service"
    unit.write_text(unit_text([program], user="root", home=HOME))
    if privileges:
        (tmp_path / "farhand-agent.service.d").mkdir()
        drop_in = tmp_path / "farhand-agent.service.d/privileges.conf"
        drop_in.write_text(drop_in_text(privileges))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "farhand-agent.service" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", PRIVILEGES)
def test_each_privilege_says_what_it_opens(name: str) -> None:
    lines = settings(drop_in_text([name]))
    assert lines
    page = (Path(__file__).parents[3] / "docs/operations/installing.md").read_text()
    assert f"| `{name}` |" in page
    if name != "root":
        assert "User" not in lines


def test_names_of_privileges() -> None:
    assert chosen_privileges("root, logs") == ("logs", "root")
    assert chosen_privileges("none") == ()
    with pytest.raises(UsageError) as caught:
        chosen_privileges("logs,everything")
    assert caught.value.code == "privilege-unknown"


# Doing it.


def command(root: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(cli, [*arguments, "--root", str(root), "--json"])
    assert done.exception is None, done.output
    return json.loads(done.stdout)


def test_below_a_root_files_are_written_and_nobody_is_called(tmp_path: Path) -> None:
    first = command(tmp_path, "install", "--allow", "logs,network")
    states = {step["what"]: step["state"] for step in first["steps"]}
    unit = "/etc/systemd/system/farhand-agent.service"
    assert states == {
        "account farhand-agent": "skipped",
        f"home {HOME}": "made",
        unit: "made",
        f"{unit}.d/privileges.conf": "made",
        "starting": "skipped",
    }
    assert (first["started"], first["enrolled"]) == (False, False)
    assert (tmp_path / "var/lib/farhand-agent").stat().st_mode & 0o777 == 0o700

    again = command(tmp_path, "install", "--allow", "logs,network")
    assert not {"made", "changed"} & {step["state"] for step in again["steps"]}
    kept = command(tmp_path, "install")
    assert f"{unit}.d/privileges.conf" not in {step["what"] for step in kept["steps"]}
    drop_in = tmp_path / f"{unit}.d/privileges.conf".lstrip("/")
    assert drop_in.exists()
    command(tmp_path, "install", "--allow", "none")
    assert not drop_in.parent.exists()

    (tmp_path / "var/lib/farhand-agent/device.key").write_bytes(b"k" * 32)
    gone = command(tmp_path, "uninstall")
    assert {"what": unit, "state": "removed"} in gone["steps"]
    assert (tmp_path / "var/lib/farhand-agent/device.key").exists()
    command(tmp_path, "uninstall", "--purge")
    assert not (tmp_path / "var/lib/farhand-agent").exists()
    assert command(tmp_path, "uninstall", "--purge") == {"steps": []}


def test_what_a_package_brought_is_left_to_it(tmp_path: Path) -> None:
    packaged = tmp_path / "lib/systemd/system/farhand-agent.service"
    packaged.parent.mkdir(parents=True)
    packaged.write_text("[Service]\n")
    command(tmp_path, "install")
    assert not (tmp_path / "etc").exists()
    command(tmp_path, "uninstall")
    assert packaged.exists()


def test_an_account_with_an_odd_name_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["install", "--user", "a;b", "--root", str(tmp_path)])
    assert getattr(done.exception, "code", "") == "usage"


class System:
    """A running system that is played: which commands it was given, and what they answer."""

    def __init__(self, **statuses: int) -> None:
        self.called: list[list[str]] = []
        self.statuses = statuses

    def __call__(self, argv: Any, **_: Any) -> Outcome:
        self.called.append(list(argv))
        return Outcome(self.statuses.get(argv[0], 0), b"", b"it did not work\n")


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An installation that takes itself for the running system, below a root all the same."""
    monkeypatch.setattr(service_module, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(Installation, "is_live", property(lambda self: True))
    monkeypatch.setattr(service_module, "_user_id", lambda name: None)
    monkeypatch.setattr("os.chown", lambda *_: None)

    def make(system: System, privileges: tuple[str, ...] | None = None) -> Installation:
        places = places_for("linux", tmp_path / "root")
        assert places is not None
        return Installation("linux", places, PROGRAM, "root", privileges, system)

    return make


def test_on_a_running_system_it_starts_once_the_device_is_enrolled(live: Any) -> None:
    system = System()
    installation = live(system)
    assert installation.install() is False
    assert system.called[0][:2] == ["useradd", "--system"]
    assert "--shell" in system.called[0]
    assert system.called[1:] == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--quiet", "farhand-agent.service"],
    ]
    (installation.home / "config.toml").write_text("")
    system.called.clear()
    assert live(system).install() is True
    assert system.called[-1] == ["systemctl", "start", "farhand-agent.service"]
    system.called.clear()
    assert live(system, ("logs",)).install() is True
    assert system.called[-1] == ["systemctl", "restart", "farhand-agent.service"]
    system.called.clear()
    live(system).uninstall(purge=False)
    assert system.called[0] == [
        "systemctl", "disable", "--now", "--quiet", "farhand-agent.service"
    ]  # fmt: skip


def test_a_command_that_fails_is_said(live: Any) -> None:
    with pytest.raises(FarhandError) as caught:
        live(System(useradd=1)).install()
    assert (caught.value.code, caught.value.hint) == ("install-failed", "it did not work")


def test_a_python_that_others_cannot_reach_runs_no_service(tmp_path: Path) -> None:
    python = tmp_path / "private/bin/python3"
    python.parent.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    with pytest.raises(FarhandError, match="install-python"):
        _check_interpreter(python)
    _check_interpreter(Path("/usr/bin/python3"))


# The tree.


def make_tree(folder: Path, build: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "BUILD").write_text(build * 32 + "\n")
    (folder / "bin/python3").symlink_to("/usr/bin/python3")
    return folder


def test_builds_lie_beside_each_other_and_the_last_two_stay(tmp_path: Path) -> None:
    folder = tmp_path / "opt"
    for number, build in enumerate(("aa", "bb", "cc")):
        tree = make_tree(tmp_path / f"tree{number}", build)
        assert place_tree(tree, folder) is True
        assert place_tree(tree, folder) is False
        assert build_of(folder / "current") == build * 32
    assert sorted(one.name for one in folder.iterdir()) == ["bb" * 8, "cc" * 8, "current"]
    # A copy that was cut off is made again.
    (folder / ("cc" * 8) / "BUILD").unlink()
    assert place_tree(tmp_path / "tree2", folder) is True
    (folder / "notes").write_text("somebody's")
    assert remove_trees(folder) is True
    assert [one.name for one in folder.iterdir()] == ["notes"]
    (folder / "notes").unlink()
    assert remove_trees(folder) is True
    assert remove_trees(folder) is False


@pytest.mark.parametrize("text", ["", "short", "Z" * 64, "\xff" * 40])
def test_a_folder_without_a_build_is_no_tree(text: str, tmp_path: Path) -> None:
    (tmp_path / "BUILD").write_text(text, "utf-8")
    assert build_of(tmp_path) is None
    assert build_of(tmp_path / "none") is None


# macOS and Windows, as text.


def test_the_property_list() -> None:
    found = plistlib.loads(plist_bytes(PROGRAM, user="farhand-agent", home="/h"))
    assert found["ProgramArguments"] == ["/usr/bin/farhand-agent", "run", "--home", "/h"]
    assert found["KeepAlive"] == {"PathState": {"/h/config.toml": True}}
    assert (found["UserName"], found["Umask"]) == ("farhand-agent", 0o077)
    made = user_commands("farhand-agent", "/h", taken=frozenset({380, 381}))
    assert made[0] == ["dscl", ".", "-create", "/Groups/farhand-agent", "PrimaryGroupID", "382"]
    assert all(one[:3] == ["dscl", ".", "-create"] for one in made)


def test_the_service_manager_of_windows_is_told() -> None:
    made = install_commands("C:\\P F\\python.exe", home="C:\\H", is_root=False, exists=False)
    assert made[0][:3] == ["sc.exe", "create", "FarhandAgent"]
    image = made[0][made[0].index("binPath=") + 1]
    assert image == '"C:\\P F\\python.exe" -P -m farhand_agent.install.windows_service C:\\H'
    assert made[0][made[0].index("obj=") + 1] == "NT SERVICE\\FarhandAgent"
    assert account(is_root=True) == "LocalSystem"
    again = install_commands("p", home="h", is_root=True, exists=True)
    assert again[0][1] == "config"
    assert "/inheritance:r" in made[-1]
    assert [one[1] for one in remove_commands()] == ["stop", "delete"]


class Played:
    """A process that ends when it is told to, or of itself."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.ended: list[str] = []

    def wait(self, timeout: float | None = None) -> int:
        return self.status

    def terminate(self) -> None:
        self.ended.append("terminate")

    def kill(self) -> None:
        self.ended.append("kill")


def told_by(home: Path, process: Any) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    child = AgentChild(home, lambda one: told.append((one.state, one.specific)), lambda: process)
    child.run()
    return told


def test_the_windows_service_tells_the_truth(tmp_path: Path) -> None:
    assert told_by(tmp_path, Played(0)) == [(START_PENDING, 0), (STOPPED, 0)]
    (tmp_path / "config.toml").write_text("")
    failing = [(START_PENDING, 0), (RUNNING, 0), (STOPPED, 3)]
    assert told_by(tmp_path, Played(3)) == failing

    states: list[int] = []
    child: AgentChild

    class Stopping(Played):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                child.stop()
                child.stop()
            return 1

    child = AgentChild(tmp_path, lambda one: states.append(one.state), lambda: Stopping(1))  # type: ignore[arg-type, return-value]
    assert child.run() == 0
    assert states == [START_PENDING, RUNNING, STOP_PENDING, STOPPED]
