"""cp: files and folders both ways, with progress, and resumed where an earlier try broke off."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh
import click

from farhand_console.cli.base import Context, command
from farhand_console.cli.joining import joined, run_session
from farhand_console.output import printable, say, warn
from farhand_console.session.files import Copied, Copying, Progress, check_pair, parse_endpoint
from farhand_console.session.ssh import reconnect

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the command of this file."""

    @command(root)
    @click.option("-r", "recurse", is_flag=True, help="Folders too.")
    @click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Go on from what an earlier try has brought.",
    )
    @click.argument("source")
    @click.argument("target")
    def cp(context: Context, recurse: bool, resume: bool, source: str, target: str) -> None:
        """Copy files: farhand cp [-r] SRC DST, one of them S:PATH."""
        one, other = parse_endpoint(source), parse_endpoint(target)
        record = joined(context, check_pair(one, other))
        with _shown_progress() as progress:
            copying = Copying(one, other, recurse=recurse, resume=resume, progress=progress)

            async def work(connection: asyncssh.SSHClientConnection) -> Copied:
                return await copying.run(connection)

            copied = run_session(reconnect(context.home, context.relay, record, work, notice=say))
        for name in copying.plan.skipped_names:
            where = printable(os.fsdecode(name) or source, 200)
            warn(f"left out, being neither a file nor a folder: {where}")
        answer = {
            "source": source,
            "target": target,
            "copied": True,
            "bytes": copied.size_bytes,
            "bytes_resumed": copied.bytes_resumed,
            "files": copied.files,
            "folders": copied.folders,
            "skipped": copied.skipped,
            "sha256": copied.sha256,
        }
        context.show(answer, lambda: say(_summary(copied)))


def _summary(copied: Copied) -> str:
    parts = [f"{copied.files} file{'' if copied.files == 1 else 's'}"]
    if copied.folders:
        parts.append(f"{copied.folders} folder{'' if copied.folders == 1 else 's'}")
    parts.append(f"{copied.size_bytes} bytes")
    if copied.bytes_resumed:
        parts.append(f"{copied.bytes_resumed} of them from an earlier try")
    return "copied " + ", ".join(parts) + "; checked at both ends"


class _Silent:
    """The progress of a copy that nobody watches."""

    def begin(self, size_bytes: int, files: int) -> None:
        """Say nothing."""

    def advance(self, size_bytes: int) -> None:
        """Say nothing."""


@contextmanager
def _shown_progress() -> Iterator[Progress]:
    """Show bytes, rate and time left on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
    # Late: it takes as long to load as the rest of a short command.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("looking", total=None)

        class Bar:
            """The bar as a copy sees it."""

            def begin(self, size_bytes: int, files: int) -> None:
                """Begin at nothing; what a reconnection leaves is counted anew."""
                words = f"{files} file{'' if files == 1 else 's'}"
                bars.reset(task, total=size_bytes, description=words)

            def advance(self, size_bytes: int) -> None:
                """Move on."""
                bars.update(task, advance=size_bytes)

        yield Bar()
