"""Deploying against played hosts: host keys, root's rights, secrets, states, and every failure."""

from __future__ import annotations

import json
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import paramiko
import pytest

from farhand_console.deploy.connection import Connection, SignIn
from farhand_console.deploy.host import Outcome, Wanted, deploy, remove
from farhand_console.deploy.host_keys import HostKeys, fingerprint
from farhand_console.deploy.package import Package, find_package, load_package
from farhand_console.deploy.target import parse_target
from farhand_protocol.errors import FarhandError
from tests.console.deploy.played_host import PlayedHost
from tests.support.stage import free_port

BUILD, NEWER = "ab" * 32, "cd" * 32
TOKEN = "fh1:a-secret-that-nobody-may-see"
PASSWORD = "correct horse"


class System:
    """What a played host is like; commands change it as the real ones would."""

    def __init__(self) -> None:
        self.user = "1000"
        self.sudo = "free"
        self.system = "Linux"
        self.python = "3.11"
        self.kind = "opt/farhand-agent/current"
        self.build = ""
        self.device = ""
        self.fails: dict[str, str] = {}

    def __call__(self, words: list[str], stdin: bytes) -> tuple[int, str, str]:
        if words[0] == "sudo":
            if self.sudo == "none":
                return 1, "", "sudo: a password is required\n"
            if "-n" in words:
                if self.sudo != "free":
                    return 1, "", "sudo: a password is required\n"
                words = words[words.index("-n") + 1 :]
            else:
                password, _, stdin = stdin.partition(b"\n")
                if self.sudo == "free" or password.decode() != PASSWORD:
                    return 1, "", "sudo: 1 incorrect password attempt\n"
                words = words[words.index("--") :]
            words = words[1:] if words[0] == "--" else words
        for part, said in self.fails.items():
            if part in words:
                return 1, "", said
        return self._run(words, stdin)

    def _run(self, words: list[str], stdin: bytes) -> tuple[int, str, str]:
        if words == ["id", "-u"]:
            return 0, f"{self.user}\n", ""
        if words[:2] == ["sh", "-c"] and "farhand system" in words[2]:
            told = [
                "Welcome!",
                f"farhand system {self.system}",
                f"farhand python {self.python}",
                f"farhand build {self.kind} {self.build}",
            ]
            return 0, "\n".join(told) + "\n", ""
        if words[0] == "mktemp":
            return 0, "/tmp/tmp.x\n", ""
        if "--install" in words or (words[0] == "env" and "install" in words):
            self.build = self.arriving
            return 0, "{}\n", ""
        if "status" in words:
            return 0, json.dumps({"device": self.device or None}) + "\n", ""
        if "enrol" in words:
            assert stdin.decode() == TOKEN + "\n"
            self.device = "d-played"
            return 0, '{"device": "d-played"}\n', ""
        if "install" in words:
            return 0, '{"started": true}\n', ""
        if "uninstall" in words or "--remove" in words or "--purge" in words:
            self.build = ""
        return 0, "", ""

    arriving = BUILD


@pytest.fixture
def system() -> System:
    return System()


@pytest.fixture
def host(tmp_path: Path, system: System) -> Iterator[PlayedHost]:
    with PlayedHost(tmp_path, system) as host:
        yield host


def keys(host: PlayedHost, folder: Path, text: str | None = None, *accepted: str) -> HostKeys:
    known = folder / "known"
    known.write_text(host.known_hosts() if text is None else text)
    return HostKeys([known], accepted)


def package(kind: Any = "pyz", build: str = BUILD) -> Package:
    return Package(kind, f"farhand-agent-0.1.0.{kind}", b"program", build)


def act(
    host: PlayedHost,
    folder: Path,
    *,
    password: str | None = None,
    removing: bool = False,
    **options: Any,
) -> Outcome:
    """Deploy, with the console's own steps."""
    sign_in = SignIn(host.key_file, None, password)
    values: dict[str, Any] = {"package": package(), "make_token": lambda: TOKEN}
    wanted = Wanted(**values | options)
    target = parse_target(host.target)
    with Connection(target, keys(host, folder), sign_in) as connection:
        return (remove if removing else deploy)(connection, wanted, progress=lambda _: None)


def refused(*arguments: Any, **options: Any) -> FarhandError:
    with pytest.raises(FarhandError) as caught:
        act(*arguments, **options)
    return caught.value


# Host keys.


def connect(host: PlayedHost, known: HostKeys) -> None:
    with Connection(parse_target(host.target), known, SignIn(host.key_file)) as connection:
        assert connection.run(["id", "-u"]).stdout == "1000\n"


def test_a_known_key_goes_on_and_a_compared_one_too(host: PlayedHost, tmp_path: Path) -> None:
    connect(host, keys(host, tmp_path))
    connect(host, keys(host, tmp_path, "", fingerprint(host.host_key)))
    connect(host, keys(host, tmp_path, "", fingerprint(host.host_key) + "="))
    assert (tmp_path / "known").read_text() == ""


