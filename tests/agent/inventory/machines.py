"""Made-up machines: a root folder with files, and commands with what they print.

A command that is not given is not installed.  Whatever a section yields must be valid and stand in
docs/inventory.md; `collect` checks that for every test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import sections
from farhand_agent.inventory.runner import collect_section
from farhand_agent.platforms.commands import MAX_OUTPUT_BYTES, CommandMissing, Outcome
from farhand_protocol.inventory import SectionReport, validate_section
from tests.agent.inventory.field_tables import unwritten

__all__ = ["FOLDER", "Link", "Machine"]


@dataclass(frozen=True)
class Link:
    """A symbolic link instead of a file."""

    target: str


FOLDER = Link("")


class Machine:
    """One such machine.

    Args:
        root: an empty folder.
        files: text, bytes, `Link` or `FOLDER` by absolute path.
        commands: what a command prints, by the beginning of its line.
        privileged: whether it is looked at as root.
    """

    def __init__(
        self,
        root: Path,
        files: Mapping[str, str | bytes | Link] | None = None,
        commands: Mapping[str, str | Outcome] | None = None,
        *,
        privileged: bool = True,
        platform: str = "linux",
    ) -> None:
        self.root = root
        self.commands = dict(commands or {})
        self.privileged = privileged
        self.platform = platform
        self.ran: list[str] = []
        for name, content in (files or {}).items():
            path = root / name.lstrip("/")
            if content is FOLDER:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                path.symlink_to(content.target)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 10.0,
        max_bytes: int = MAX_OUTPUT_BYTES,
        env: Mapping[str, str] | None = None,
        overflow: Literal["fail", "tail"] = "fail",
        grace_s: float = 0.0,
    ) -> Outcome:
        """Answer as the machine's programs would."""
        line = " ".join(argv)
        self.ran.append(line)
        fitting = [one for one in self.commands if line.startswith(one)]
        if not fitting:
            if any(one.split()[0] == argv[0] for one in self.commands):
                raise AssertionError(f"nobody said what {line!r} prints")
            raise CommandMissing(argv[0])
        answer = self.commands[max(fitting, key=len)]
        return answer if isinstance(answer, Outcome) else Outcome(0, answer.encode(), b"")

    def collect(self, name: str, *, personal: bool = True) -> SectionReport:
        """Return a section of this machine, whatever its status."""
        one = sections(self.platform, [name])[name]
        context = Context(
            root=self.root, runner=self.run, platform=self.platform, privileged=self.privileged
        )
        report = collect_section(one, context, personal=personal)
        validate_section(report)
        assert not unwritten(name, one.personal, report.items)
        return report

    def items(self, name: str) -> list[dict[str, Any]]:
        """Return the items of a section that must be ok."""
        report = self.collect(name)
        assert report.status == "ok", (report.status, report.reason)
        return report.items

    def item(self, name: str) -> dict[str, Any]:
        """Return the only item of a section that must be ok."""
        (item,) = self.items(name)
        return item
