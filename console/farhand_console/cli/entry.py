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


# Each command, the module under `farhand_console.cli` that brings it, and what the list of commands
# says of it.  A module is loaded when one of its commands is called, so that neither a command nor
# the list waits for the libraries of the others.
_COMMANDS = {
    "account": ("account", "Who may sign in to the relay."),
    "alert": ("alert", "What the devices' own checks found wrong."),
    "audit": ("audit", "The relay's record of what was done."),
    "automation": ("rule_desk", "What the desk does by itself."),
    "break-glass": ("break_glass", "Emergencies: an unapproved script, signed by two people."),
    "bug": ("bug", "Faults that many tickets are about."),
    "bundle": ("bundle", "Support bundles that devices wrote."),
    "calendar": ("promises", "Hours in which the desk works."),
    "campaign": ("campaign", "One approved script on many devices."),
    "canned": ("desk_work", "Replies that are written already."),
    "card": (
        "care",
        "Show how the desk is reached and whether it is open; with options, write the card.",
    ),
    "chat": ("chat", "Talk with the person at the device; on a terminal what is typed is sent."),
    "checklist": ("desk_work", "What is to be done for a kind of request."),
    "connector": ("connector", "Other people's desks."),
    "contract": ("contract", "What customers agreed on: hours, rates, what is left."),
    "cp": ("copy", "Copy files: farhand cp [-r] SRC DST, one of them S:PATH."),
    "deploy": (
        "deploy",
        "Install, enrol and start the agent on hosts; upgrade it there, or remove it.",
    ),
    "device": ("device", "The fleet."),
    "doctor": ("login", "Check this console: home, key, relay, clock, trust."),
    "exec": ("session", "Run a command as ssh does: farhand exec S -- COMMAND..."),
    "filter": ("desk_work", "Lists of tickets kept under a name."),
    "form": ("desk_work", "What a kind of ticket is asked."),
    "forward": (
        "session",
        "Listen locally and carry to a destination the grant names: LPORT:HOST:PORT.",
    ),
    "hook": ("webhook", "Programs that bring messages and alerts."),
    "kb": ("kb", "What the desk knows: articles, questions, collections."),
    "key": ("login", "The operator's own key."),
    "live": ("live", "People who wait in a chat."),
    "login": ("login", "Sign in to a relay and make the operator's key if there is none."),
    "looks": ("looks", "How the relay's pages look."),
    "mail": ("mail", "Mail to the desk and from it."),
    "notice": ("care", "What many people are told at once."),
    "notices": (
        "notices",
        "Show what you were told and have not seen; what is shown counts as seen.",
    ),
    "notify": ("notices", "What you want to be told, and how."),
    "operator": ("operator", "People whose keys devices trust."),
    "order": ("order", "Orders and their results."),
    "organisation": ("organisation", "Organisations that the desk works for or asks."),
    "outbox": ("outbox", "What the relay has to send, and what nobody took."),
    "patch": ("patch", "Updates across the fleet."),
    "person": ("person", "People who ask for help, or are asked."),
    "phone": ("phone", "Calls: timed, written on their tickets, and who calls."),
    "profile": ("profile", "What of the desk is switched on."),
    "proxy": ("session", "Carry a foreign ssh (ProxyCommand) to a device with an open session."),
    "queue": ("promises", "Where tickets wait."),
    "receipt": ("receipt", "What end users keep of a session."),
    "recording": ("recording", "Sealed recordings of sessions."),
    "release": ("release", "The agent's own versions."),
    "report": ("report", "A month in figures; the same that is sent by mail."),
    "run": ("run", "Run an approved script on one device."),
    "screen": (
        "screen",
        "Show the screen in a VNC viewer, which connects once to the port that is printed.",
    ),
    "screenshot": ("screenshot", "Ask the person at the device for one picture of her screen."),
    "script": ("script", "Approved scripts."),
    "session": ("session", "Sessions on devices."),
    "shell": ("session", "Open an interactive shell; S is a session or a device."),
    "skill": ("care", "Skills and certificates of the desk's people."),
    "sla": ("promises", "What is promised: times to answer and to resolve."),
    "ssh-config": (
        "session",
        "Print (or write) the configuration with which stock ssh reaches devices.",
    ),
    "steps": (
        "chat",
        "Ask the person for one thing after the other; she answers done or cannot, and why.",
    ),
    "survey": ("report", "Who is asked how content she was."),
    "ticket": ("ticket", "Requests and what became of them."),
    "time": ("time_entry", "Work on tickets, and what it comes to."),
    "token": ("token", "Enrolment tokens for new devices."),
    "tool": ("tools", "Small jobs on a device: farhand tool S NAME."),
    "trust": ("trust", "The organisation's trust root."),
    "visit": ("visit", "Visits on site."),
    "wake": ("tools", "Wake a sleeping device through a neighbour in its network."),
    "watch": ("session", "Show what the terminals of a session show; Ctrl-C ends the watching."),
    "web": ("web", "Open the console in the browser; Enter prints a new link, Ctrl-C ends it."),
    "webhook": ("webhook", "Programs that are told what happens."),
    "whoami": ("login", "Show who is signed in, where, and with which key."),
}


class _Commands(click.Group):
    """The root group; loads a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, loaded or not."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown name."""
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            module = importlib.import_module(f"farhand_console.cli.{_COMMANDS[cmd_name][0]}")
            module.register(self)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in sorted(_COMMANDS.items())])


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