def test_no_other_key_is_taken(host: PlayedHost, tmp_path: Path) -> None:
    other = paramiko.ECDSAKey.generate()
    for text, accepted, code in (
        ("", [], "deploy-host-key-unknown"),
        ("", [fingerprint(other)], "deploy-host-key-unknown"),
        (host.known_hosts(other), [], "deploy-host-key-changed"),
        (host.known_hosts(other), [fingerprint(host.host_key)], "deploy-host-key-changed"),
    ):
        with pytest.raises(FarhandError) as caught:
            connect(host, keys(host, tmp_path, text, *accepted))
        assert caught.value.code == code
    assert host.commands == []
    with pytest.raises(FarhandError, match="fingerprint-malformed"):
        HostKeys([], ["SHA256:short"])


def test_who_may_not_sign_in_or_does_not_answer(host: PlayedHost, tmp_path: Path) -> None:
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "other"))
    with pytest.raises(FarhandError, match="deploy-signin"):
        Connection(
            parse_target(host.target), keys(host, tmp_path), SignIn(tmp_path / "other")
        ).__enter__()
    with pytest.raises(FarhandError, match="deploy-unreachable"):
        Connection(
            parse_target(f"ada@127.0.0.1:{free_port()}"), keys(host, tmp_path), SignIn()
        ).__enter__()


