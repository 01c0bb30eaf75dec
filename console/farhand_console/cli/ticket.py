"""ticket new, list, show, export, reply, note, set; steps and checks have files of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import click
import msgspec

from farhand_console.cli import ticket_care, ticket_checks, ticket_steps, ticket_work
from farhand_console.cli.base import Context, command, group, paged, parse_pairs
from farhand_console.cli.thread import show_thread
from farhand_console.output import json_bytes, line, own_name, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Created, Page
from farhand_console.relay.desk import (
    FilledReply,
    SavedFilter,
    ServiceTimer,
    SessionLine,
    Ticket,
    TicketForm,
    TicketMessage,
    TicketView,
    TimeEntry,
)
from farhand_console.relay.measures import SurveyLine
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["register"]

KINDS = (
    "incident",
    "request",
    "question",
    "access",
    "complaint",
    "suggestion",
    "change",
    "problem",
)
# `:hello` and nothing else is the key of a canned reply.
_SHORT = re.compile(r":[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
LEVELS = ("high", "medium", "low")
PRIORITIES = ("urgent", "high", "normal", "low")


def _described(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what a ticket is about."""
    for option in (
        click.option("--complained-about", help="The account that a complaint is about."),
        click.option("--field", "field", multiple=True, help="NAME=VALUE; farhand form list."),
        click.option("--category", help="What it is about, in a word or two."),
        click.option("--language", help="Of the requester: de, or pt-BR."),
        click.option("--repro-steps", help="How to make it happen."),
        click.option("--reproducible", type=click.Choice(["yes", "no", "sometimes"])),
        click.option("--steps-tried", help="What was tried already."),
        click.option("--security/--no-security", default=None, help="Seen by few."),
        click.option("--urgency", type=click.Choice(LEVELS)),
        click.option("--impact", type=click.Choice(LEVELS)),
        click.option("--queue"),
        click.option("--kind", type=click.Choice(KINDS)),
    ):
        function = option(function)
    return function


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    tickets = group(root, "ticket", "Requests and what became of them.")
    _register_reading(tickets)
    _register_writing(tickets)
    ticket_care.register(tickets)
    ticket_steps.register(tickets)
    ticket_checks.register(tickets)
    ticket_work.register(tickets)


