"""The watchdog of a new version: starts it, looks whether it is well, and else takes it back.

It runs from the version that is good, in the place of the resident agent, for as long as the trial
lasts.  Well means that, within the deadline, the new version's resident agent answers on the local
socket (so its journal is open), says the version that was ordered, and has the link up.

    staged    -> trial   written down, then the new version is started
    trial     -> good    well in time: `current` is turned over, and this process becomes it
    trial     -> failed  it ended, or was not well in time: it is killed, and the good one goes on
    trial     -> failed  a start found a trial that was cut off (the device crashed, kill -9)
    trial     -> staged  told to stop (the device shuts down): tried again, three times at most

The new version dies with its watchdog (Linux; elsewhere it is found by the home's lock).  The
version before stays for what still runs from it; older ones go.

Run as `python -P -m farhand_agent.updates.watchdog HOME`; `farhand-agent run` becomes it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec

from farhand_agent import local
from farhand_agent.config import Home
from farhand_agent.errors import AlreadyRunning
from farhand_agent.locks import Lock, try_lock
from farhand_agent.notices import say, say_error
from farhand_agent.processes import command
from farhand_agent.updates.launch import (
    direct_environment,
    installed_version,
    tree_command,
    tree_environment,
)
from farhand_agent.updates.state import (
    UpdateState,
    current_version,
    drop_current,
    load_state,
    point_current,
    save_state,
    versions_folder,
)
from farhand_agent.version import VERSION
from farhand_protocol.errors import FarhandError

__all__ = ["Watchdog", "main"]

MAX_TRIES: Final = 3
_LOOK_S: Final = 0.25
_STOP_S: Final = 30.0
_ANSWER_S: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1


class Watchdog:
    """Brings one open update to its end.

    Args:
        home: of the device.

    Attributes:
        is_stopping: whether this process was told to end.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self.is_stopping = False

    def stop(self) -> None:
        """End the trial; it is begun again with the next start."""
        self.is_stopping = True

    def work(self) -> UpdateState | None:
        """Try what is staged, and return where that ended; None where nothing was open.

        Raises:
            OSError: the disk is full; nothing was started then.
        """
        state = load_state(self._home)
        if state is None or state.step in ("good", "failed"):
            return state
        if state.step == "trial":
            if current_version(self._home) == state.version:
                return self._good(state)  # it was well, and we died before that was written down
            return self._failed(state, "the trial was cut off")
        if state.tries >= MAX_TRIES:
            return self._failed(state, "the device was stopped during each trial")
        return self._try(state)

    def _try(self, state: UpdateState) -> UpdateState:
        drop_current(self._home, state.version)  # before "trial" is written: see `work`
        state = self._save(state, step="trial", tries=state.tries + 1)
        say(f"version {state.version} is being tried")
        try:
            process = subprocess.Popen(
                tree_command(self._home, state.version),
                env=tree_environment(state.version),
                stdin=subprocess.DEVNULL,
                preexec_fn=_die_with_us(),  # safe: this process has one thread
            )
        except OSError as error:
            return self._failed(state, f"it cannot be started: {error.strerror}")
        trouble = self._watch(process, state)
        _end(process, kindly=trouble is None or self.is_stopping)
        if self.is_stopping and trouble is not None:
            return self._save(state, step="staged")
        if trouble is not None:
            return self._failed(state, trouble)
        point_current(self._home, state.version)
        return self._good(state)

    def _watch(self, process: subprocess.Popen[bytes], state: UpdateState) -> str | None:
        """Wait until the new version is well; returns what is wrong with it, None for nothing."""
        deadline = time.monotonic() + state.deadline_s
        while not self.is_stopping:
            if (status := process.poll()) is not None:
                return f"it ended with status {status}"
            if self._is_well(state.version):
                return None
            if time.monotonic() >= deadline:
                return f"it was not well within {state.deadline_s} s"
            time.sleep(_LOOK_S)
        return "told to stop"

    def _is_well(self, version: str) -> bool:
        try:
            answer = local.ask(self._home, {"do": "status"}, timeout_s=_ANSWER_S)
        except FarhandError:
            return False
        return answer.get("version") == version and answer.get("connected") is True

    def _good(self, state: UpdateState) -> UpdateState:
        failed = {one: why for one, why in state.failed.items() if one != state.version}
        state = self._save(state, step="good", base=installed_version(), failed=failed)
        say(f"version {state.version} is well and stays")
        for one in versions_folder(self._home).iterdir():
            if one.name not in (state.version, state.before) and (one / "SHA256").exists():
                shutil.rmtree(one, ignore_errors=True)
        return state

    def _failed(self, state: UpdateState, reason: str) -> UpdateState:
        say(f"version {state.version} is taken back: {reason}; {VERSION} goes on")
        return self._save(
            state, step="failed", reason=reason, failed={**state.failed, state.version: reason}
        )

    def _save(self, state: UpdateState, **changes: object) -> UpdateState:
        changed = msgspec.structs.replace(state, **changes)
        save_state(self._home, changed)
        return changed


def _die_with_us() -> Callable[[], None] | None:
    """Return what has a child killed by the system when this process is."""
    if sys.platform != "linux":
        return None
    library, parent = ctypes.CDLL(None), os.getpid()

    def apply() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)

    return apply


def _end(process: subprocess.Popen[bytes], *, kindly: bool) -> None:
    if kindly:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            say("the version that was tried does not end; it is killed")
    process.kill()
    process.wait()


def main(arguments: list[str]) -> int:
    """Bring an open update to its end and become the resident agent; returns only on failure."""
    home = Home.at(arguments[0])
    watchdog = Watchdog(home)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watchdog.stop())
    state: UpdateState | None = None
    try:
        lock = _lock(home)
        state = watchdog.work()
        lock.release()
    except AlreadyRunning as error:
        say_error(error.code, error.message, error.hint)
        return error.exit_code
    except (FarhandError, OSError) as error:
        # An update that cannot be written down must not keep the good version from running.
        say(f"the update cannot be worked on: {error}")
    if not watchdog.is_stopping:
        _become(home, state)
    return 0


def _lock(home: Home) -> Lock:
    """Take the watchdog's lock; neither another one nor a resident agent may be at work."""
    lock = try_lock(versions_folder(home) / "watchdog.lock")
    resident = try_lock(home.lock) if lock is not None else None
    if lock is None or resident is None:
        raise AlreadyRunning
    resident.release()
    return lock


def _become(home: Home, state: UpdateState | None) -> NoReturn:
    sys.stderr.flush()
    if state is None or state.step != "good" or state.version == VERSION:
        arguments = command("farhand_agent", "run", "--home", str(home.path))
        os.execve(arguments[0], arguments, direct_environment())  # noqa: S606
    arguments = tree_command(home, state.version)
    os.execve(arguments[0], arguments, tree_environment(state.version))  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
