"""The root of the command line: global options and the list of command groups."""

from __future__ import annotations

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
    script,
    session,
    ticket,
    token,
    trust,
)
from farhand_console.cli.base import error_exit
from farhand_protocol.errors import FarhandError

__all__ = ["farhand", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(file_okay=False), help="The console's folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.version_option("0.1.0", prog_name="farhand")
@click.pass_context
def farhand(context: click.Context, home: str | None, as_json: bool) -> None:
    """Remote support from a ticket: sessions, scripts and campaigns that the relay cannot forge."""
    context.obj = {"home": home, "as_json": as_json}


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
    campaign,
    patch,
    receipt,
    audit,
):
    module.register(farhand)


def main() -> None:
    """Run the command line; every failure is a line on stderr and an exit code."""
    try:
        farhand.main(prog_name="farhand", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("farhand: stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"farhand: error: usage: {error.format_message()}", err=True)
        sys.exit(2)
    except FarhandError as error:
        sys.exit(error_exit(error))
