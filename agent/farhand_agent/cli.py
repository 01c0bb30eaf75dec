"""`farhand-agent`: the command line of the device.

Subcommands that weigh something (checks, inventory, patches, sessions, enrolment) are imported only
when they are called.  Data goes to stdout, words to stderr; errors are one line with a stable code,
never a traceback.  `run` becomes the resident agent by replacing this process, so that nothing of
the command line stays in its memory.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
from typing import Any

import click
import msgspec

from farhand_agent import local
from farhand_agent.alarms import alarms
from farhand_agent.audit import LogRecord
from farhand_agent.config import Home, load_settings
from farhand_agent.door import ERRAND_TIMEOUT_S
from farhand_agent.door_option import door_of, person_home_option
from farhand_agent.errors import AgentNotRunning
from farhand_agent.home_option import chosen_home, default_home, home_option
from farhand_agent.journal import Journal
from farhand_agent.notices import say, say_error
from farhand_agent.terminal import printable, table
from farhand_agent.version import VERSION
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["cli", "main"]

# Commands that live with their subject: module and attribute.  Those marked work without a home.
MOUNTED = {
    "code": ("farhand_agent.session.command", "code", False),
    "say": ("farhand_agent.session.talking", "say", False),
    "step": ("farhand_agent.session.talking", "step", False),
    "bundle": ("farhand_agent.bundle.command", "bundle", False),
    "desktop": ("farhand_agent.desktop.command", "desktop", False),
    "help": ("farhand_agent.help_request", "help_command", False),
    "order": ("farhand_agent.order_file", "order", False),
    "defer": ("farhand_agent.scripts.deferring", "defer", False),
    "install": ("farhand_agent.install.command", "install", True),
    "uninstall": ("farhand_agent.install.command", "uninstall", True),
    "inventory": ("farhand_agent.inventory.command", "inventory", True),
    "checks": ("farhand_agent.checks.command", "checks", True),
    "patches": ("farhand_agent.patches.command", "patches", True),
}
_PAGE = 100
# In the place of a token: it comes on stdin.
_STDIN = "-"
_MAX_TOKEN_CHARS = 8192
_MAX_WARNING_CHARS = 600
# Monitoring reads one line on stdout and this exit code, whatever was wrong.
_PLUGIN = "--plugin"
_PLUGIN_UNKNOWN = 3


class _LazyGroup(click.Group):
    """Imports a mounted command when it is asked for by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *MOUNTED])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MOUNTED:
            return super().get_command(ctx, cmd_name)
        module, attribute, homeless = MOUNTED[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        if homeless and not any(option.name == "home" for option in command.params):
            # Every command takes --home; these have no use for it but to refuse a foreign one.
            hidden = click.Option(["--home"], expose_value=False, hidden=True, callback=chosen_home)
            command.params.append(hidden)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _HELP.get(name, "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


_HELP = {
    "enrol": "Join an organisation with the token its admin gave you.",
    "run": "Run the agent in the foreground.",
    "code": "Show a one-time code, so that somebody can help you.",
    "help": "Ask the people who look after this device for help.",
    "desktop": "Open the page on which you get help and see what is done.",
    "say": "Write to the technician, or show what was said.",
    "step": "Answer what the technician asked you to do.",
    "status": "Show what the agent is doing.",
    "stop": "End every session on this device, now.",
    "log": "Show what was done on this device, and by whom.",
    "policy": "Show what this device allows.",
    "receipts": "List the receipts of past sessions.",
    "inventory": "Show what this device is made of.",
    "checks": "Look for problems on this device.",
    "patches": "Show what updates this device lacks.",
    "bundle": "Write one sealed file about this device, for whoever helps.",
    "order": "Run an order that came by file.",
    "defer": "Put off what waits to run here.",
    "install": "Let the agent start with the system.",
    "uninstall": "Take the agent's service away again.",
}

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", metavar="DIR", help="The agent's home; FARHAND_HOME is the default.")
@click.version_option("0.1.0", prog_name="farhand-agent")
def cli(home: str | None) -> None:
    """Farhand's device agent."""


def _emit(value: Any) -> None:
    click.echo(json.dumps(value))


@cli.command()
@click.argument("token")
@click.option("--name", help="The device's name; its host name by default.")
@click.option("--again", is_flag=True, help="Replace an earlier enrolment; takes a new key.")
@home_option
@json_option
def enrol(token: str, name: str | None, again: bool, home: Home, as_json: bool) -> None:
    """Join an organisation with the token its admin gave you; - reads it from stdin."""
    # Late, because the other commands need none of it.
    import asyncio

    from farhand_agent.enrolment import enrol as perform
    from farhand_protocol.tokens import parse_enrolment_token

    if token == _STDIN:
        # Where other people may see what a command is called with.
        token = sys.stdin.readline(_MAX_TOKEN_CHARS).strip()
    parsed = parse_enrolment_token(token)
    settings = asyncio.run(perform(home, parsed, name=name, again=again, progress=say))
    if as_json:
        _emit({"device": settings.device, "name": settings.name, "group": settings.group})
    else:
        click.echo(
            f"{printable(settings.name)} is enrolled as {settings.device} in group"
            f" {printable(settings.group)}"
        )


@cli.command()
@home_option
def run(home: Home) -> None:
    """Run the agent in the foreground."""
    # Late, because the other commands need none of it.
    from farhand_agent.updates.launch import next_process

    load_settings(home)
    arguments, environment = next_process(home)
    sys.stdout.flush()
    os.execve(arguments[0], arguments, environment)  # noqa: S606


@cli.command()
@home_option
@json_option
def status(home: Home, as_json: bool) -> None:
    """Show what the agent is doing."""
    try:
        answer = {"running": True, **local.ask(home, {"do": "status"})}
    except AgentNotRunning:
        answer = {"running": False, **_resting_status(home)}
    if as_json:
        _emit(answer)
        return
    if answer.get("device"):
        click.echo(f"device {answer['device']} ({printable(answer['name'])})")
    else:
        click.echo("this device was never enrolled")
    if not answer["running"]:
        click.echo("the agent is not running")
    elif answer["connected"]:
        click.echo(f"connected to {printable(answer['url'])} since {answer['since']}")
    else:
        click.echo(f"not connected: {printable(answer['trouble'])}")
    for warning in answer["warnings"]:
        said = f"warning: {warning['code']}: {warning['words']} (since {warning['at']})"
        click.echo(printable(said, _MAX_WARNING_CHARS))
    for session in answer["sessions"]:
        click.echo(
            f"session {session['id']} with {printable(session['operator'])},"
            f" ticket {printable(session['ticket'])} ({session['state']})"
        )
    if answer["orders"]:
        click.echo(f"{len(answer['orders'])} scripts accepted or running")


def _resting_status(home: Home) -> dict[str, Any]:
    known: dict[str, Any] = {"device": None, "name": None, "group": None, "url": None}
    if home.is_enrolled:
        settings = load_settings(home)
        known = {name: getattr(settings, name) for name in known}
    known["version"] = VERSION
    sessions: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    raised: list[dict[str, Any]] = []
    if home.journal.exists():
        journal = Journal(home.journal, read_only=True)
        try:
            sessions = [
                {"id": s.id, "state": s.state, "operator": s.operator, "ticket": s.ticket}
                for s in journal.live_sessions()
            ]
            orders = [
                {"id": o.id, "state": o.state, "script": o.script} for o in journal.open_orders()
            ]
            raised = alarms(journal)
            known["group"] = journal.meta("group") or known["group"]
        finally:
            journal.close()
    return {
        **known,
        "connected": False,
        "since": None,
        "sessions": sessions,
        "orders": orders,
        "warnings": raised,
    }


@cli.command()
@click.argument("session", required=False)
@click.option("--scope", help="Only take these back, comma-separated; the session goes on.")
@click.option("--operator", help="Only put out this one who joined; the session goes on.")
@person_home_option
@json_option
def stop(
    session: str | None, scope: str | None, operator: str | None, home: Home, as_json: bool
) -> None:
    """End every session on this device (or the one named), now."""
    door = door_of(home)
    if door is not None and (scope is not None or operator is not None):
        raise UsageError(
            "people-own-home",
            "the agent is another user's, which --scope and --operator are not for",
            hint="farhand-agent desktop opens the page on which you take something back",
        )
    if operator is not None:
        _put_out(home, session, operator, as_json=as_json)
        return
    if scope is not None:
        _take_back(home, session, scope, as_json=as_json)
        return
    request = {"do": "stop", "session": session}
    own = [] if door is None else _stop_guests(home, session)
    try:
        there = local.ask(home, request) if door is None else door.ask(request)
        stopped = own + there["stopped"]
    except AgentNotRunning:
        if door is not None:
            raise
        stopped = _stop_alone(home, session)
    if as_json:
        _emit({"stopped": stopped})
    elif stopped:
        click.echo(f"ended: {', '.join(stopped)}")
    else:
        click.echo("no session is open")


def _take_back(home: Home, session: str | None, scope: str, *, as_json: bool) -> None:
    # Late, because the other commands need none of it.
    from farhand_agent.scope_changes import withdraw_scopes_everywhere
    from farhand_protocol.trust import SCOPES

    wanted = [one.strip() for one in scope.split(",") if one.strip()]
    unknown = [one for one in wanted if one not in SCOPES]
    if unknown or not wanted:
        raise UsageError(
            "scope-unknown",
            f"{printable(unknown[0] if unknown else scope, 40)!r} is not a scope",
            hint=f"choose of: {', '.join(SCOPES)}",
        )
    closed: dict[str, list[str]] = {}
    if home.journal.exists():
        journal = Journal(home.journal)
        try:
            closed = withdraw_scopes_everywhere(journal, wanted, by="person", session=session)
        finally:
            journal.close()
    if as_json:
        _emit({"withdrawn": closed})
    for one, scopes in closed.items() if not as_json else ():
        click.echo(f"{one}: {', '.join(scopes)} taken back")
    if not closed and not as_json:
        click.echo("no session has that open")


def _put_out(home: Home, session: str | None, operator: str, *, as_json: bool) -> None:
    out: list[str] = []
    if home.journal.exists():
        journal = Journal(home.journal, read_only=True)
        try:
            live = [row.id for row in journal.live_sessions() if session in (None, row.id)]
        finally:
            journal.close()
        request = {"do": "put-out", "operator": operator}
        for one in live:
            try:
                answer = local.ask(home, request, session=one)
            except AgentNotRunning:
                continue  # its process is being started again, or ends just now
            out += [one] if answer.get("out") else []
    if as_json:
        _emit({"put_out": out})
    else:
        name = printable(operator, 80)
        click.echo(f"{name} is out of {', '.join(out)}" if out else f"{name} is in no session")


def _stop_guests(there: Home, session: str | None) -> list[str]:
    """Stop what this user began as a guest, in a home of her own, beside the agent's sessions."""
    own = Home.at(default_home())
    is_hers = own != there and os.access(own.journal, os.R_OK | os.W_OK)
    return _stop_alone(own, session) if is_hers else []


def _stop_alone(home: Home, session: str | None) -> list[str]:
    # Late, because the other commands need none of it.
    from farhand_agent.session_children import stop_sessions

    if not home.journal.exists():
        return []
    journal = Journal(home.journal)
    try:
        return stop_sessions(journal, reason="stopped", session=session)
    finally:
        journal.close()


@cli.command()
@click.option("--after", "after", type=int, help="Records behind this number.")
@click.option("--limit", default=_PAGE, type=click.IntRange(1, 1000), help="How many at most.")
@click.option("--verify", is_flag=True, help="Check the whole chain, and the receipts against it.")
@click.option("--export", is_flag=True, help="Write the whole checked chain, a record per line.")
@click.option("--heads", is_flag=True, help="Write the heads of its audit that the relay showed.")
@home_option
@json_option
def log(
    after: int | None,
    limit: int,
    verify: bool,
    export: bool,
    heads: bool,
    home: Home,
    as_json: bool,
) -> None:
    """Show what was done on this device, and by whom (the latest, or those after a number)."""
    # Late, because the other commands need none of it.
    from farhand_agent.deeds import logged_words
    from farhand_agent.log_check import checked_records
    from farhand_agent.shown_heads import relay_heads
    from farhand_protocol.audit import encode_head

    if heads:
        for head in relay_heads(home):
            click.echo(encode_head(head))
        return
    journal = _journal(home)
    try:
        if verify or export:
            count = 0
            for record in checked_records(home, journal):
                count += 1
                if export:
                    # The same JSON, in which no character acts on a terminal.
                    click.echo(json.dumps(msgspec.to_builtins(record)))
            say(f"the chain of {count} records is whole, and so is what receipts tell of it")
        if export:
            return
        records = (
            journal.latest_log_records(limit)
            if after is None
            else journal.log_records(after=after, limit=limit)
        )
    finally:
        journal.close()
    if as_json:
        more = after is not None and len(records) == limit
        cursor = str(records[-1].seq) if more else None
        _emit({"items": [_log_item(record) for record in records], "next": cursor})
        return
    rows = [(r.seq, r.at, logged_words(r.kind), _detail_words(r.detail)) for r in records]
    click.echo(table(("number", "time", "what", "details"), rows))


def _journal(home: Home) -> Journal:
    if not home.journal.exists():
        raise UsageError(
            "no-journal",
            f"nothing has happened in {home.path} yet",
            hint="give the agent's home with --home",
        )
    return Journal(home.journal, read_only=True)


def _log_item(record: LogRecord) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "detail": json.loads(record.detail),
        "hash": record.hash,
    }


def _detail_words(detail: str) -> str:
    fields = json.loads(detail)
    return " ".join(
        f"{name}={' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in fields.items()
        if value is not None
    )


@cli.command()
@home_option
@json_option
def policy(home: Home, as_json: bool) -> None:
    """Show what this device allows: signed policy and its own, whichever is stricter."""
    # Late, because the other commands need none of it.
    from farhand_agent.policy import effective_policy, load_own, own_people, policy_words
    from farhand_agent.policy_changes import policy_since
    from farhand_agent.trust.verified import current_group, load_verified

    own, people = load_own(home), own_people(home)
    trust = load_verified(home)
    group = current_group(load_settings(home), trust) if home.is_enrolled else ""
    allowed = effective_policy(home, group, trust)
    words = policy_words(allowed)
    if people is not None:
        words.append(f"who may answer and begin sessions here: {', '.join(people) or 'root alone'}")
    since = None
    if home.journal.exists():
        journal = Journal(home.journal, read_only=True)
        try:
            since = policy_since(journal)
        finally:
            journal.close()
    if as_json:
        _emit(
            {
                "policy": msgspec.to_builtins(allowed),
                "words": words,
                "since": since,
                "own": msgspec.to_builtins(own),
                "people": people,
                "group": group or None,
                "targets_version": trust.targets_version if trust else None,
                "targets_expires": trust.targets_expires if trust else None,
            }
        )
        return
    for line in words:
        click.echo(printable(line))
    if since is not None:
        click.echo(f"last changed at {since}; farhand-agent log tells what it was")


@cli.command()
@person_home_option
@json_option
def receipts(home: Home, as_json: bool) -> None:
    """List the receipts of past sessions."""
    # Late, because the other commands need none of it.
    from farhand_agent.receipts import list_receipts

    door = door_of(home)
    if door is None:
        items = list_receipts(home)
    else:
        # Of the sessions that this user followed; the files stay with the agent.
        answer = door.ask({"do": "receipts"}, timeout_s=ERRAND_TIMEOUT_S)
        items = list(answer["items"])[::-1]
    if as_json:
        _emit({"items": items, "next": None})
        return
    columns = ("session", "operator", "ticket", "started_at", "ended_at", "note", "path")
    click.echo(table(columns, [[item[name] for name in columns] for item in items]))


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    as_plugin = _PLUGIN in itertools.takewhile("--".__ne__, given)
    if as_plugin and sys.stdout is None:
        say("standard output is closed, so that nothing can be answered")
        return _PLUGIN_UNKNOWN
    try:
        outcome = cli.main(args=arguments, prog_name="farhand-agent", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()  # the help is its message, on several lines
        return 2
    except BrokenPipeError:
        # The reader of our output has left; that is its right.
        _drop_unwritten()
        return _PLUGIN_UNKNOWN if as_plugin else 1
    except (Exception, KeyboardInterrupt) as error:
        code, words, hint, status = _named(error)
        say_error(code, words, hint)
        return _answer_unknown(f"{code}: {words}") if as_plugin else status
    return outcome if isinstance(outcome, int) else 0


def _named(error: BaseException) -> tuple[str, str, str | None, int]:
    """Return the code, the words, the hint and the exit code of whatever went wrong."""
    match error:
        case FarhandError():
            return error.code, error.message, error.hint, error.exit_code
        case click.UsageError():
            return "usage", error.format_message().rstrip("."), None, 2
        case click.ClickException():
            return "failed", error.format_message(), None, 1
        case KeyboardInterrupt() | click.Abort():
            return "interrupted", "stopped from the keyboard", None, 1
        case OSError():
            return "home-unusable", f"a file cannot be used: {error}", None, 1
    # A bug of ours: named in one line, without a traceback.
    return "internal-error", f"{type(error).__name__}: {error}", None, 1


def _answer_unknown(reason: str) -> int:
    # Late, because the other commands need none of it.
    from farhand_agent.checks.plugins import plugin_failure

    try:
        click.echo(plugin_failure(reason))
    except OSError:
        # Nobody can be told on stdout; the exit code tells it, and stderr has had the words.
        pass
    _drop_unwritten()
    return _PLUGIN_UNKNOWN


def _drop_unwritten() -> None:
    """Let what nobody takes go nowhere, or else the interpreter ends with its own exit code."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
