"""The subsystem `farhand-restart`: restarting this computer, and telling one start from another.

JSON lines.  The console sends one of

    {"ask": true}        -> {"instance": TEXT}                    which session process this is
    {"restart": true}    -> {"ok": true, "instance": TEXT}        the system took the order
                         -> {"error": "reboot-failed", "words": TEXT}

What was consented to goes on after the restart: the session's process goes without ending it, and
the resident agent (or `farhand-agent code --resume`) starts another.  Nothing but the system's own
command is run, with no words from the console.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.subsystems import Lines
from farhand_protocol.errors import FarhandError

__all__ = ["MachineRestart", "restart_command"]

# Past this the computer is not going to restart any more, and the end of the terminal is the end.
RESTART_S: Final = 300.0
_COMMAND_S: Final = 30.0
_MAX_LINE: Final = 256
_SYSTEMD: Final = Path("/run/systemd/system")


def restart_command(delay_min: int = 0) -> list[str]:
    """Return the system's own command, looked for on this process's PATH.

    Args:
        delay_min: minutes until the restart; 0 is at once.

    Raises:
        FarhandError: `reboot-failed` when there is none.
    """
    if not delay_min and _SYSTEMD.is_dir() and (found := shutil.which("systemctl")) is not None:
        return [found, "reboot"]
    if (found := shutil.which("shutdown")) is not None:
        return [found, "-r", f"+{delay_min}" if delay_min else "now"]
    raise FarhandError("reboot-failed", "this computer has no command to restart it")


class MachineRestart:
    """Serves the subsystem for one session.

    Args:
        actions: what is done is noted there first.
        on_restart: is told before the command runs, so that the person sees it.
    """

    def __init__(self, actions: ActionLog, on_restart: Callable[[], None]) -> None:
        self._actions = actions
        self._on_restart = on_restart
        self._until = 0.0
        self._instance = os.urandom(8).hex()

    @property
    def is_due(self) -> bool:
        """Tell whether this computer is about to go down for a restart."""
        return asyncio.get_running_loop().time() < self._until

    async def serve(self, lines: Lines) -> None:
        """Answer one request."""
        try:
            asked = msgspec.json.decode(await lines.read_line(_MAX_LINE), type=dict[str, bool])
        except (msgspec.MsgspecError, FarhandError):
            asked = {}
        answer: dict[str, object] = {"instance": self._instance}
        try:
            if asked.get("restart"):
                await self.order()
                answer["ok"] = True
        except FarhandError as error:
            answer = {"error": error.code, "words": error.message}
        await lines.write(msgspec.json.encode(answer) + b"\n")

    def forget(self) -> None:
        """The restart was taken back: the end of the terminal is the end of the session again."""
        self._until = 0.0

    async def order(self, delay_min: int = 0) -> str:
        """Tell the system to restart, at once or in so many minutes.

        Returns:
            Which session process this is.

        Raises:
            FarhandError: `reboot-failed`.
        """
        words = restart_command(delay_min)
        when = f" in {delay_min} min" if delay_min else ""
        message = "tool-restart-later" if delay_min else "tool-restart"
        self._actions.add(
            "tool", f"restart this computer{when}", message=message, facts={"minutes": delay_min}
        )
        await self._actions.settle()
        self._until = asyncio.get_running_loop().time() + delay_min * 60 + RESTART_S
        self._on_restart()
        try:
            async with asyncio.timeout(_COMMAND_S):
                process = await asyncio.create_subprocess_exec(
                    *words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    start_new_session=True,
                )
                status = await process.wait()
        except (OSError, TimeoutError) as error:
            self._until = 0.0
            raise FarhandError("reboot-failed", "the restart could not be ordered") from error
        if status != 0:
            self._until = 0.0
            raise FarhandError("reboot-failed", f"the system refused a restart (status {status})")
        return self._instance
