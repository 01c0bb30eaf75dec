"""`farhand-agent install` and `uninstall`."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path
from typing import Any

import click

from farhand_agent.install.places import DEFAULT_USER, Places, places_for
from farhand_agent.install.privileges import PRIVILEGES, chosen_privileges
from farhand_agent.install.service import Installation, Step
from farhand_agent.install.tree import own_tree, place_tree, remove_trees
from farhand_agent.notices import say
from farhand_agent.platforms.current import is_privileged, platform_name
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["install", "uninstall"]

_USER = re.compile(r"_?[a-z][a-z0-9_-]{0,30}")


def _places(root: Path) -> Places:
    places = places_for(platform_name(), root.absolute())
    if places is None:
        raise FarhandError("platform-unsupported", f"nobody knows how {sys.platform} does this")
    if root == Path("/") and platform_name() != "windows" and not is_privileged():
        raise UsageError(
            "needs-root", "only root can install a service", hint="sudo, or --root DIR"
        )
    return places


def _user(name: str) -> str:
    if not _USER.fullmatch(name):
        raise UsageError("usage", f"{name[:40]!r} is no name for an account")
    return name


def _show(answer: dict[str, Any], steps: list[Step], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
        return
    for step in steps:
        say(f"{step.state}: {step.what}")


@click.command("install")
@click.option("--user", default=DEFAULT_USER, show_default=True, help="The agent's own account.")
@click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), default=Path("/"),
    help="Write below this folder instead of the running system.",
)  # fmt: skip
@click.option(
    "--allow",
    help=f"Privileges beyond a user's, with commas between: {', '.join(PRIVILEGES)}; or none.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def install(user: str, root: Path, allow: str | None, as_json: bool) -> None:
    """Let the agent start with the system, under an account of its own."""
    privileges = None if allow is None else chosen_privileges(allow)
    places = _places(root)
    steps: list[Step] = []
    if root == Path("/") and platform_name() != "windows":
        _check_interpreter(Path(sys.executable).resolve())
    program = _program(places, steps)
    made = Installation(platform_name(), places, program, _user(user), privileges, steps=steps)
    is_started = made.install()
    answer = {
        "user": user,
        "home": places.home,
        "program": program,
        "privileges": list(privileges) if privileges is not None else None,
        "enrolled": made.is_enrolled,
        "started": is_started,
        "steps": [{"what": step.what, "state": step.state} for step in steps],
    }
    _show(answer, steps, as_json=as_json)
    if not made.is_enrolled:
        say(f"it starts once the device is enrolled: farhand-agent enrol --home {places.home} -")


def _check_interpreter(python: Path) -> None:
    """See that the service's account could start this Python at all.

    Raises:
        FarhandError: `install-python`.
    """
    for folder in python.parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise FarhandError(
                "install-python",
                f"{python} lies where only some may go: {folder}",
                hint="install with the system's own Python, such as /usr/bin/python3",
            )


def _program(places: Places, steps: list[Step]) -> list[str]:
    """Return how the installed agent is started; puts the program there where it came as a file."""
    tree = own_tree()
    if tree is None:
        return [sys.executable, "-P", "-m", "farhand_agent"]
    packaged = places.packaged_service
    if packaged is not None and places.under(packaged).exists():
        return ["/usr/bin/farhand-agent"]
    folder = places.under(places.program)
    try:
        changed = place_tree(tree, folder)
        steps.append(Step(f"program {places.program}", "changed" if changed else "kept"))
        if places.link is not None:
            link, target = places.under(places.link), f"{places.program}/current/bin/farhand-agent"
            if not link.is_symlink() or str(link.readlink()) != target:
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(target)
                steps.append(Step(f"command {places.link}", "made"))
    except OSError as error:
        raise FarhandError(
            "install-failed", f"{error.filename or folder}: {error.strerror}"
        ) from error
    if platform_name() == "windows":
        return [str(folder / "current" / "Scripts" / "python.exe")]
    return [f"{places.program}/current/bin/farhand-agent"]


@click.command("uninstall")
@click.option("--user", default=DEFAULT_USER, show_default=True, help="The agent's own account.")
@click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), default=Path("/"),
    help="Work below this folder instead of the running system.",
)  # fmt: skip
@click.option("--purge", is_flag=True, help="Remove home, key, journal and account as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def uninstall(user: str, root: Path, purge: bool, as_json: bool) -> None:
    """Take the agent's service away; what it kept stays, unless --purge."""
    places = _places(root)
    removed = Installation(platform_name(), places, [], _user(user))
    removed.uninstall(purge=purge)
    if remove_trees(places.under(places.program)):
        removed.steps.append(Step(f"program {places.program}", "removed"))
    if places.link is not None:
        link = places.under(places.link)
        if link.is_symlink() and str(link.readlink()).startswith(f"{places.program}/"):
            link.unlink()
            removed.steps.append(Step(f"command {places.link}", "removed"))
    answer = {"steps": [{"what": step.what, "state": step.state} for step in removed.steps]}
    _show(answer, removed.steps, as_json=as_json)
    if not removed.steps:
        say("nothing of the agent was there")
