"""The root of the command line: global options and the list of command groups."""

from __future__ import annotations

import io
import sys

import click

from farhand_console.cli import (
    account,
    audit,
    campaign,
    device,
    login,
    operator,
    patch,
    receipt,
    run,
    script,
    session,
    ticket,
    token,
    trust,
)
from farhand_console.cli.base import error_exit, shared
from farhand_console.output import say
from farhand_protocol.errors import FarhandError

__all__ = ["farhand", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="farhand-console", prog_name="farhand")
@shared
def farhand(home: str | None, as_json: bool) -> None:
    """Remote support from a ticket: sessions, scripts and campaigns that the relay cannot forge."""


for module in (
    login,
    account,
    trust,
    operator,
    token,
    device,
    ticket,
    session,
    script,
    run,
    campaign,
    patch,
    receipt,
    audit,
):
    module.register(farhand)


def main() -> None:
    """Run the command line; every failure is a line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # Without standalone mode click returns the status of --help and --version.
        status = farhand.main(prog_name="farhand", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        say("farhand: stopped")
        sys.exit(130)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        say(f"farhand: error: usage: {' '.join(error.format_message().split())}")
        sys.exit(2)
    except FarhandError as error:
        sys.exit(error_exit(error))
