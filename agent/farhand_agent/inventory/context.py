"""What a collector may use: files below a root, commands, the platform, and a deadline."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farhand_agent.platforms.commands import Outcome, Runner, run
from farhand_agent.platforms.current import is_privileged, platform_name
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError

__all__ = ["Context", "Denied", "Malformed", "Unsupported"]


class Unsupported(FarhandError):
    """This system has no such thing, or no way to ask for it."""

    def __init__(self, reason: str) -> None:
        super().__init__("collector-unsupported", reason)


class Denied(FarhandError):
    """It is there and this user may not see it."""

    def __init__(self, reason: str) -> None:
        super().__init__("collector-denied", reason)


class Malformed(FarhandError):
    """A source answered something that cannot be read."""

    def __init__(self, source: str) -> None:
        super().__init__("collector-malformed", f"the answer of {source} cannot be read")


class Context:
    """Handed to one collector for one run.

    Args:
        root: the folder that stands for "/".
        runner: starts commands.
        platform: as `platform_name` says.
        privileged: whether this is root.
        timeout_s: seconds from now that the collector may take.
    """

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        runner: Runner = run,
        platform: str | None = None,
        privileged: bool | None = None,
        timeout_s: float = 20.0,
    ) -> None:
        self.files = SystemFiles(root)
        self.runner = runner
        self.platform = platform or platform_name()
        self.privileged = is_privileged() if privileged is None else privileged
        self.notes: list[str] = []
        self.private_notes: set[str] = set()
        self._deadline = time.monotonic() + timeout_s

    def run(self, argv: Sequence[str], *, timeout_s: float = 10.0) -> Outcome:
        """Run a command within the collector's own deadline.

        Raises:
            CommandMissing, CommandDenied, CommandTimeout, CommandOverflow: as `commands.run`.
        """
        left = max(0.1, self._deadline - time.monotonic())
        return self.runner(argv, timeout_s=min(timeout_s, left))

    def run_json(self, argv: Sequence[str], *, timeout_s: float = 10.0) -> Any:
        """Run a command that prints JSON and return its value.

        Some tools print complete JSON and still end with an error, so only the output counts.

        Raises:
            Malformed: it printed something else; and as `run`.
        """
        return self.parse_json(self.run(argv, timeout_s=timeout_s).stdout, argv[0])

    def need(self, folder: str) -> None:
        """Make sure that a folder of the kernel is there, so that an empty one means "none".

        Raises:
            Unsupported: it is not.
        """
        if not self.files.path(folder).is_dir():
            raise Unsupported(f"{folder} is not here")

    @staticmethod
    def parse_json(data: bytes | str, source: str) -> Any:
        """Return the JSON value in a tool's output.

        Raises:
            Malformed: it is not JSON.
        """
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Malformed(source) from error

    def note(self, words: str, *, private: bool = False) -> None:
        """Add a remark for the technician to the section's reason, once.

        Args:
            words: the remark.
            private: it names somebody, so it is left out where personal values are withheld.
        """
        if words not in self.notes:
            self.notes.append(words)
        if private:
            self.private_notes.add(words)
