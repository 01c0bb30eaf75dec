"""The body of the shipped script `agent.update`: brings one release of the agent to its end.

An order like any other starts it (R3: approved by several people, signed for this device, within
its window and ring), and its result is the order's.  It outlives the agent that it replaces: it
prepares the new version, has the resident agent hand over to the watchdog, and waits for the end.

    asked in this order, the first that is wrong gives the code:
    update-parameters  update-busy  release-unknown  release-below-floor  release-failed-before
    release-missing  release-mismatch  release-unreachable  release-malformed  update-sessions
    update-failed

Prints one JSON object: `version`, `before`, `outcome` (`updated`, `no-change`, `failed`), `reason`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from farhand_agent import local
from farhand_agent.config import Home, read_limited
from farhand_agent.errors import AgentNotRunning
from farhand_agent.locks import try_lock
from farhand_agent.notices import say_error
from farhand_agent.trust.verified import Verified, load_verified
from farhand_agent.updates.fetching import fetch_release
from farhand_agent.updates.state import (
    ENDED,
    UpdateState,
    drop_current,
    load_state,
    save_state,
    versions_folder,
)
from farhand_agent.updates.unpacking import is_unpacked, own_platform, unpack_release
from farhand_agent.version import VERSION
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.releases import (
    AGENT_FLOOR,
    is_version,
    release_path,
    version_number,
    version_text,
)

__all__ = ["update_main"]

Parameters = Callable[[], dict[str, Any]]

MIN_DEADLINE_S: Final = 2
MAX_DEADLINE_S: Final = 600
# Behind the deadline: the agent that is replaced has to stop, and the good one to start again.
_AFTER_S: Final = 180.0
_LOOK_S: Final = 0.25
SESSIONS_S: Final = 1800.0
_NEWS_S: Final = 20.0
_ORDER: Final = re.compile(r"[a-z0-9-]{4,64}\Z")


def update_main(parameters: Parameters) -> int:
    """Update the agent of the home that this script runs for; returns the exit status.

    Args:
        parameters: reads them; `version` says what is wanted, `again` allows one that failed
            before, `deadline_s` how long it has to be well.
    """
    try:
        answer = _update(_home(), parameters())
    except (FarhandError, OSError) as error:
        code = error.code if isinstance(error, FarhandError) else "update-failed"
        say_error(code, error.message if isinstance(error, FarhandError) else str(error))
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    if answer["outcome"] == "failed":
        say_error("update-failed", f"version {answer['version']} was taken back")
        return 1
    return 0


def _home() -> Home:
    """Return the home in which the runner gave us a folder: the one with the agent's settings."""
    left = Path(os.environ.get("FARHAND_PARAMETERS", "/"))
    for folder in left.parents:
        if (folder / "config.toml").exists() and (folder / "journal.db").exists():
            home = Home.at(folder)
            _find_resident(home)
            return home
    raise FarhandError("update-parameters", "this script runs by an order of the agent only")


def _find_resident(home: Home) -> None:
    """Look for the resident agent's socket where it listens, not where our environment says."""
    try:
        runtime = read_limited(home.path / "runtime-folder", 4096).decode()
    except (OSError, UnicodeDecodeError):
        runtime = ""
    os.environ.pop("XDG_RUNTIME_DIR", None)
    if runtime:
        os.environ["XDG_RUNTIME_DIR"] = runtime


def _update(home: Home, given: dict[str, Any]) -> dict[str, Any]:
    version, deadline_s = given.get("version"), given.get("deadline_s", 120)
    if (
        not isinstance(version, str)
        or not is_version(version)
        or not isinstance(deadline_s, int)
        or not MIN_DEADLINE_S <= deadline_s <= MAX_DEADLINE_S
    ):
        raise FarhandError("update-parameters", "the script's parameters are not as they should be")
    folder = versions_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = try_lock(folder / "update.lock")
    if lock is None:
        raise FarhandError("update-busy", "another update of this agent is under way")
    try:
        if version == VERSION:
            return _answer(version, VERSION, "no-change", "")
        _prepare(home, version, again=given.get("again") is True)
        _wait_for_sessions(home)
        return _hand_over(home, version, deadline_s)
    finally:
        lock.release()


