"""What a collector may use: files below a root, commands, the platform, and a deadline."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from farhand_agent.platforms.commands import Outcome, Runner, run
from farhand_agent.platforms.current import is_privileged, platform_name
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError

__all__ = ["CommandFailed", "Context", "Denied", "Malformed", "Unsupported"]


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


class CommandFailed(FarhandError):
    """A program ended with a code that means no answer, so silence of it is not "nothing".

    Args:
        program: its name.
        exit_code: as it ended, negative for a signal.
        words: what it said of that, where whoever reads the error may know.
    """

    def __init__(self, program: str, exit_code: int, words: str = "") -> None:
        self.words = words
        told = f": {words}" if words else ""
        super().__init__("command-failed", f"{program} ended with {exit_code}{told}")


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

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 10.0, ok: Container[int] | None = (0,)
    ) -> Outcome:
        """Run a command within the collector's own deadline.

        Args:
            argv: the command.
            timeout_s: the most it may take.
            ok: the exit codes with which it answers; None for a caller that judges them itself.

        Raises:
            CommandFailed: it ended with another code.
            CommandMissing, CommandDenied, CommandTimeout, CommandOverflow: as `commands.run`.
        """
        left = max(0.1, self._deadline - time.monotonic())
        outcome = self.runner(argv, timeout_s=min(timeout_s, left))
        if ok is not None and outcome.exit_code not in ok:
            raise CommandFailed(argv[0], outcome.exit_code)
        return outcome

    def run_json(self, argv: Sequence[str], *, timeout_s: float = 10.0) -> Any:
        """Run a command that prints JSON and return its value.

        Some tools print complete JSON and still end with an error, so the output counts, unless
        it is empty.

        Raises:
            CommandFailed: it ended with an error and told nothing.
            Malformed: it printed something else; and as `run`.
        """
        outcome = self.run(argv, timeout_s=timeout_s, ok=None)
        if outcome.exit_code != 0 and not outcome.stdout.strip():
            raise CommandFailed(argv[0], outcome.exit_code)
        document = self.parse_json(outcome.stdout, argv[0])
        if outcome.exit_code != 0 and not document:
            raise CommandFailed(argv[0], outcome.exit_code)
        return document

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
