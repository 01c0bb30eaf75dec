"""The agent carried to a host: by `farhand deploy` through OpenSSH's server, and by dpkg.

Everything goes below a folder of the test's own; the machine keeps neither file nor account.  What
was deployed then works with no link: a bundle and an order by file, there and back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.packages import build_package
from tests.support.sshd import Sshd
from tests.support.stage import ConsoleHome, Stage, leave_out_most, run_command

pytestmark = [
    pytest.mark.needs("sshd", "ssh-keygen"),
    # One build for all of them.
    pytest.mark.xdist_group("packages"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="deploying wants root's rights"),
]


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    """A folder that keeps packages from one run to the next."""
    made = request.config.cache
    assert made is not None
    return Path(made.mkdir("packages"))


@pytest.fixture(scope="module")
def pyz(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The single file."""
    return build_package("pyz", cache, tmp_path_factory.mktemp("packages"))


class Ground:
    """A relay with its admin, a host to deploy to, and how `farhand deploy` is called there."""

    def __init__(self, stage: Stage, admin: ConsoleHome, sshd: Sshd, package: Path) -> None:
        self.stage = stage
        self.admin = admin
        self.sshd = sshd
        self.package = package
        self.prefix = stage.folder / "host"
        self.prefix.mkdir()
        self.known = stage.folder / "known_hosts"
        self.known.write_text(sshd.host_key_line())

    @property
    def home(self) -> Path:
        """The deployed agent's home."""
        return self.prefix / "var/lib/farhand-agent"

    def words(self, *options: str, package: Path | None = None) -> list[str]:
        """`deploy` and everything it needs here."""
        given = [] if "--remove" in options else ["--package", str(package or self.package)]
        return [
            "deploy", self.sshd.target, "--key", str(self.sshd.key), "--prefix", str(self.prefix),
            "--known-hosts", str(self.known), *given, *options,
        ]  # fmt: skip

    def deploy(self, *options: str, package: Path | None = None) -> dict[str, object]:
        """Deploy and return the one outcome."""
        items = self.admin.json(*self.words(*options, package=package))["items"]
        assert len(items) == 1
        return dict(items[0])

    def failure(self, *options: str) -> str:
        """Deploy, which fails, and return the code of the one outcome."""
        done = self.admin.run("--json", *self.words(*options), expect=1)
        assert b"deploy-incomplete" in done.stderr
        return str(json.loads(done.stdout)["items"][0]["code"])

    def agent(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run the deployed agent, at its home."""
        program = self.prefix / "opt/farhand-agent/current/bin/farhand-agent"
        words = [str(program), *arguments, "--home", str(self.home)]
        return run_command(words, env=self.stage.env, expect=expect)


@pytest.fixture(scope="module")
def ground(pyz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Stage() as stage, Sshd(tmp_path_factory.mktemp("sshd")) as sshd:
        admin, _ = stage.settle()
        stage.start_relay()
        yield Ground(stage, admin, sshd, pyz)


def test_only_a_host_key_that_is_known_or_was_compared_counts(ground: Ground) -> None:
    right = ground.known.read_text()
    try:
        ground.known.write_text("")
        assert ground.failure() == "deploy-host-key-unknown"
        wrong = "SHA256:" + "A" * 43
        assert ground.failure("--accept-fingerprint", wrong) == "deploy-host-key-unknown"
        other = ground.sshd.host_key_line(of=ground.sshd.key.with_suffix(".pub"))
        ground.known.write_text(other)
        # A key that is known and differs stays wrong, whatever was compared.
        shown = ground.sshd.fingerprint()
        assert ground.failure("--accept-fingerprint", shown) == "deploy-host-key-changed"
        assert ground.known.read_text() == other
        ground.known.write_text("")
        assert ground.deploy("--remove", "--accept-fingerprint", shown)["state"] == "absent"
        assert ground.known.read_text() == ""
    finally:
        ground.known.write_text(right)
    assert list(ground.prefix.iterdir()) == []


def test_deployed_twice_it_is_the_same_and_works(ground: Ground, tmp_path: Path) -> None:
    first = ground.deploy()
    assert (first["state"], first["started"]) == ("installed", False)
    listed = ground.admin.json("device", "list")["items"]
    assert [(one["id"], one["confirmed"]) for one in listed] == [(first["device"], True)]
    again = ground.deploy()
    assert (again["state"], again["device"]) == ("unchanged", first["device"])

    newer = tmp_path / ground.package.name
    shutil.copyfile(ground.package, newer)
    with zipfile.ZipFile(newer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("tree/BUILD", "ab" * 32 + "\n")
    assert ground.deploy(package=newer)["state"] == "kept"
    upgraded = ground.deploy("--upgrade", "--allow", "logs", package=newer)
    assert (upgraded["state"], upgraded["device"]) == ("upgraded", first["device"])
    drop_in = ground.prefix / "etc/systemd/system/farhand-agent.service.d/privileges.conf"
    assert "SupplementaryGroups=systemd-journal adm" in drop_in.read_text()

    _online_once(ground)
    _order_by_file(ground, str(first["device"]), tmp_path)
    _bundle(ground, str(first["device"]), tmp_path)

    log = ground.sshd.log
    assert "fh1:" not in log
    assert ground.deploy("--remove")["state"] == "removed"
    assert (ground.home / "device.key").exists()
    assert not (ground.prefix / "opt/farhand-agent").exists()
    assert ground.deploy("--remove")["state"] == "absent"


def _online_once(ground: Ground) -> None:
    """The deployed agent runs from its own tree, children and all, until its network breaks."""
    leave_out_most(ground.home)
    program = ground.prefix / "opt/farhand-agent/current/bin/farhand-agent"
    agent = ground.stage.start([str(program), "run", "--home", str(ground.home)])
    agent.wait_line("farhand-agent: ready")
    agent.end()


def _order_by_file(ground: Ground, device: str, folder: Path) -> None:
    """An order there and its result back, by file alone; nothing of it twice."""
    order, result = folder / "order.fho", folder / "result.fhr"
    made = ground.admin.json(
        "run", "check.disk.space", "--device", device, "--out-file", str(order)
    )
    ran = json.loads(ground.agent("order", str(order), "--out", str(result), "--json").stdout)
    assert (ran["order"], ran["state"], ran["again"]) == (made["order"], "succeeded", False)
    once_more = folder / "again.fhr"
    refused = ground.agent("order", str(order), "--out", str(once_more), expect=3)
    assert b"order-replayed" in refused.stderr
    assert once_more.read_bytes() == result.read_bytes()

    forged = folder / "forged.fhr"
    forged.write_bytes(result.read_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1))
    assert ground.admin.refused("order", "import", str(forged)) == "result-forged"
    brought = ground.admin.json("order", "import", str(result))
    assert (brought["state"], brought["signed"]) == ("succeeded", True)
    assert '"id"' in brought["stdout"]
    assert ground.admin.json("order", "import", str(result))["state"] == "succeeded"


def _bundle(ground: Ground, device: str, folder: Path) -> None:
    """A bundle sealed to the organisation, signed by the device, read by the auditor."""
    recipient = ground.admin.json("recording", "key", "new")["recipient"]
    to = folder / "keys.txt"
    to.write_text(f"# the help desk\n{recipient}\n")
    bundle = folder / "one.bundle"
    words = ["bundle", "--out", str(bundle), "--sections", "os,users", "--logs", "none",
             "--without", "checks,patches"]  # fmt: skip
    nobody = ground.agent(*words, "--yes", expect=2)
    assert b"bundle-no-recipient" in nobody.stderr
    unasked = ground.agent(*words, "--to", str(to), expect=3)
    assert b"bundle-declined" in unasked.stderr
    assert not bundle.exists()
    made = json.loads(
        ground.agent(*words, "--to", str(to), "--yes", "--json", "--clean", "hostname").stdout
    )
    assert made["device"] == device

    ticket = ground.admin.json("ticket", "new", "--title", "it is slow")["number"]
    opened = ground.admin.json("bundle", "open", str(bundle), "--ticket", ticket)
    assert (opened["signed"], opened["device"]) == ("device", device)
    assert opened["sha256"] == made["sha256"]
    names = [one["name"] for one in opened["files"]]
    assert names == ["about.json", "crashes.json", "inventory.json"]
    shown = ground.admin.json("ticket", "show", ticket)
    assert made["sha256"] in shown["messages"][-1]["body"]


@pytest.mark.needs("dpkg", "dpkg-deb", "useradd")
def test_the_debian_package_is_a_citizen(cache: Path, tmp_path: Path) -> None:
    package = build_package("deb", cache, tmp_path / "out")
    root = _scratch_root(tmp_path / "root")
    _dpkg(root, "--install", str(package))
    program = root / "usr/bin/farhand-agent"
    env = {"PATH": "/usr/bin:/bin", "FARHAND_HOME": str(tmp_path / "nothing"), "LANG": "C.UTF-8"}
    shown = run_command([str(program), "--version"], env=env)
    assert shown.stdout == b"farhand-agent, version 0.1.0\n"
    report = json.loads(
        run_command([str(program), "inventory", "--section", "os", "--json"], env=env).stdout
    )
    assert report["sections"]["os"]["status"] == "ok"
    # An account of its own, with a home that is its alone, and nobody signs in with a password.
    entry = next(
        line.split(":")
        for line in (root / "etc/passwd").read_text().splitlines()
        if line.startswith("farhand-agent:")
    )
    home = (root / "var/lib/farhand-agent").stat()
    assert (home.st_uid, home.st_mode & 0o777) == (int(entry[2]), 0o700)
    assert "farhand-agent:!" in (root / "etc/shadow").read_text()
    unit = (root / "lib/systemd/system/farhand-agent.service").read_text()
    assert "ConditionPathExists=/var/lib/farhand-agent/config.toml" in unit
    installed = [str(program), "install", "--root", str(root), "--allow", "hardware", "--json"]
    steps = json.loads(run_command(installed, env=env).stdout)["steps"]
    assert {"what": "/lib/systemd/system/farhand-agent.service", "state": "kept"} not in steps
    assert not (root / "etc/systemd/system/farhand-agent.service").exists()

    _dpkg(root, "--remove", "farhand-agent")
    assert not program.exists()
    assert (root / "var/lib/farhand-agent").exists()
    _dpkg(root, "--purge", "farhand-agent")
    assert not (root / "var/lib/farhand-agent").exists()
    assert not (root / "usr/lib/farhand-agent").exists()
    assert "farhand-agent" not in (root / "etc/passwd").read_text()


def _scratch_root(root: Path) -> Path:
    for folder in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / folder).mkdir(parents=True)
    for folder in ("etc", "var/log"):
        (root / folder).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/gshadow").write_text("root:*::\n")
    return root


def _dpkg(root: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["dpkg", f"--root={root}", f"--log={root}/var/log/dpkg.log", "--force-not-root",
         "--force-depends", "--force-script-chrootless", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
