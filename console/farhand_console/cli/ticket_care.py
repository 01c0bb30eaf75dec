"""ticket person, paper, papers, vendor, vendors: whose it is, what it is about, who else has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.output import line, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.people import Paper, PersonPanel, Proposal, Referral
from farhand_protocol.errors import UsageError

__all__ = ["propose_owners", "register"]


def register(tickets: click.Group) -> None:
    """Add the commands of this file to `ticket`."""
    _register_person(tickets)
    _register_papers(tickets)
    _register_vendors(tickets)


def propose_owners(context: Context, number: str, skill: str) -> None:
    """Show who could own a ticket that needs a skill, the least busy first."""
    page = context.relay.get(segments("tickets", number, "owners"), Page[Proposal], skill=skill)
    rows = [(one.account, one.open_tickets, one.ends_on) for one in page.items]
    context.show(page, lambda: show_table(("account", "open tickets", "ends on"), rows))


def _register_person(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    def person(context: Context, number: str) -> None:
        """Show whose ticket it is: organisation, contract, device, last tickets and sessions."""
        panel = context.relay.get(segments("tickets", number, "person"), PersonPanel)
        context.show(panel, lambda: _show_panel(panel))


def _show_panel(panel: PersonPanel) -> None:
    fields: dict[str, Any] = {"ticket": panel.ticket, "requester": panel.requester}
    if panel.person is not None:
        fields |= {"person": panel.person.id, "name": panel.person.name}
        fields["addresses"] = [_shown(one.value, one.verified_at) for one in panel.addresses]
        fields["notes"] = panel.person.notes or None
    fields["language"] = panel.language or None
    if panel.organisation is not None:
        hours = panel.organisation.hours
        fields["organisation"] = panel.organisation.title or panel.organisation.name
        fields["its hours"] = "open" if hours.open else f"closed until {hours.until or 'further'}"
        fields["its notes"] = panel.organisation.notes or None
    balance = panel.contract.balance
    fields["contract"] = panel.contract.contract
    if balance is not None:
        fields["hours left"] = f"{balance.balance_s / 3600:.2f}"
    if panel.device is not None:
        device = panel.device
        fields["device"] = f"{device.name} ({device.os}), seen {device.last_seen or 'never'}"
        what = " ".join(text for text in (device.make, device.model, device.serial) if text)
        fields["product"] = what or None
        fields["warranty"] = f"{device.warranty} {device.warranty_ends_on or ''}".strip()
    show_fields({name: value for name, value in fields.items() if value is not None})
    for ticket in panel.tickets:
        line(f"{ticket.number}  {ticket.state}  {ticket.created_at[:10]}  {ticket.title}")
    for one in panel.sessions:
        line(f"{one.session}  {one.operator}  {one.started_at or one.state}  {one.active_s} s")


def _shown(value: str, verified_at: str | None) -> str:
    return value if verified_at else f"{value} (claimed)"


def _register_papers(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.option("--kind", required=True, type=click.Choice(["order", "shipment", "invoice"]))
    @click.option("--number", "of_paper", required=True, help="The paper's own number.")
    @click.option("--url", help="Where it is shown, https://...")
    @click.option("--remove", is_flag=True, help="Take it off the ticket.")
    def paper(
        context: Context, number: str, kind: str, of_paper: str, url: str | None, remove: bool
    ) -> None:
        """Put an order, a shipment or an invoice of another system on a ticket."""
        body = {"kind": kind, "number": of_paper}
        if remove:
            path = segments("tickets", number, "papers", "remove")
        else:
            path = segments("tickets", number, "papers")
            body["url"] = url or ""
        page = context.relay.post(path, Page[Paper], body)
        context.show(page, lambda: _show_papers(page.items))

    @command(tickets)
    @click.argument("number", required=False)
    @click.option("--number", "of_paper", help="Papers of this number, on any ticket.")
    def papers(context: Context, number: str | None, of_paper: str | None) -> None:
        """List a ticket's papers, or find a ticket by a paper's number."""
        if (number is None) == (of_paper is None):
            raise click.UsageError("give a ticket, or --number")
        if number is not None:
            page = context.relay.get(segments("tickets", number, "papers"), Page[Paper])
        else:
            page = context.relay.get("/papers", Page[Paper], number=of_paper)
        context.show(page, lambda: _show_papers(page.items))


def _show_papers(papers: Sequence[Paper]) -> None:
    names = ("ticket", "kind", "number", "address")
    show_table(names, [(one.ticket, one.kind, one.number, one.url) for one in papers])


_CHANGES = ("rma_no", "carrier", "tracking", "sent_on", "received_on", "loaner", "outcome")


def _register_vendors(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.option("--to", help="A vendor: an organisation, or one of its people.")
    @click.option("--note", help="What they must know beyond the ticket.")
    @click.option("--until", help="When to go on at the latest, 2026-12-01T09:00:00Z.")
    @click.option("--participant", is_flag=True, help="They see and answer its public words.")
    @click.option("--referral", help="Change this one; the newest without.")
    @click.option("--rma-no", help="The number that they gave it.")
    @click.option("--carrier")
    @click.option("--tracking")
    @click.option("--sent-on", help="A day, 2026-12-01.")
    @click.option("--received-on", help="A day, 2026-12-01.")
    @click.option("--loaner", help="The device that is lent meanwhile.")
    @click.option("--outcome", help="What it came to.")
    def vendor(
        context: Context,
        /,
        number: str,
        to: str | None,
        note: str | None,
        until: str | None,
        participant: bool,
        referral: str | None,
        **given: str | None,
    ) -> None:
        """Hand a ticket to a vendor by mail and wait; without --to, note what became known."""
        changes = {name: given[name] for name in _CHANGES if given[name] is not None}
        base = segments("tickets", number, "vendor")
        made: Referral | None = None
        if to is not None:
            body: dict[str, Any] = {"to": to, "note": note or "", "participant": participant}
            body |= {"until": until, "rma_no": changes.pop("rma_no", "")}
            made = context.relay.post(base, Referral, body)
        if changes:
            which = made.id if made is not None else referral or _newest(context, base)
            made = context.relay.post(f"{base}{segments(which)}", Referral, changes)
        if made is None:
            raise UsageError("invalid", "give --to, or what is to be noted")
        shown = made
        context.show(shown, lambda: _show_referral(shown))

    @command(tickets)
    @click.argument("number", required=False)
    @click.option("--rma-no", help="Referrals with this number, on any ticket.")
    def vendors(context: Context, number: str | None, rma_no: str | None) -> None:
        """List to which vendors a ticket went, or find it by an RMA number."""
        if (number is None) == (rma_no is None):
            raise click.UsageError("give a ticket, or --rma-no")
        if number is not None:
            page = context.relay.get(segments("tickets", number, "vendor"), Page[Referral])
        else:
            page = context.relay.get("/referrals", Page[Referral], rma_no=rma_no)
        names = ("ticket", "referral", "vendor", "rma no", "sent", "received", "outcome")
        rows = [
            (r.ticket, r.id, r.vendor_name, r.rma_no, r.sent_on, r.received_on, r.outcome)
            for r in page.items
        ]
        context.show(page, lambda: show_table(names, rows))


def _newest(context: Context, base: str) -> str:
    page = context.relay.get(base, Page[Referral])
    if not page.items:
        raise UsageError("invalid", "the ticket is with no vendor; give --to")
    return page.items[0].id


def _show_referral(made: Referral) -> None:
    fields = msgspec.to_builtins(made)
    show_fields({name: value for name, value in fields.items() if value not in ("", None)})
