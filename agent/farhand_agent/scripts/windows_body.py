"""A body on Windows: suspended until it is in its job object, ended with the job.

Written and type-checked, never run: nobody had a Windows machine (docs/limits.md).  The script runs
by its path, because no interpreter there reads a descriptor; the folder is the agent's alone.
"""

from __future__ import annotations

import subprocess
import sys
from typing import IO, Final

from farhand_agent.scripts.job_object import JobObject, kernel
from farhand_protocol.manifest import Manifest

__all__ = ["WindowsBody"]

_SUSPENDED: Final = 0x0000_0004
_NEW_PROCESS_GROUP: Final = 0x0000_0200
_NO_WINDOW: Final = 0x0800_0000
_CTRL_BREAK: Final = 1


class WindowsBody:
    """One running body; the same verbs as `PosixBody`.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be started; nothing has run then.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        manifest: Manifest,
        stdin: IO[bytes],
        folder: str,
        env: dict[str, str],
    ) -> None:
        # Loaded late: the resume call is all that is wanted of it, and only here.
        import psutil

        self._job = JobObject(manifest, kernel())
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=env,
                creationflags=(
                    _SUSPENDED | _NEW_PROCESS_GROUP | _NO_WINDOW if sys.platform == "win32" else 0
                ),
            )
            self._job.take(self.process.pid)
            psutil.Process(self.process.pid).resume()
        except psutil.Error as error:
            self._job.close()
            raise OSError("the script's process cannot be started") from error
        except BaseException:
            self._job.close()
            raise

    def has_ended(self) -> bool:
        """Tell whether the body itself has ended."""
        return self.process.poll() is not None

    def ask_to_end(self) -> None:
        """Send Ctrl-Break to the body's group."""
        if self.process.poll() is None:
            self.process.send_signal(_CTRL_BREAK)

    def end(self) -> int:
        """End everything that is left of the body; return its exit status."""
        self._job.close()
        return self.process.wait()
