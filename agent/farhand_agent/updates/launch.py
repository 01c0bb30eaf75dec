"""What `farhand-agent run` becomes: the version that was found good, or the watchdog of a new one.

The installed program stays what the service starts.  It looks into the home, and where an update
was found good there it becomes that.  It stays itself when

    - the link `current` names no whole tree, or one made for another Python than runs here,
    - a newer program was installed since (a package of the system, `farhand-agent install`).

The environment says which version was chosen (`FARHAND_LAUNCHED`), so nothing goes in a circle,
which one is installed (`FARHAND_BASE`), and by `FARHAND_DIRECT` that a watchdog has decided
already.  These and `run --home` are all that versions know of each other.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from farhand_agent.config import Home
from farhand_agent.notices import say
from farhand_agent.processes import command
from farhand_agent.updates.state import (
    ENDED,
    UpdateState,
    current_version,
    load_state,
    tree_of,
    tree_python,
)
from farhand_agent.version import VERSION
from farhand_protocol.errors import FarhandError
from farhand_protocol.releases import is_version, version_number

__all__ = [
    "RESIDENT",
    "direct_environment",
    "installed_version",
    "next_process",
    "tree_command",
    "tree_environment",
]

RESIDENT: Final = "farhand_agent.resident"
_LAUNCHED: Final = "FARHAND_LAUNCHED"
_BASE: Final = "FARHAND_BASE"
_DIRECT: Final = "FARHAND_DIRECT"


def next_process(home: Home) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of what this process is to become."""
    environment = dict(os.environ)
    if environment.pop(_DIRECT, None):
        return command(RESIDENT, str(home.path)), environment
    state = _state(home)
    if _LAUNCHED not in environment:
        chosen = _chosen(home, state)
        if chosen is not None:
            environment = tree_environment(chosen)
            environment.pop(_DIRECT)
            return tree_command(home, chosen), environment
    is_open = state is not None and state.step not in ENDED
    module = "farhand_agent.updates.watchdog" if is_open else RESIDENT
    return command(module, str(home.path)), environment


def tree_command(home: Home, version: str) -> list[str]:
    """Return the command that runs the agent from a version's tree."""
    python = str(tree_python(tree_of(home, version)))
    return [python, "-P", "-m", "farhand_agent", "run", "--home", str(home.path)]


def direct_environment() -> dict[str, str]:
    """Return the environment in which this version becomes the resident agent, come what may."""
    return {**os.environ, _DIRECT: "1"}


def tree_environment(version: str) -> dict[str, str]:
    """Return that environment for a version's interpreter, which finds its libraries by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, _LAUNCHED: version, _BASE: installed_version(), _DIRECT: "1"}


def installed_version() -> str:
    """Return the version of the installed program, whichever runs now."""
    return os.environ.get(_BASE) or VERSION


def _state(home: Home) -> UpdateState | None:
    try:
        return load_state(home)
    except FarhandError as error:
        say(str(error))  # an update that nobody can tell the state of must not keep the agent down
        return None


def _chosen(home: Home, state: UpdateState | None) -> str | None:
    version = current_version(home)
    if version is None or not is_version(version):
        return None
    was_installed_since = state is not None and state.base not in ("", VERSION)
    if was_installed_since and version_number(version) <= version_number(VERSION):
        return None
    tree = tree_of(home, version)
    libraries = tree / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not libraries.is_dir() or not os.access(tree_python(tree), os.X_OK):
        say(f"version {version} cannot be started with this Python; {VERSION} runs in its place")
        return None
    return version
