"""The process that Windows' service manager starts: it answers the manager and keeps the agent.

It starts `farhand-agent run` as a child, tells the manager the truth about it, passes a stop on as
Ctrl-Break, and ends with the child's status as the service's own exit code.  Before the device is
enrolled it stops at once, with success.

    manager says         this does                          tells the manager
    start                starts the agent                   START_PENDING, RUNNING
    stop, shutdown       Ctrl-Break, waits, kills           STOP_PENDING, STOPPED
    (the agent ends)     -                                  STOPPED with its status as exit code

Source: "Service Programs" of the Windows SDK; called through ctypes, without pywin32.  It never ran
on the real thing (docs/limits.md).  Run as `python -m farhand_agent.install.windows_service HOME`.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from farhand_agent.install.windows import SERVICE_NAME
from farhand_agent.platforms.current import platform_name

__all__ = ["AgentChild", "main", "service_status"]

_OWN_PROCESS: Final = 0x10
STOPPED: Final = 1
START_PENDING: Final = 2
STOP_PENDING: Final = 3
RUNNING: Final = 4
_ACCEPT_STOP_AND_SHUTDOWN: Final = 0x1 | 0x4
_STOP: Final = 1
_INTERROGATE: Final = 4
_SHUTDOWN: Final = 5
_SPECIFIC_ERROR: Final = 1066
_NOT_IMPLEMENTED: Final = 120
_NO_ERROR: Final = 0
_STOP_WAIT_S: Final = 25.0
_NEW_PROCESS_GROUP: Final = 0x200
_CTRL_BREAK: Final = 1


class _Status(ctypes.Structure):
    """SERVICE_STATUS of winsvc.h."""

    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("accepted", ctypes.c_uint32),
        ("exit_code", ctypes.c_uint32),
        ("specific", ctypes.c_uint32),
        ("checkpoint", ctypes.c_uint32),
        ("wait_hint_ms", ctypes.c_uint32),
    ]


def service_status(state: int, *, exit_code: int = 0, checkpoint: int = 0) -> _Status:
    """Return what the manager is told in a state."""
    pending = state in (START_PENDING, STOP_PENDING)
    return _Status(
        kind=_OWN_PROCESS,
        state=state,
        accepted=_ACCEPT_STOP_AND_SHUTDOWN if state == RUNNING else 0,
        exit_code=_SPECIFIC_ERROR if exit_code else _NO_ERROR,
        specific=exit_code & 0xFFFFFFFF,
        checkpoint=checkpoint if pending else 0,
        wait_hint_ms=int(_STOP_WAIT_S * 1000) + 5000 if pending else 0,
    )


class AgentChild:
    """The agent's process and what is told about it.

    Args:
        home: the agent's home.
        tell: takes each status.
        start: starts the process; only tests give another.
    """

    def __init__(
        self,
        home: Path,
        tell: Callable[[_Status], None],
        start: Callable[[], subprocess.Popen[bytes]] | None = None,
    ) -> None:
        self._home = home
        self._tell = tell
        self._start = start or self._start_agent
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def _start_agent(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "farhand_agent", "run", "--home", str(self._home)],
            stdin=subprocess.DEVNULL,
            creationflags=_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
        )

    def run(self) -> int:
        """Keep the agent until it ends; returns what was told as exit code."""
        self._tell(service_status(START_PENDING, checkpoint=1))
        if not (self._home / "config.toml").exists():
            self._tell(service_status(STOPPED))
            return 0
        try:
            self._process = self._start()
        except OSError:
            self._tell(service_status(STOPPED, exit_code=1))
            return 1
        self._tell(service_status(RUNNING))
        status = self._process.wait()
        # What we ended ourselves is no failure, whatever number it ended with.
        code = 0 if self._stopping.is_set() else status
        self._tell(service_status(STOPPED, exit_code=code))
        return code

    def stop(self) -> None:
        """End the agent, kindly first; returns at once."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._tell(service_status(STOP_PENDING, checkpoint=1))
        threading.Thread(target=self._end, name="stop", daemon=True).start()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if sys.platform == "win32":
            process.send_signal(_CTRL_BREAK)
        else:
            process.terminate()
        try:
            process.wait(_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def main(arguments: list[str]) -> int:
    """Give this process to the service manager; returns the exit status."""
    if platform_name() != "windows":
        sys.stderr.write("farhand-agent: error: platform-unsupported: this is for Windows\n")
        return 2
    return _serve(Path(arguments[0]))


def _serve(home: Path) -> int:
    library: Any = getattr(ctypes, "windll").advapi32  # noqa: B009 - there is none elsewhere
    callback: Any = getattr(ctypes, "WINFUNCTYPE")  # noqa: B009
    main_type = callback(None, ctypes.c_uint32, ctypes.POINTER(ctypes.c_wchar_p))
    handler_type = callback(
        ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p
    )
    library.RegisterServiceCtrlHandlerExW.restype = ctypes.c_void_p
    library.RegisterServiceCtrlHandlerExW.argtypes = [
        ctypes.c_wchar_p, handler_type, ctypes.c_void_p,
    ]  # fmt: skip
    library.SetServiceStatus.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Status)]
    codes: list[int] = []
    kept: list[Any] = []  # the manager calls these as long as the process lives

    class Entry(ctypes.Structure):
        _fields_ = [("name", ctypes.c_wchar_p), ("run", main_type)]

    def service_main(_count: int, _arguments: Any) -> None:
        def handle(control: int, _event: int, _data: Any, _context: Any) -> int:
            if control in (_STOP, _SHUTDOWN):
                child.stop()
                return _NO_ERROR
            return _NO_ERROR if control == _INTERROGATE else _NOT_IMPLEMENTED

        kept.append(handler_type(handle))
        handle_of_service = library.RegisterServiceCtrlHandlerExW(SERVICE_NAME, kept[-1], None)

        def tell(status: _Status) -> None:
            library.SetServiceStatus(handle_of_service, ctypes.byref(status))

        child = AgentChild(home, tell)
        codes.append(child.run())

    kept.append(main_type(service_main))
    table = (Entry * 2)(Entry(SERVICE_NAME, kept[0]), Entry(None, main_type(0)))
    if not library.StartServiceCtrlDispatcherW(table):
        sys.stderr.write("farhand-agent: error: service-manager: start it with sc.exe start\n")
        return 1
    return codes[0] if codes else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