def _answer(version: str, before: str, outcome: str, reason: str) -> dict[str, Any]:
    return {"version": version, "before": before, "outcome": outcome, "reason": reason}


def _prepare(home: Home, version: str, *, again: bool) -> None:
    """See that the version may be tried, and put its tree beside the one that runs."""
    path = release_path(own_platform(), version)
    deadline = time.monotonic() + _NEWS_S
    while True:
        trust = load_verified(home)
        entry = trust.releases.get(path) if trust is not None else None
        if entry is not None or time.monotonic() >= deadline:
            break
        time.sleep(_LOOK_S)  # an order may be faster than the metadata it was given for
    if trust is None or entry is None:
        raise RefusedError(
            "release-unknown", f"nobody has approved version {version} for {own_platform()}"
        )
    check_floor(trust, version)
    before = load_state(home)
    if before is not None and before.step not in ENDED:
        raise FarhandError("update-busy", "another update of this agent is under way")
    if before is not None and version in before.failed and not again:
        raise RefusedError(
            "release-failed-before",
            f"version {version} was tried here and taken back: {before.failed[version]}",
            hint="order it with again=true",
        )
    if is_unpacked(home, version, entry.sha256):
        return
    arriving = versions_folder(home) / f"{entry.sha256}.part"
    for other in versions_folder(home).glob("*.part"):
        if other != arriving:
            other.unlink()
    fetch_release(lambda request: local.ask(home, request), path, entry, arriving)
    unpack_release(home, arriving, version, entry.sha256)
    arriving.unlink()


def check_floor(trust: Verified, version: str) -> None:
    """Refuse a version below the organisation's floor.

    Raises:
        RefusedError: `release-below-floor`.
    """
    floor = trust.floors.scripts.get(AGENT_FLOOR, 0)
    if version_number(version) < floor:
        raise RefusedError(
            "release-below-floor", f"the organisation asks for {version_text(floor)} or newer"
        )


def _wait_for_sessions(home: Home, *, patience_s: float = SESSIONS_S) -> None:
    """Let the sessions that are open end by themselves: making way would cut them off.

    Raises:
        FarhandError: `update-sessions` when one is open for too long.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            is_free = not local.ask(home, {"do": "status"}).get("sessions")
        except AgentNotRunning:
            return  # then nothing is cut off either
        if is_free:
            return
        if time.monotonic() >= deadline:
            raise FarhandError("update-sessions", "a session is open on this device")
        time.sleep(_LOOK_S)


def _hand_over(home: Home, version: str, deadline_s: int) -> dict[str, Any]:
    """Stage the version, have the resident agent make way, and wait for the end."""
    order = os.environ.get("FARHAND_ORDER", "")
    attempt = order if _ORDER.match(order) else "by-hand"
    before = load_state(home)
    staged = UpdateState(
        attempt=attempt,
        version=version,
        before=VERSION,
        step="staged",
        base=before.base if before else "",
        deadline_s=deadline_s,
        failed=before.failed if before else {},
    )
    drop_current(home, version)
    save_state(home, staged)
    try:
        local.ask(home, {"do": "hand-over"})
    except AgentNotRunning:
        pass  # whoever starts the agent next starts the trial
    deadline = time.monotonic() + deadline_s + _AFTER_S
    while time.monotonic() < deadline:
        state = load_state(home)
        if state is not None and state.attempt == attempt and state.step in ENDED:
            outcome = "updated" if state.step == "good" else "failed"
            return _answer(version, VERSION, outcome, state.reason)
        time.sleep(_LOOK_S)
    raise FarhandError("update-failed", "the new version was staged, and nobody tried it in time")
