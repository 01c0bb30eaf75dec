"""One host from whatever it is now to what was asked for; done twice, the second changes nothing.

    asked      on the host                       does                         state
    install    nothing                           put in, enrol, start         installed
               this build, not enrolled          enrol, start                 enrolled
               this build, enrolled              start                        unchanged
               another build, enrolled           start                        kept
    upgrade    nothing                           as install                   installed
               another build                     put in, enrol, start         upgraded
    remove     anything                          stop, take out               removed
               nothing                           -                            absent

Everything lies below a prefix, "/" but for tests and images.  Below another one no service is
started, and the outcome says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from farhand_console.deploy.connection import Connection, Done
from farhand_console.deploy.package import Package
from farhand_protocol.errors import FarhandError

__all__ = ["HostState", "Outcome", "Wanted", "deploy", "remove"]

HostState = Literal[
    "installed", "enrolled", "unchanged", "kept", "upgraded", "removed", "absent", "failed"
]
_ERROR: Final = re.compile(r"farhand-agent: error: ([a-z][a-z0-9-]{0,63}): (.{1,300})")
# Each line with a word before it, so that what a login shell prints does no harm.
_PROBE: Final = """
prefix="$1"; python="$2"
echo "farhand system $(uname -s)"
ask='import sys; print("%d.%d" % sys.version_info[:2])'
echo "farhand python $("$python" -c "$ask" 2>/dev/null)"
for one in opt/farhand-agent/current usr/lib/farhand-agent; do
    echo "farhand build $one $(cat "$prefix/$one/BUILD" 2>/dev/null)"
