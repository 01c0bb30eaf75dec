"""Where an update stands, and where its versions are: `HOME/versions/`, the file `state.json`.

    versions/0.2.0/    a whole tree of that release; `SHA256` in it names the file it came from
    versions/current   link to the version that was found good; none: the installed one runs
    versions/*.part    a release on its way

One update at a time.  Whoever makes a step writes it down first, so that a process that dies
anywhere leaves an agent that starts:

    step      written by   means                               a start of the agent then
    (none)                 there never was an update           runs what is good
    staged    the script   the tree is whole, try it           becomes the watchdog, which tries it
    trial     the watchdog it runs and is being watched        the trial was cut off: failed
    good      the watchdog it was well; `current` names it     runs it
    failed    the watchdog it was not; `current` is as before  runs what is good

`failed` remembers versions that did not work; none of them is tried again unless an order says so.
The resident agent reads this file once, at its start, and tells the device's log what came out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from farhand_agent.config import Home, read_limited, write_atomically
from farhand_protocol.errors import FarhandError

__all__ = [
    "ENDED",
    "UpdateState",
    "current_version",
    "drop_current",
    "load_state",
    "point_current",
    "save_state",
    "tree_of",
    "tree_python",
    "versions_folder",
]

Step = Literal["staged", "trial", "good", "failed"]
ENDED: Final = ("good", "failed")
_MAX_STATE_BYTES: Final = 64 * 1024


class UpdateState(msgspec.Struct, frozen=True, kw_only=True):
    """state.json.

    Attributes:
        attempt: the order that asked for it.
        version: what is to run, or does.
        before: what ran when it was staged.
        base: the installed version below all of them, when it was found good.
        step: see above.
        reason: why it failed, in words.
        deadline_s: how long the new version has to show that it is well.
        tries: how often a trial began.
        is_reported: whether the device's log tells of the end.
        failed: versions that did not work, with the reason.
    """

    attempt: str
    version: str
    before: str
    step: Step
    base: str = ""
    reason: str = ""
    deadline_s: int = 120
    tries: int = 0
    is_reported: bool = False
    failed: dict[str, str] = msgspec.field(default_factory=dict)


def versions_folder(home: Home) -> Path:
    """Return the folder of versions."""
    return home.path / "versions"


def tree_of(home: Home, version: str) -> Path:
    """Return where a version's tree is."""
    return versions_folder(home) / version


def tree_python(tree: Path) -> Path:
    """Return the interpreter of a tree."""
    return tree / "bin" / "python3"


def load_state(home: Home) -> UpdateState | None:
    """Return where the update stands; None where there never was one.

    Raises:
        FarhandError: `update-state` when the file cannot be read.
    """
    try:
        data = read_limited(versions_folder(home) / "state.json", _MAX_STATE_BYTES)
        return msgspec.json.decode(data, type=UpdateState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FarhandError(
            "update-state",
            "what became of the last update cannot be read",
            hint="remove versions/state.json in the agent's home",
            detail=str(error),
        ) from error


def save_state(home: Home, state: UpdateState) -> None:
    """Write down where the update stands, whole and durable.

    Raises:
        OSError: the disk is full; what stood there stands.
    """
    folder = versions_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    write_atomically(folder / "state.json", msgspec.json.encode(state, order="sorted"))


def current_version(home: Home) -> str | None:
    """Return the version that `current` names; None where the installed one runs."""
    try:
        return os.readlink(versions_folder(home) / "current")
    except OSError:
        return None


def drop_current(home: Home, version: str) -> None:
    """Remove `current` where it names a version that is yet to be tried.

    It may still do so where the installed program was chosen over it; what is tried must not be
    what a start takes for good.
    """
    if current_version(home) == version:
        (versions_folder(home) / "current").unlink()


def point_current(home: Home, version: str) -> None:
    """Turn `current` over to a version, in one step."""
    folder = versions_folder(home)
    beside = folder / ".current"
    beside.unlink(missing_ok=True)
    os.symlink(version, beside)
    os.replace(beside, folder / "current")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