def _register_reading(tickets: click.Group) -> None:
    @command(tickets, "list")
    @click.option("--state")
    @click.option("--owner", help="Whose; none for nobody's.")
    @click.option("--queue")
    @click.option("--kind", type=click.Choice(KINDS))
    @click.option("--priority", type=click.Choice(PRIORITIES))
    @click.option("--tier", type=click.IntRange(1, 3))
    @click.option("--device", help="The device's id.")
    @click.option("--due-before", help="Something is due by then, 2026-12-01T09:00:00Z.")
    @click.option("--late", is_flag=True, help="Something was due, and is not done.")
    @click.option("--query", "q", help="Words in the title; farhand ticket search looks further.")
    @click.option("--filter", "kept", help="A list that somebody keeps: farhand filter list.")
    @click.option("--sort", type=click.Choice(["newest", "oldest", "priority", "due", "updated"]))
    @click.option("--export", type=click.Path(path_type=Path), help="FILE.csv or FILE.json: all.")
    @paged
    def list_tickets(
        context: Context,
        state: str | None,
        owner: str | None,
        queue: str | None,
        kind: str | None,
        priority: str | None,
        tier: int | None,
        device: str | None,
        due_before: str | None,
        late: bool,
        q: str | None,
        kept: str | None,
        sort: str | None,
        export: Path | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List tickets, newest first; merged ones and spam only by --state.

        A list that is kept (--filter) has its own terms and order; --sort and --export are for
        those, or for all tickets.
        """
        if kept is not None or sort is not None or export is not None:
            if any((state, owner, queue, kind, priority, tier, device, due_before, late, q)):
                words = "--filter, --sort and --export take their terms from farhand filter save"
                raise click.UsageError(words)
            if export is not None:
                _export_list(context, kept, export)
                return
            page = context.relay.get(
                "/ticket-list", Page[Ticket], filter=kept, sort=sort, limit=limit, cursor=cursor
            )
            context.show(page, lambda: _show_kept(context, page, kept))
            return
        page = context.relay.get(
            "/tickets",
            Page[Ticket],
            state=state,
            owner=owner,
            queue=queue,
            kind=kind,
            priority=priority,
            tier=tier,
            device=device,
            due_before=due_before,
            late="true" if late else None,
            q=q,
            limit=limit,
            cursor=cursor,
        )
        context.show(page, lambda: _show_list(page))

    @command(tickets)
    @click.argument("number")
    @click.option("--quoted", is_flag=True, help="With what mails quote of others.")
    def show(context: Context, number: str, quoted: bool) -> None:
        """Show a ticket with its thread and its time."""
        relay = context.relay
        ticket = relay.get(segments("tickets", number), TicketView)
        path = segments("tickets", ticket.id, "messages")
        messages = list(relay.pages(path, TicketMessage))
        times = _time_entries(context, ticket.id)
        answer = msgspec.to_builtins(ticket) | {"messages": messages, "time_entries": times}
        context.show(answer, lambda: _show_ticket(ticket, messages, times, quoted=quoted))

    @command(tickets)
    @click.argument("number")
    @click.option("--format", "form", type=click.Choice(["mbox", "html", "json"]), default="mbox")
    @click.option("-o", "--output", type=click.Path(path_type=Path), help="FH-1.mbox by default.")
    @click.option("--force", is_flag=True, help="Replace a file that is there.")
    def export(context: Context, number: str, form: str, output: Path | None, force: bool) -> None:
        """Write a ticket's whole thread to a file, for people without a desk."""
        ticket = context.relay.get(segments("tickets", number), TicketView)
        if form == "json":
            path = segments("tickets", ticket.id, "messages")
            messages = list(context.relay.pages(path, TicketMessage))
            times = _time_entries(context, ticket.id)
            answer = msgspec.to_builtins(ticket) | {"messages": messages, "time_entries": times}
            data = json_bytes(answer)
        else:
            path = segments("tickets", ticket.id, "export")
            data = context.relay.get_bytes(f"{path}?format={form}")
        target = output or Path(f"{own_name(ticket.number, 'ticket')}.{form}")
        _write(target, data, force=force)
        shown = {"path": str(target), "size_bytes": len(data)}
        context.show(shown, lambda: say(f"{target}: {len(data)} bytes"))


def _show_list(page: Page[Ticket]) -> None:
    names = ("number", "priority", "state", "title", "requester", "owner", "updated")
    rows = [
        (t.number, t.priority, _state(t), t.title, t.requester, t.owner, t.updated_at)
        for t in page.items
    ]
    show_table(names, rows)


def _show_kept(context: Context, page: Page[Ticket], kept: str | None) -> None:
    """Show a list with the columns that it is kept with."""
    lists = context.relay.get("/ticket-filters", Page[SavedFilter]).items if kept else []
    columns = next((one.listing.columns for one in lists if one.name == kept), None)
    if not columns:
        _show_list(page)
        return
    show_table(columns, [[getattr(one, name, None) for name in columns] for one in page.items])


def _export_list(context: Context, kept: str | None, target: Path) -> None:
    form = target.suffix.removeprefix(".")
    if form not in ("csv", "json"):
        raise click.UsageError("the file's name ends with .csv or .json")
    query = urlencode({"format": form} | ({"filter": kept} if kept else {}))
    data = context.relay.get_bytes(f"/ticket-list/export?{query}", wait_s=600.0)
    _write(target, data, force=False)
    shown = {"path": str(target), "size_bytes": len(data)}
    context.show(shown, lambda: say(f"{target}: {len(data)} bytes"))


def _write(path: Path, data: bytes, *, force: bool) -> None:
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise FarhandError("file-exists", f"{path} is there", hint="--force replaces it") from error
    except OSError as error:
        raise FarhandError("file-unwritable", f"cannot write {path}: {error.strerror}") from error


def _state(ticket: Ticket) -> str:
    if ticket.merged_into:
        return f"{ticket.state} ({ticket.merged_into})"
    return f"{ticket.state} ({ticket.state_reason})" if ticket.state_reason else ticket.state


def _time_entries(context: Context, ticket: str) -> list[TimeEntry]:
    """Return the time spent; none for requesters, who may not see it."""
    try:
        return list(context.relay.pages(segments("tickets", ticket, "time-entries"), TimeEntry))
    except FarhandError as error:
        if error.code != "not-permitted":
            raise
        return []


_ALWAYS = ("number", "title", "state", "kind", "priority", "tier", "queue", "requester", "owner")
_WHERE_GIVEN = (
    "waiting_until",
    "priority_reason",
    "device",
    "external_key",
    "steps_tried",
    "reproducible",
    "repro_steps",
    "identity_check",
    "complained_about",
    "category",
    "language",
    "resolved_at",
    "closed_at",
)


def _promise(timer: ServiceTimer) -> str:
    left = f"{max(0, timer.target_s - timer.spent_s) / 3600:.1f} h of work time left"
    if timer.state == "running":
        return f"due {timer.due_at} ({left})" if timer.due_at else f"running ({left})"
    if timer.state == "paused":
        return f"stands still, waiting for {timer.paused_by} ({left})"
    return f"{timer.state} {timer.met_at or ''}".rstrip()


def _survey(survey: SurveyLine) -> str:
    if survey.state == "skipped":
        return f"nobody is asked: {survey.skipped}"
    if survey.state == "answered":
        return f"{survey.score} of 5, {survey.answered_at}"
    return f"asked {survey.sent_at}" if survey.sent_at else f"to be asked {survey.due_at}"


def _session(session: SessionLine) -> str:
    """Say in one line who was on the device, from when to when, and how it came out."""
    who = f"{session.session}  {session.operator}"
    if session.started_at is None:  # nobody there, refused, or still being asked
        return f"{who}  {session.state}  {session.reason}".rstrip()
    until = f"to {session.ended_at}  {session.active_s / 60:.1f} min" if session.ended_at else ""
    return f"{who}  agreed, {session.started_at} {until}  {session.reason}".rstrip()


def _show_ticket(
    ticket: TicketView, messages: list[TicketMessage], times: list[TimeEntry], *, quoted: bool
) -> None:
    fields: dict[str, object] = {name: getattr(ticket, name) for name in _ALWAYS}
    fields["state"] = _state(ticket)
    fields |= {name: value for name in _WHERE_GIVEN if (value := getattr(ticket, name))}
    if (device := ticket.device_detail) is not None:
        names = (device.get(name) for name in ("name", "make", "model", "serial"))
        fields["device"] = " ".join(str(name) for name in names if name)
        fields["warranty"] = device.get("warranty", "unknown")
    if ticket.down_from:
        fields["down"] = f"{ticket.down_from} to {ticket.down_to or 'now'}"
    fields |= {f"field {name}": value for name, value in ticket.fields.items()}
    if ticket.security:
        fields["security"] = "seen by few"
    if ticket.reopen_count:
        fields["reopened"] = f"{ticket.reopen_count} times"
    if ticket.participants:
        people = (f"{one.name} ({one.part})" for one in ticket.participants)
        fields["participants"] = ", ".join(people)
    if ticket.merged:
        fields["merged"] = ", ".join(ticket.merged)
    show_fields(fields | {"created_at": ticket.created_at, "updated_at": ticket.updated_at})
    for timer in ticket.service:
        whose = f"  promised on {timer.promised_on}" if timer.promised_on else ""
        line(f"{timer.metric}  {_promise(timer)}{whose}")
    for survey in ticket.surveys:
        line(f"survey  {_survey(survey)}")
    for session in reversed(ticket.sessions):
        line(f"session  {_session(session)}")
    for link in ticket.links:
        line(f"{link.kind} {link.ticket} ({link.state})  {link.title}")
    show_thread(ticket.number, messages, quoted=quoted)
    for entry in times:
        line("")
        line(f"{entry.started_at}  {entry.account}  {entry.active_s / 60:.1f} min  {entry.note}")


def _show_filled(filled: FilledReply) -> None:
    """Show a reply as it would be sent, on stderr what it lacks."""
    for words in filled.body.splitlines():
        line(words, 4000)
    for name in filled.missing:
        say(f"no value for {{{name}}}")


def _given(context: Context, options: dict[str, object]) -> dict[str, object]:
    """Return what was given of the options that describe a ticket."""
    body = {name: value for name, value in options.items() if value is not None}
    pairs = body.pop("field", ())
    if isinstance(pairs, tuple) and pairs:
        kinds: dict[str, str] = {}
        for form in context.relay.get("/ticket-forms", Page[TicketForm]).items:
            kinds |= {name: str(field.get("type")) for name, field in form.fields.items()}
        values = parse_pairs(pairs)
        body["fields"] = {name: _value(kinds.get(name), text) for name, text in values.items()}
    return body


def _value(kind: str | None, text: str) -> object:
    """Return what was typed for a field as what the field is; what cannot be is refused there."""
    if kind == "boolean" and text in ("yes", "no", "true", "false"):
        return text in ("yes", "true")
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    return text or None


def _register_writing(tickets: click.Group) -> None:
    @command(tickets)
    @click.option("--title", required=True)
    @click.option("--requester")
    @click.option("--device")
    @click.option("--external-key", help="The ticket's key in somebody else's desk.")
    @click.option("--body", help="The request in the requester's words.")
    @_described
    def new(context: Context, **given: object) -> None:
        """Open a ticket."""
        made = context.relay.post("/tickets", Created, _given(context, given))
        answer = {"id": made.id, "number": made.number}
        context.show(answer, lambda: line(answer["number"]))

    @command(tickets)
    @click.argument("number")
    @click.argument("body", required=False)
    @click.option(
        "--canned", metavar="KEY", help="A reply that is written already, or :KEY as BODY."
    )
    @click.option("--param", "params", multiple=True, help="NAME=VALUE, for {param.NAME}.")
    @click.option("--language", default="", help="Of the canned reply; the ticket's by default.")
    @click.option("--preview", is_flag=True, help="Show it and send nothing.")
    def reply(
        context: Context,
        number: str,
        body: str | None,
        canned: str | None,
        params: tuple[str, ...],
        language: str,
        preview: bool,
    ) -> None:
        """Answer the requester."""
        if body is not None and canned is None and _SHORT.fullmatch(body):
            body, canned = None, body
        if (body is None) is (canned is None):
            raise click.UsageError("give the words, or --canned")
        if canned is None:
            if params or language or preview:
                raise click.UsageError("--param, --language and --preview belong to --canned")
            path = segments("tickets", number, "messages")
            answer = context.relay.post(path, TicketMessage, {"kind": "reply", "body": body})
            context.show(answer, lambda: say("reply added"))
            return
        use = {"key": canned, "language": language, "params": parse_pairs(params)}
        path = segments("tickets", number, "canned")
        filled = context.relay.post(path, FilledReply, use)
        if preview:
            context.show(filled, lambda: _show_filled(filled))
            return
        if filled.missing:
            _show_filled(filled)
        sent = context.relay.post(segments("tickets", number, "canned", "send"), TicketMessage, use)
        context.show(sent, lambda: say(f"reply added: {filled.key} ({filled.language})"))

    @command(tickets)
    @click.argument("number")
    @click.argument("body")
    def note(context: Context, number: str, body: str) -> None:
        """Add a note that only staff can read."""
        path = segments("tickets", number, "messages")
        answer = context.relay.post(path, TicketMessage, {"kind": "note", "body": body})
        context.show(answer, lambda: say("note added"))

    @command(tickets, "set")
    @click.argument("number")
    @click.option("--title")
    @_described
    @click.option("--priority", type=click.Choice([*PRIORITIES, "auto"]), help="auto: the matrix.")
    @click.option("--priority-reason", help="Why it is not what impact and urgency make.")
    @click.option("--identity-check", help="How the person who asks for access was recognised.")
    @click.option("--down-from", help="Since when it did not work; '' for not at all.")
    @click.option("--down-to", help="Until when.")
    def change(context: Context, number: str, **given: object) -> None:
        """Change what the ticket says of itself; what is not given stays."""
        body = _given(context, given)
        if not body:
            raise UsageError("usage", "nothing was given to change", hint="farhand ticket set -h")
        answer = context.relay.post(segments("tickets", number, "details"), Ticket, body)
        context.show(answer, lambda: line(f"{answer.number}  {answer.priority}"))