done
"""
_PLACES: Final = {
    "opt/farhand-agent/current": "pyz",
    "usr/lib/farhand-agent": "deb",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for.

    Attributes:
        package: to put in; None when removing.
        upgrade: replace another build.
        purge: when removing, home and account too.
        prefix: "/" or where everything lies.
        python: the host's interpreter, for the single file.
        allow: privileges of the service; None for what it has.
        make_token: returns a fresh enrolment token, called when one is needed.
    """

    package: Package | None
    make_token: Callable[[], str]
    upgrade: bool = False
    purge: bool = False
    prefix: str = "/"
    python: str = "python3"
    allow: str | None = None

    def at(self, path: str) -> str:
        """Return where a path of the system lies on the host."""
        return f"{self.prefix.rstrip('/')}/{path}"

    @property
    def home(self) -> str:
        """The agent's home on the host."""
        return self.at("var/lib/farhand-agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one host."""

    host: str
    state: HostState
    device: str | None = None
    build: str | None = None
    started: bool = False
    code: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    python: str
    kind: str | None
    build: str | None


def _probe(host: Connection, wanted: Wanted) -> _Found:
    done = host.run(["sh", "-c", _PROBE, "sh", wanted.prefix.rstrip("/"), wanted.python])
    told = [line.split() for line in done.stdout.splitlines() if line.startswith("farhand ")]
    system = next((one[2] for one in told if one[1] == "system" and len(one) == 3), "?")
    if system != "Linux":
        raise FarhandError("deploy-platform", f"{host.target.text} runs {system[:40]}, not Linux")
    python = next((one[2] for one in told if one[1] == "python" and len(one) == 3), "")
    for one in told:
        if one[1] == "build" and len(one) == 4 and one[2] in _PLACES:
            return _Found(python, _PLACES[one[2]], one[3][:64])
    return _Found(python, None, None)


def _program(wanted: Wanted, kind: str) -> str:
    path = (
        "usr/bin/farhand-agent" if kind == "deb" else "opt/farhand-agent/current/bin/farhand-agent"
    )
    return wanted.at(path)


def _must_succeed(done: Done, code: str, host: Connection) -> Done:
    """Return what a command of the host printed.

    Raises:
        FarhandError: `code`, with what the agent itself complained about.
    """
    if done.status == 0:
        return done
    found = _ERROR.search(done.stderr)
    words = f"{found[1]}: {found[2]}" if found else done.last_words()
    raise FarhandError(code, f"{host.target.text}: {words}")


def _object(done: Done) -> dict[str, Any]:
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                break
            return value if isinstance(value, dict) else {}
    return {}


def deploy(host: Connection, wanted: Wanted, *, progress: Callable[[str], None]) -> Outcome:
    """Bring one host to what was asked for.

    Args:
        host: signed in.
        wanted: what was asked for.
        progress: told what is done now.

    Raises:
        FarhandError, RefusedError: with a stable code; what was done so far stays and is taken up
            by the next call.
    """
    package = wanted.package
    assert package is not None, "the caller named one"
    progress("looking")
    host.require_root()
    found = _probe(host, wanted)
    state: HostState = "unchanged"
    kind = found.kind or package.kind
    build = found.build
    if found.build is None or (wanted.upgrade and found.build != package.build):
        if found.kind is not None and found.kind != package.kind:
            raise FarhandError(
                "deploy-other-kind",
                f"{host.target.text} has the agent from another kind of package",
                hint="remove it first: farhand deploy HOST --remove",
            )
        if package.kind == "pyz" and not found.python:
            raise FarhandError(
                "deploy-python",
                f"{host.target.text} has no {wanted.python[:80]}",
                hint="name the host's Python 3.11 or newer with --python PATH",
            )
        progress("copying and installing")
        _put_in(host, wanted, package)
        state = "installed" if found.build is None else "upgraded"
        build = package.build
    elif found.build != package.build:
        state = "kept"
    program = _program(wanted, kind)
    status = _object(
        _must_succeed(
            host.run_as_root([program, "status", "--json", "--home", wanted.home]),
            "deploy-failed",
            host,
        )
    )
    device = status.get("device")
    if not device:
        progress("enrolling")
        enrol = [program, "enrol", "-", "--json", "--home", wanted.home]
        token = wanted.make_token().encode() + b"\n"
        done = _must_succeed(host.run_as_root(enrol, stdin=token), "deploy-enrol", host)
        device = _object(done).get("device")
        state = "enrolled" if state in ("unchanged", "kept") else state
    progress("starting")
    started = _start(host, wanted, program)
    return Outcome(
        host=host.target.text,
        state=state,
        device=str(device)[:64] if device else None,
        build=build,
        started=started,
    )


def _put_in(host: Connection, wanted: Wanted, package: Package) -> None:
    cache = wanted.at("var/cache/farhand-agent")
    folder = _must_succeed(host.run(["mktemp", "-d"]), "deploy-upload", host).stdout.strip()
    if not folder.startswith("/"):
        raise FarhandError("deploy-upload", f"{host.target.text} names no folder for files")
    try:
        file = f"{folder}/{package.name}"
        host.upload(package.data, file)
        if package.kind == "deb":
            options = []
            if wanted.prefix != "/":
                # What is there cannot depend on anything.
                options = [*_below(wanted), "--force-depends"]
            words = ["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *options, "--install", file]
        else:
            # Not below /tmp, from which many a host lets nothing be loaded.
            words = ["env", f"FARHAND_CACHE={cache}", wanted.python, file,
                     "install", *_install_options(wanted)]  # fmt: skip
        _must_succeed(host.run_as_root(words), "deploy-install", host)
    finally:
        _clear(host, folder, cache)


def _below(wanted: Wanted) -> list[str]:
    """Return dpkg's options for another root: its log and its scripts stay below it as well."""
    return [
        f"--root={wanted.prefix}", f"--log={wanted.at('var/log/dpkg.log')}", "--force-not-root",
        "--force-script-chrootless",
    ]  # fmt: skip


def _clear(host: Connection, *folders: str) -> None:
    try:
        host.run_as_root(["rm", "-rf", "--", *folders])
    except FarhandError:
        pass  # the connection is gone, of which whoever brought us here tells


def _install_options(wanted: Wanted) -> list[str]:
    options = ["--json"]
    if wanted.prefix != "/":
        options += ["--root", wanted.prefix]
    if wanted.allow is not None:
        options += ["--allow", wanted.allow]
    return options


def _start(host: Connection, wanted: Wanted, program: str) -> bool:
    """Let the host's own installer start the service; it knows how, and changes nothing else."""
    done = host.run_as_root([program, "install", *_install_options(wanted)])
    return _object(_must_succeed(done, "deploy-start", host)).get("started") is True


def remove(host: Connection, wanted: Wanted, *, progress: Callable[[str], None]) -> Outcome:
    """Take the agent off one host; as `deploy`."""
    progress("looking")
    found = _probe(host, wanted)
    if found.kind is None:
        return Outcome(host=host.target.text, state="absent")
    progress("removing")
    if found.kind == "deb":
        options = _below(wanted) if wanted.prefix != "/" else []
        verb = "--purge" if wanted.purge else "--remove"
        words = ["dpkg", *options, verb, "farhand-agent"]
    else:
        words = [_program(wanted, found.kind), "uninstall", "--json"]
        words += ["--root", wanted.prefix] if wanted.prefix != "/" else []
        words += ["--purge"] if wanted.purge else []
    _must_succeed(host.run_as_root(words), "deploy-remove", host)
    return Outcome(host=host.target.text, state="removed", build=found.build)
