"""visit: on site, with an invitation for everybody's calendar and a bundle to take along."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.home import write_private
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import read_as, segments
from farhand_console.relay.answers import Me, Page
from farhand_console.relay.channels import Visit
from farhand_console.relay.desk import TicketView

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    visits = group(root, "visit", "Visits on site.")
    _register_plans(visits)
    _register_looks(visits)


def _show(context: Context, visit: Visit) -> None:
    words = f"{visit.id}  {visit.state}  {visit.starts_at}  {visit.technician}  {visit.place}"
    context.show(visit, lambda: line(words))


def _register_plans(visits: click.Group) -> None:
    @command(visits)
    @click.argument("ticket")
    @click.option("--from", "starts_at", required=True, help="2026-12-01T09:00:00Z, or +01:00.")
    @click.option("--to", "ends_at", required=True, help="As --from.")
    @click.option("--place", required=True, help="Where, in words.")
    @click.option("--technician", help="The account of who comes; you, unless given.")
    def plan(
        context: Context,
        ticket: str,
        starts_at: str,
        ends_at: str,
        place: str,
        technician: str | None,
    ) -> None:
        """Plan a visit: the ticket waits for it, and both sides get it for their calendars."""
        body = {
            "ticket": ticket,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "place": place,
            "technician": technician or _me(context),
        }
        _show(context, context.relay.post("/visits", Visit, body))

    @command(visits)
    @click.argument("visit")
    @click.option("--from", "starts_at", required=True, help="2026-12-01T09:00:00Z, or +01:00.")
    @click.option("--to", "ends_at", required=True, help="As --from.")
    @click.option("--place", help="Where, in words; as it was, unless given.")
    @click.option("--technician", help="The account of who comes; as it was, unless given.")
    def move(
        context: Context,
        visit: str,
        starts_at: str,
        ends_at: str,
        place: str | None,
        technician: str | None,
    ) -> None:
        """Plan a visit anew, also one for which nobody was there."""
        old = context.relay.get(segments("visits", visit), Visit)
        body = {
            "starts_at": starts_at,
            "ends_at": ends_at,
            "place": place or old.place,
            "technician": technician or old.technician,
        }
        _show(context, context.relay.post(segments("visits", visit, "move"), Visit, body))

    @command(visits)
    @click.argument("visit")
    @click.option("--reason", required=True, help="Why.")
    def cancel(context: Context, visit: str, reason: str) -> None:
        """Call a visit off."""
        path = segments("visits", visit, "cancel")
        _show(context, context.relay.post(path, Visit, {"reason": reason}))

    @command(visits)
    @click.argument("visit")
    @click.option("--outcome", required=True, help="What came of it.")
    @click.option("--minutes", type=float, help="Worked; the whole window, unless given.")
    @click.option("--nobody-there", is_flag=True, help="Nobody opened; it may be planned anew.")
    @click.option("--free", is_flag=True, help="The time is not to be billed.")
    def finish(
        context: Context,
        visit: str,
        outcome: str,
        minutes: float | None,
        nobody_there: bool,
        free: bool,
    ) -> None:
        """Write down what came of a visit, and its time."""
        body = {
            "outcome": outcome,
            "was_there": not nobody_there,
            "minutes": minutes,
            "billable": not free,
        }
        _show(context, context.relay.post(segments("visits", visit, "finish"), Visit, body))


def _me(context: Context) -> str:
    return context.relay.get("/me", Me).account.name


def _register_looks(visits: click.Group) -> None:
    @command(visits, "list")
    @click.option("--technician", help="Only of this account.")
    @click.option("--ticket", help="Only of this one.")
    @click.option("--state", type=click.Choice(["planned", "done", "missed", "cancelled"]))
    @click.option("--since", help="Only those that begin then or later.")
    @paged
    def list_visits(
        context: Context,
        technician: str | None,
        ticket: str | None,
        state: str | None,
        since: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List visits, by when they begin."""
        page = context.relay.get(
            "/visits",
            Page[Visit],
            technician=technician,
            ticket=ticket,
            state=state,
            since=since,
            limit=limit,
            cursor=cursor,
        )
        rows = [
            (one.id, one.starts_at, one.technician, one.place, one.state, one.ticket)
            for one in page.items
        ]
        names = ("visit", "begins", "technician", "place", "state", "ticket")
        context.show(page, lambda: show_table(names, rows))

    @command(visits)
    @click.argument("visit")
    def show(context: Context, visit: str) -> None:
        """Show a visit."""
        found = context.relay.get(segments("visits", visit), Visit)
        fields = {name: getattr(found, name) for name in found.__struct_fields__}
        context.show(found, lambda: show_fields(fields))

    @command(visits)
    @click.argument("visit")
    @click.option(
        "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A .zip file."
    )
    def bundle(context: Context, visit: str, out: Path) -> None:
        """Write what is needed where there is no line: ticket, inventory, invitation."""
        found = context.relay.get(segments("visits", visit), Visit)
        ticket = context.relay.get(segments("tickets", found.ticket), dict[str, Any])
        files = {
            "visit.json": msgspec.json.encode(found),
            "visit.ics": context.relay.get_bytes(segments("visits", visit, "ics")),
            "ticket.json": msgspec.json.encode(ticket),
            "ticket.html": context.relay.get_bytes(
                f"{segments('tickets', found.ticket, 'export')}?format=html"
            ),
        }
        known = read_as(ticket, TicketView)
        if known.device is not None and known.device_detail:
            device = segments("devices", known.device, "inventory")
            files["inventory.json"] = msgspec.json.encode(context.relay.get(device, dict[str, Any]))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        write_private(out, packed.getvalue())
        answer = {"path": str(out), "files": sorted(files)}
        context.show(answer, lambda: say(f"{out}: {', '.join(sorted(files))}"))
