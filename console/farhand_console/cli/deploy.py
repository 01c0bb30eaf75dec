"""deploy: the agent on one host or many, over SSH."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command
from farhand_console.deploy.connection import Connection, SignIn
from farhand_console.deploy.host import Outcome, Wanted
from farhand_console.deploy.host import deploy as deploy_on
from farhand_console.deploy.host import remove as remove_from
from farhand_console.deploy.host_keys import HostKeys, default_known_hosts
from farhand_console.deploy.package import find_package, load_package
from farhand_console.deploy.target import Target, parse_target
from farhand_console.output import hint, say, show_table
from farhand_console.trust.enrolment_tokens import check_group, make_token
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["register"]

_TOKEN_TTL_S = 900
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def register(root: click.Group) -> None:
    """Add the commands of this file."""

    @command(root)
    @click.argument("hosts", nargs=-1, required=True, metavar="USER@HOST[:PORT]...")
    @click.option("--key", type=_FILE, help="The SSH key; ssh-agent and the usual ones by default.")
    @click.option("--jobs", type=click.IntRange(1, 64), default=8, show_default=True)
    @click.option("--package", type=_FILE, help="What make packages built; the newest in dist/.")
    @click.option("--group", "device_group", default="default", show_default=True)
    @click.option("--upgrade", is_flag=True, help="Replace another build.")
    @click.option("--remove", is_flag=True, help="Take the agent away; its home stays.")
    @click.option("--purge", is_flag=True, help="With --remove: its home and account too.")
    @click.option("--allow", help="Privileges of the service, as farhand-agent install has them.")
    @click.option(
        "--accept-fingerprint",
        "accepted",
        multiple=True,
        help="SHA256:... of a host key that you compared; repeatable.",
    )
    @click.option(
        "--known-hosts",
        multiple=True,
        type=_FILE,
        help="Read these instead of ~/.ssh/known_hosts and the system's.",
    )
    @click.option("--ask-sudo", is_flag=True, help="Ask for the password that sudo wants.")
    @click.option("--prefix", default="/", help="Put everything below this folder of the host.")
    @click.option("--python", default="python3", help="The host's interpreter, for a single file.")
    def deploy(
        context: Context,
        hosts: tuple[str, ...],
        key: Path | None,
        jobs: int,
        package: Path | None,
        device_group: str,
        upgrade: bool,
        remove: bool,
        purge: bool,
        allow: str | None,
        accepted: tuple[str, ...],
        known_hosts: tuple[Path, ...],
        ask_sudo: bool,
        prefix: str,
        python: str,
    ) -> None:
        """Install, enrol and start the agent on hosts; upgrade it there, or remove it."""
        if remove and upgrade:
            raise UsageError("usage", "--remove and --upgrade do not go together")
        if purge and not remove:
            raise UsageError("usage", "--purge goes with --remove")
        if not prefix.startswith("/") or ".." in prefix.split("/"):
            raise UsageError("usage", "--prefix is an absolute path")
        check_group(device_group)
        targets = [parse_target(text) for text in dict.fromkeys(hosts)]
        wanted = Wanted(
            package=None if remove else load_package(package or find_package(Path("dist"))),
            make_token=_tokens(context, device_group),
            upgrade=upgrade,
            purge=purge,
            prefix=prefix,
            python=python,
            allow=allow,
        )
        keys = HostKeys(known_hosts or default_known_hosts(), accepted)
        sign_in = SignIn(
            key,
            os.environ.get("FARHAND_PASSPHRASE") or None,
            _sudo_password() if ask_sudo else None,
        )
        with _shown(targets, quiet=context.as_json) as told:
            with ThreadPoolExecutor(min(jobs, len(targets))) as pool:
                outcomes = list(
                    pool.map(lambda one: _one(one, wanted, keys, sign_in, told, remove), targets)
                )
        answer = {"items": outcomes, "next": None}
        context.show(answer, lambda: _show(outcomes))
        failed = [one for one in outcomes if one.state == "failed"]
        if failed:
            raise FarhandError(
                "deploy-incomplete", f"{len(failed)} of {len(outcomes)} hosts failed"
            )


def _tokens(context: Context, group: str) -> Callable[[], str]:
    """Return what makes one token after the other: for one device, good for some minutes."""
    lock = threading.Lock()

    def fresh() -> str:
        with lock:
            trust = context.trust()
            text, _ = make_token(
                trust,
                context.signer(),
                context.settings,
                context.relay,
                group=group,
                uses=1,
                ttl_s=_TOKEN_TTL_S,
            )
            return text

    return fresh


def _sudo_password() -> str:
    given = os.environ.get("FARHAND_SUDO_PASSWORD")
    if given is not None:
        return given
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("usage", "--ask-sudo needs a terminal, or FARHAND_SUDO_PASSWORD")
    return str(click.prompt("sudo's password on the hosts", hide_input=True, err=True))


Told = Callable[[Target, str], None]


def _one(
    target: Target,
    wanted: Wanted,
    keys: HostKeys,
    sign_in: SignIn,
    told: Told,
    removing: bool,
) -> Outcome:
    act = remove_from if removing else deploy_on
    try:
        told(target, "connecting")
        with Connection(target, keys, sign_in) as host:
            outcome = act(host, wanted, progress=lambda what: told(target, what))
    except FarhandError as error:
        if error.hint:
            told(target, error.hint)
        outcome = Outcome(
            host=target.text, state="failed", code=error.code, words=error.message[:400]
        )
    told(target, outcome.state if outcome.code is None else f"{outcome.state}: {outcome.code}")
    return outcome


class _Lines(AbstractContextManager[Told]):
    """Progress as lines, where nobody looks at a screen."""

    def __enter__(self) -> Told:
        return lambda target, what: say(f"{target.text}: {what}")

    def __exit__(self, *_: object) -> None:
        return None


class _Bars(AbstractContextManager[Told]):
    """Progress on a terminal: one row for each host."""

    def __init__(self, targets: list[Target]) -> None:
        # Late: no other output of a short command needs it.
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.fields[host]}", markup=False),
            TextColumn("{task.fields[what]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._rows: dict[Target, Any] = {
            target: self._progress.add_task("", total=None, host=target.text, what="")
            for target in targets
        }

    def __enter__(self) -> Told:
        self._progress.start()
        return lambda target, what: self._progress.update(self._rows[target], what=what)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _shown(targets: list[Target], *, quiet: bool) -> AbstractContextManager[Told]:
    if quiet:
        return nullcontext(lambda _target, _what: None)
    return _Bars(targets) if sys.stderr.isatty() else _Lines()


def _show(outcomes: list[Outcome]) -> None:
    show_table(
        ("host", "state", "device", "started", "what went wrong"),
        [
            (
                one.host,
                one.state,
                one.device,
                "yes" if one.started else "no",
                f"{one.code}: {one.words}" if one.code else "",
            )
            for one in outcomes
        ],
    )
    if any(one.state == "removed" for one in outcomes):
        hint("the relay still knows these devices: farhand device retire DEVICE")
