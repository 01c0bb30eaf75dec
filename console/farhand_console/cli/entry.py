"""The root of the command line: global options and the list of command groups."""

from __future__ import annotations

import importlib
import io
import sys

import click

from farhand_console.cli.base import error_exit, shared
from farhand_console.output import say
from farhand_protocol.errors import FarhandError

__all__ = ["farhand", "main"]


# Each command and the module under `farhand_console.cli` that brings it.  A module is loaded when
# one of its commands is called, so that no command waits for the libraries of the others.
_BROUGHT_BY = {
    "account": "account",
    "alert": "alert",
    "audit": "audit",
    "break-glass": "break_glass",
    "bundle": "bundle",
    "calendar": "promises",
    "campaign": "campaign",
    "chat": "chat",
    "cp": "copy",
    "deploy": "deploy",
    "device": "device",
    "doctor": "login",
    "exec": "session",
    "forward": "session",
    "key": "login",
    "login": "login",
    "operator": "operator",
    "order": "order",
    "patch": "patch",
    "proxy": "session",
    "queue": "promises",
    "receipt": "receipt",
    "recording": "recording",
    "release": "release",
    "run": "run",
    "script": "script",
    "session": "session",
    "shell": "session",
    "sla": "promises",
    "ssh-config": "session",
    "steps": "chat",
    "ticket": "ticket",
    "token": "token",
    "tool": "tools",
    "trust": "trust",
    "wake": "tools",
    "watch": "session",
    "whoami": "login",
}


class _Commands(click.Group):
    """The root group; loads a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, loaded or not."""
        return sorted(_BROUGHT_BY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown name."""
        if cmd_name in _BROUGHT_BY and cmd_name not in self.commands:
            module = importlib.import_module(f"farhand_console.cli.{_BROUGHT_BY[cmd_name]}")
            module.register(self)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="farhand-console", prog_name="farhand")
@shared
def farhand(home: str | None, as_json: bool) -> None:
    """Remote support from a ticket: sessions, scripts and campaigns that the relay cannot forge."""


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
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        say(f"farhand: error: usage: {' '.join(error.format_message().split())}")
        sys.exit(2)
    except FarhandError as error:
        sys.exit(error_exit(error))