def test_a_key_file_that_cannot_be_used(host: PlayedHost, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    host.user_key.write_private_key_file(str(locked), password="secret")
    with pytest.raises(FarhandError, match="key-passphrase"):
        SignIn(locked).load_key()
    assert SignIn(locked, "secret").load_key() == host.user_key
    (tmp_path / "rubbish").write_text("no key")
    for path in (tmp_path / "rubbish", tmp_path / "none"):
        with pytest.raises(FarhandError, match="key-malformed"):
            SignIn(path).load_key()


# States.


def test_done_twice_the_second_changes_nothing(
    host: PlayedHost, system: System, tmp_path: Path
) -> None:
    first = act(host, tmp_path)
    assert (first.state, first.device, first.build, first.started) == (
        "installed", "d-played", BUILD, True,
    )  # fmt: skip
    changed = len(host.commands)
    second = act(host, tmp_path)
    assert (second.state, second.device) == ("unchanged", "d-played")
    lines = [line for line, _ in host.commands[changed:]]
    assert not any("enrol" in line or "cat >" in line for line in lines)

    system.device = ""
    assert act(host, tmp_path).state == "enrolled"
    newer = package(build=NEWER)
    assert act(host, tmp_path, package=newer).state == "kept"
    system.arriving = NEWER
    upgraded = act(host, tmp_path, package=newer, upgrade=True, allow="logs")
    assert (upgraded.state, upgraded.build) == ("upgraded", NEWER)
    assert "--allow logs" in host.commands[-1][0]
    assert act(host, tmp_path, package=newer, upgrade=True).state == "unchanged"

    assert act(host, tmp_path, removing=True, purge=True).state == "removed"
    assert "uninstall --json --purge" in host.commands[-1][0]
    assert act(host, tmp_path, removing=True).state == "absent"


def test_secrets_are_on_no_command_line(host: PlayedHost, system: System, tmp_path: Path) -> None:
    system.sudo = "password"
    assert act(host, tmp_path, password=PASSWORD).state == "installed"
    lines = "\n".join(line for line, _ in host.commands)
    assert TOKEN not in lines
    assert PASSWORD not in lines
    assert TOKEN.encode() in b"".join(stdin for _, stdin in host.commands)
    assert PASSWORD not in repr(SignIn(None, "x", PASSWORD))


@pytest.mark.parametrize(("sudo", "password"), [("none", None), ("password", None),
                                                ("password", "wrong")])  # fmt: skip
def test_without_roots_rights_nothing_is_put_in(
    host: PlayedHost, system: System, tmp_path: Path, sudo: str, password: str | None
) -> None:
    system.sudo = sudo
    assert refused(host, tmp_path, password=password).code == "deploy-sudo"
    assert system.build == ""
    assert not any("mktemp" in line for line, _ in host.commands)


def test_root_needs_no_sudo(host: PlayedHost, system: System, tmp_path: Path) -> None:
    system.user = "0"
    assert act(host, tmp_path).state == "installed"
    assert not any("sudo" in line for line, _ in host.commands)


def test_a_debian_package_goes_through_dpkg(
    host: PlayedHost, system: System, tmp_path: Path
) -> None:
    system.kind = "usr/lib/farhand-agent"
    system.build = ""
    system.user = "0"
    first = act(host, tmp_path, package=package("deb"), prefix="/srv/root")
    assert first.state == "installed"
    lines = [line for line, _ in host.commands]
    assert any("dpkg --root=/srv/root --log=/srv/root/var/log/dpkg.log" in line for line in lines)
    assert any(line.startswith("/srv/root/usr/bin/farhand-agent enrol -") for line in lines)
    # One kind over the other would leave two programs.
    other = refused(host, tmp_path, package=package(build=NEWER), upgrade=True)
    assert other.code == "deploy-other-kind"
    assert act(host, tmp_path, removing=True).state == "removed"
    assert host.commands[-1][0] == "dpkg --remove farhand-agent"


# What goes wrong.


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"system": "FreeBSD"}, "deploy-platform"),
        ({"python": ""}, "deploy-python"),
        ({"fails": {"mktemp": "no space\n"}}, "deploy-upload"),
        ({"fails": {"/tmp/tmp.x/farhand-agent-0.1.0.pyz": "no space\n"}}, "deploy-upload"),
        ({"fails": {"env": "dpkg: error\n"}}, "deploy-install"),
        ({"fails": {"status": "Segmentation fault\n"}}, "deploy-failed"),
        (
            {"fails": {"enrol": "farhand-agent: error: token-used: it is used up\n"}},
            "deploy-enrol",
        ),
        ({"build": BUILD, "fails": {"install": "Failed to start\n"}}, "deploy-start"),
    ],
)
def test_each_failure_has_its_code(
    host: PlayedHost, system: System, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    for name, value in change.items():
        setattr(system, name, value)
    error = refused(host, tmp_path)
    assert error.code == code
    assert TOKEN not in str(error)
    if code == "deploy-enrol":
        assert "token-used: it is used up" in error.message
    if "enrol" in str(change) or "env" in str(change):
        assert any("rm -rf -- /tmp/tmp.x" in line for line, _ in host.commands)


def test_a_host_that_cannot_be_cleared(host: PlayedHost, system: System, tmp_path: Path) -> None:
    system.build = BUILD
    system.fails = {"uninstall": "busy\n"}
    assert refused(host, tmp_path, removing=True).code == "deploy-remove"


# Names and packages.


@pytest.mark.parametrize(
    ("text", "host_name", "port"),
    [("ada@desk-7", "desk-7", 22), ("ada@10.0.0.7:2222", "10.0.0.7", 2222),
     ("ada@[2001:db8::7]:2222", "2001:db8::7", 2222), ("ada@[::1]", "::1", 22)],
)  # fmt: skip
def test_targets(text: str, host_name: str, port: int) -> None:
    target = parse_target(text)
    assert (target.user, target.host, target.port) == ("ada", host_name, port)
    assert target.known_name == (host_name if port == 22 else f"[{host_name}]:{port}")


@pytest.mark.parametrize(
    "text", ["desk-7", "ada@", "@desk-7", "ada@-oProxyCommand=x", "-l@desk-7", "ada@desk-7:0",
             "ada@desk-7:70000", "ada@desk-7:x", "ada@a b", "ada@::1"]
)  # fmt: skip
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(FarhandError, match="deploy-host-malformed"):
        parse_target(text)


def make_pyz(path: Path, build: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tree/BUILD", build + "\n")
    return path


def make_deb(path: Path, control: bytes) -> Path:
    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("./control")
        info.size = len(control)
        archive.addfile(info, BytesIO(control))
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(tar.getvalue()))]
    data = b"!<arch>\n"
    for name, body in members:
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body
        data += b"\n" * (len(body) % 2)
    path.write_bytes(data)
    return path


def test_a_package_says_which_build_it_holds(tmp_path: Path) -> None:
    pyz = make_pyz(tmp_path / "farhand-agent-0.1.0.pyz", BUILD)
    deb = make_deb(tmp_path / "farhand-agent_0.1.0_amd64.deb",
                   b"Package: farhand-agent\nFarhand-Build: " + NEWER.encode() + b"\n")  # fmt: skip
    assert (load_package(pyz).kind, load_package(pyz).build) == ("pyz", BUILD)
    assert (load_package(deb).kind, load_package(deb).build) == ("deb", NEWER)
    assert find_package(tmp_path) == pyz
    pyz.unlink()
    assert find_package(tmp_path) == deb
    deb.unlink()
    with pytest.raises(FarhandError, match="deploy-no-package"):
        find_package(tmp_path)


def test_what_is_no_package(tmp_path: Path) -> None:
    bad = [
        make_pyz(tmp_path / "a.pyz", "short"),
        make_deb(tmp_path / "b.deb", b"Package: other\n"),
        tmp_path / "none.pyz",
    ]
    for name, data in (("c.deb", b"!<arch>\n" + b"x" * 80), ("d.deb", b""), ("e.pyz", b"PK")):
        (tmp_path / name).write_bytes(data)
        bad.append(tmp_path / name)
    for path in bad:
        with pytest.raises(FarhandError, match="deploy-no-package"):
            load_package(path)
