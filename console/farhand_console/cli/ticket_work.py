"""ticket search, device, checklist, tick, instruct, steps: what is worked with on a ticket."""

from __future__ import annotations

from typing import Any

import click

from farhand_console.cli.base import Context, command, paged
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import read_as, segments
from farhand_console.relay.answers import Page
from farhand_console.relay.desk import (
    CampaignDevice,
    ChecklistItem,
    InstructionStep,
    KeptSection,
    Ticket,
    TicketCampaign,
    TicketDevice,
    TicketMessage,
)

__all__ = ["register"]


def register(tickets: click.Group) -> None:
    """Add the commands of this file to `farhand ticket`."""
    _register_search(tickets)
    _register_device(tickets)
    _register_checklist(tickets)
    _register_instructions(tickets)
    _register_campaigns(tickets)


def _register_search(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("words", nargs=-1, required=True)
    @click.option("--state")
    @click.option("--owner", help="Whose; none for nobody's.")
    @click.option("--queue")
    @click.option("--kind")
    @click.option("--priority", type=click.Choice(["urgent", "high", "normal", "low"]))
    @click.option("--tier", type=click.IntRange(1, 3))
    @click.option("--device", help="The device's id.")
    @paged
    def search(
        context: Context,
        words: tuple[str, ...],
        state: str | None,
        owner: str | None,
        queue: str | None,
        kind: str | None,
        priority: str | None,
        tier: int | None,
        device: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """Find tickets in which all the words are; a star stands for how a word goes on.

        Words of a ticket's own (title, requester, key, device, serial number) come first.
        """
        page = context.relay.get(
            "/ticket-search",
            Page[Ticket],
            q=" ".join(words),
            state=state,
            owner=owner,
            queue=queue,
            kind=kind,
            priority=priority,
            tier=tier,
            device=device,
            limit=limit,
            cursor=cursor,
        )
        rows = [
            (one.number, one.state, one.merged_into, one.title, one.requester, one.updated_at)
            for one in page.items
        ]
        names = ("number", "state", "merged into", "title", "requester", "updated")
        context.show(page, lambda: show_table(names, rows))


def _register_device(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.option("--section", help="Show this section as it was when the ticket was made.")
    def device(context: Context, number: str, section: str | None) -> None:
        """Show the ticket's device, its warranty, and what changed on it since."""
        if section is not None:
            path = segments("tickets", number, "device", "sections", section)
            kept = context.relay.get(path, dict[str, Any])
            section_then = read_as(kept, KeptSection)
            context.show(kept, lambda: _show_items(section_then.items))
            return
        found = context.relay.get(segments("tickets", number, "device"), TicketDevice)
        context.show(found, lambda: _show_device(found))


def _show_items(items: list[Any]) -> None:
    for item in items:
        line(item, 4000)


def _show_device(found: TicketDevice) -> None:
    product = found.product
    fields: dict[str, object] = {
        "device": f"{found.name} ({found.device})",
        "make": product.get("make"),
        "model": product.get("model"),
        "serial": product.get("serial"),
        "warranty": found.warranty,
        "last_seen": found.last_seen,
    }
    if found.proofs:
        fields["proofs"] = ", ".join(f"{one.place} {one.name}" for one in found.proofs)
    if found.down_from:
        fields["down"] = f"{found.down_from} to {found.down_to or 'now'}"
    show_fields({name: value for name, value in fields.items() if value})
    if not found.since:
        line("nothing changed since the ticket was made")
    for section in found.since:
        state = f" ({section.status_then} then, {section.status_now} now)"
        told = state if section.status_then != section.status_now else ""
        line(f"{section.name}: {section.count} changes{told}")
        for change in section.changes:
            line(f"  {change.get('change')} {change.get('identity')}", 400)


def _register_checklist(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.option("--add", help="Give the ticket this checklist.")
    def checklist(context: Context, number: str, add: str | None) -> None:
        """Show what is to be done on a ticket, item by item."""
        path = segments("tickets", number, "checklist")
        page = (
            context.relay.get(path, Page[ChecklistItem])
            if add is None
            else context.relay.post(path, Page[ChecklistItem], {"name": add})
        )
        rows = [
            (
                one.place,
                one.state,
                "required" if one.required else "",
                one.words,
                one.run or one.script,
                one.changed_by,
            )
            for one in page.items
        ]
        names = ("place", "state", "", "item", "script or run", "by")
        context.show(page, lambda: show_table(names, rows))

    @command(tickets)
    @click.argument("number")
    @click.argument("place", type=click.IntRange(1))
    @click.option("--run", help="The order that did it: it ran on the ticket's device.")
    @click.option("--skip", is_flag=True, help="It is not to be done; say why with --note.")
    @click.option("--open", "reopen", is_flag=True, help="It is to be done after all.")
    @click.option("--note", default="", help="What came out.")
    def tick(
        context: Context,
        number: str,
        place: int,
        run: str | None,
        skip: bool,
        reopen: bool,
        note: str,
    ) -> None:
        """Tick an item of the ticket's checklist."""
        if skip and reopen:
            raise click.UsageError("--skip or --open, not both")
        state = "skipped" if skip else "open" if reopen else "done"
        path = segments("tickets", number, "checklist", str(place))
        body = {"state": state, "run": run, "note": note}
        item = context.relay.post(path, ChecklistItem, body)
        context.show(item, lambda: line(f"{item.place}  {item.state}  {item.words}"))


def _register_instructions(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.argument("steps", nargs=-1, required=True)
    @click.option("--language", default="", help="Of the steps; the ticket's by default.")
    def instruct(context: Context, number: str, steps: tuple[str, ...], language: str) -> None:
        """Ask the requester to take steps, each answered with done or cannot."""
        body = {"steps": list(steps), "language": language}
        path = segments("tickets", number, "instructions")
        said = context.relay.post(path, TicketMessage, body)
        context.show(said, lambda: say(f"{len(steps)} steps asked for"))

    @command(tickets)
    @click.argument("number")
    def instructions(context: Context, number: str) -> None:
        """Show the steps that were asked for, and their answers."""
        path = segments("tickets", number, "instructions")
        page = context.relay.get(path, Page[InstructionStep])
        rows = [
            (one.message, one.place, one.words, one.answer, one.reason, one.answered_at)
            for one in page.items
        ]
        names = ("message", "step", "words", "answer", "reason", "at")
        context.show(page, lambda: show_table(names, rows))

    @command(tickets, "answer-step")
    @click.argument("number")
    @click.argument("message", type=click.IntRange(1))
    @click.argument("place", type=click.IntRange(1))
    @click.option("--cannot", metavar="WHY", help="It cannot be done, and why.")
    def answer_step(
        context: Context, number: str, message: int, place: int, cannot: str | None
    ) -> None:
        """Answer a step: done, or why it cannot be."""
        path = segments("tickets", number, "instructions", str(message), str(place))
        body = {"answer": "done" if cannot is None else "cannot", "reason": cannot or ""}
        step = context.relay.post(path, InstructionStep, body)
        context.show(step, lambda: line(f"{step.place}  {step.answer}  {step.words}"))


def _register_campaigns(tickets: click.Group) -> None:
    @command(tickets)
    @click.argument("number")
    @click.option("--add", metavar="CAMPAIGN", help="The ticket is about this one.")
    @paged
    def campaign(
        context: Context, number: str, add: str | None, limit: int, cursor: str | None
    ) -> None:
        """Show the ticket's campaigns, and how each device stands in them."""
        path = segments("tickets", number, "campaigns")
        if add is not None:
            context.relay.post(path, Page[TicketCampaign], {"campaign": add})
        held = context.relay.get(path, Page[TicketCampaign])
        rows = context.relay.get(
            segments("tickets", number, "campaign-devices"),
            Page[CampaignDevice],
            limit=limit,
            cursor=cursor,
        )
        answer = {"campaigns": held.items, "items": rows.items, "next": rows.next}
        context.show(answer, lambda: _show_campaigns(held.items, rows.items))


def _show_campaigns(held: list[TicketCampaign], rows: list[CampaignDevice]) -> None:
    for one in held:
        counts = ", ".join(f"{count} {state}" for state, count in one.counts.items())
        line(f"{one.campaign}  {one.name}  {one.state}: {counts}")
    names = ("device", "ring", "state", "exit", "refusal")
    show_table(names, [(r.name, r.ring, r.state, r.exit_code, r.refusal) for r in rows])
