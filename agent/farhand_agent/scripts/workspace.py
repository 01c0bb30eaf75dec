"""The private folder of one run: the script as it was approved, and its parameters.

The folder is the agent's alone (0700); what lies in it is new (O_EXCL), read-only and on the disk
(fsync) before anything starts.  The script is hashed again through the descriptor that is run, so a
file that is exchanged behind it changes nothing.  A body that runs as somebody else gets a second
folder, that person's own, for its parameters and its temporary files; the script itself it reaches
by descriptor only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from farhand_agent.scripts.accounts import Account
from farhand_agent.scripts.check import Plan
from farhand_protocol.errors import FarhandError

__all__ = ["BODY_NAMES", "Workspace"]

# PowerShell goes by the name's ending.
BODY_NAMES: Final = {"python": "script.py", "sh": "script.sh", "powershell": "script.ps1"}
_PARAMETERS: Final = "parameters.json"


class Workspace:
    """The private folder of one run, with script and parameters in it; a context manager.

    Args:
        folder: of the agent's home, in which it is made.
        plan: what is run.
        account: who runs it; None for the agent's own account.

    Attributes:
        script: path of the body.
        descriptor: open for reading on it.
        work: the body's current folder, which it may write in.
        parameters: path of the JSON document, in `work`.

    Raises:
        OSError: the disk is full or the folder cannot be used; nothing has run then.
        FarhandError: `script-changed` when what was written is not what was approved,
            `script-vanished` when it was taken away in between.
    """

    def __init__(self, folder: Path, plan: Plan, account: Account | None = None) -> None:
        self._parent = folder
        self._plan = plan
        self._account = account
        self._made: list[Path] = []
        self.script = self.work = self.parameters = folder
        self.descriptor = -1

    def __enter__(self) -> Workspace:
        plan = self._plan
        try:
            own = self._folder(self._parent)
            self.script = own / BODY_NAMES[plan.manifest.interpreter]
            self.work = own
            if self._account is not None:
                # The agent's home is closed to everybody else.
                self.work = self._folder(Path(tempfile.gettempdir()))
            self.parameters = self.work / _PARAMETERS
            self._write(self.parameters, msgspec.json.encode(plan.parameters, order="sorted"))
            self._write(self.script, plan.body)
            _flush(own)
            self._give(self.parameters, self.work)
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        for folder in self._made:
            shutil.rmtree(folder, ignore_errors=True)

    def is_whole(self) -> bool:
        """Tell whether the files still lie where they were written."""
        try:
            there, held = os.stat(self.script), os.fstat(self.descriptor)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, held) and self.parameters.exists()

    def _open(self) -> None:
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            self.descriptor = os.open(self.script, flags)
        except FileNotFoundError as error:
            raise FarhandError(
                "script-vanished",
                "something on the device removed the script before it could run",
                hint="look at what the antivirus put into quarantine",
            ) from error
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        if digest != self._plan.manifest.sha256:
            raise FarhandError("script-changed", "the script changed on its way to the disk")
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def _folder(self, parent: Path) -> Path:
        made = Path(tempfile.mkdtemp(dir=parent, prefix=f"{self._plan.order.id}."))
        self._made.append(made)
        return made

    def _write(self, path: Path, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        flags |= getattr(os, "O_BINARY", 0)
        # Readable by descriptor for whoever runs it; the folder keeps everybody else out.
        mode = 0o500 if self._account is None else 0o555
        with os.fdopen(os.open(path, flags, 0o500), "wb") as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _give(self, *paths: Path) -> None:
        if self._account is not None and sys.platform != "win32":
            for path in paths:
                os.chown(path, self._account.uid, self._account.gid)


def _flush(folder: Path) -> None:
    """Have the folder's names on the disk too, where the system lets a folder be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
