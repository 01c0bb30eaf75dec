"""`farhand-server`: the group, its shared options, and what happens to errors.

`--home` and `--json` may stand before or after the command.  Exit codes: 0, 1 failed, 2 wrong
usage, 3 refused.  No traceback ever reaches a person: an error of ours that nobody expected is one
line and goes to the log in full only with FARHAND_DEBUG=1.

The commands stand in `commands`, which loads the whole relay with it.  It is loaded when one of
them is called: whoever asks for help or mistypes a word does not wait for that.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.cli.output import PROGRAM, show_error
from farhand_server.collection import without_collection

__all__ = ["Context", "cli", "main", "run_async", "shared_options"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# What the list of commands says of each; the module `commands` brings them.
_COMMANDS = {
    "backup": "Write keys, settings and database to a file.",
    "doctor": "Check home, database, clock, disk, bus and more.",
    "init": "Make a relay's home and its first admin.",
    "migrate": "Bring the database's schema to this version.",
    "reindex": "Make anew what tickets are searched by.",
    "restore": "Make a home from a backup file.",
    "run": "Run the relay until SIGTERM.",
    "signin": "Print a new sign-in token for an account.",
    "token": "Print an enrolment token signed by this host.",
}


class Context:
    """What stands before the command."""

    def __init__(self, home: str | None, as_json: bool) -> None:
        self._home = home
        self.as_json = as_json

    def home(self, after: str | None) -> Path:
        """Return the home: after the command, before it, or FARHAND_HOME.

        Raises:
            UsageError: `home-needed`.
        """
        # A home that was given but is empty (`--home "$UNSET"`) must not mean another one.
        given = [one for one in (after, self._home) if one is not None]
        home = given[0] if given else os.environ.get("FARHAND_HOME")
        if not home:
            raise UsageError(
                "home-needed", "which home is meant?", hint="give --home DIR or set FARHAND_HOME"
            )
        return Path(home)


def shared_options(command: F) -> F:
    """Add --home and --json after the command."""
    command = click.option("--home", metavar="DIR", help="The relay's folder.")(command)
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class _Commands(click.Group):
    """The root group; loads the commands when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, loaded or not."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown name."""
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            with without_collection():
                importlib.import_module("farhand_server.cli.commands")
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", metavar="DIR", help="The relay's folder; FARHAND_HOME is the default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.version_option(package_name="farhand-server", prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context, home: str | None, as_json: bool) -> None:
    """Farhand's relay and desk. It carries; it cannot command."""
    context.obj = Context(home, as_json)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        outcome = cli.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except FarhandError as error:
        show_error(error)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except click.UsageError as error:
        where = f"{error.ctx.command_path} --help" if error.ctx else f"{PROGRAM} --help"
        message = error.format_message().rstrip(".")
        show_error(UsageError("usage", message[:1].lower() + message[1:], hint=where))
        return 2
    except click.ClickException as error:
        show_error(FarhandError("failed", error.format_message()))
        return 1
    except (click.Abort, KeyboardInterrupt):
        show_error(FarhandError("interrupted", "stopped"))
        return 1
    except BrokenPipeError:
        # Whoever read our output went away; there is nobody to tell.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives until the process ends
        return 1
    except Exception as error:  # the last line of defence: a person gets no traceback
        if os.environ.get("FARHAND_DEBUG") == "1":
            traceback.print_exc()
        show_error(
            FarhandError(
                "internal",
                f"this should not have happened ({type(error).__name__})",
                hint="FARHAND_DEBUG=1 shows where; please report it",
            )
        )
        return 1
    return outcome if isinstance(outcome, int) else 0
