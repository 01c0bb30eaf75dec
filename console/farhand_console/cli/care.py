"""card, skill and notice: how the desk is reached, what it can do, what it tells many people."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Nothing, Page
from farhand_console.relay.people import CardTerms, Notice, Skill, SupportCard

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    _register_card(root)
    _register_skills(group(root, "skill", "Skills and certificates of the desk's people."))
    _register_notices(group(root, "notice", "What many people are told at once."))


def _register_card(root: click.Group) -> None:
    @command(root)
    @click.option("--organisation", help="This one's card instead of the desk's.")
    @click.option("--phone", help="Write this number on it; an empty one takes it off.")
    @click.option("--mail", help="Write this address on it.")
    @click.option("--portal", help="Write this https:// address on it.")
    @click.option("--calendar", help="In whose hours somebody is there.")
    @click.option("--words", help="One line more.")
    def card(context: Context, /, organisation: str | None, **given: str | None) -> None:
        """Show how the desk is reached and whether it is open; with options, write the card."""
        path = "/card" if organisation is None else segments("organisations", organisation, "card")
        changes = {name: text for name, text in given.items() if text is not None}
        if changes:
            terms = msgspec.to_builtins(context.relay.get(f"{path}/terms", CardTerms))
            found = context.relay.post(path, SupportCard, terms | changes)
        else:
            found = context.relay.get(path, SupportCard)
        context.show(found, lambda: show_fields(_card_fields(found)))


def _card_fields(card: SupportCard) -> dict[str, object]:
    hours = card.hours
    now = "open" if hours.open else "closed"
    now += f" until {hours.until} ({hours.zone})" if hours.until else ""
    fields: dict[str, object] = {"desk": card.title, "now": now}
    told = {"phone": card.phone, "mail": card.mail, "portal": card.portal, "words": card.words}
    return fields | {name: text for name, text in told.items() if text}


def _register_skills(skills: click.Group) -> None:
    @command(skills, "list")
    @click.option("--account", help="Only this one's.")
    @click.option("--skill", help="Only this one.")
    @click.option(
        "--ending", type=click.IntRange(0, 3660), help="Only what ends within so many days."
    )
    @paged
    def list_skills(
        context: Context,
        account: str | None,
        skill: str | None,
        ending: int | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List who can do what, and until when."""
        page = context.relay.get(
            "/skills",
            Page[Skill],
            account=account,
            skill=skill,
            ending_days=ending,
            limit=limit,
            cursor=cursor,
        )
        rows = [
            (one.account, one.skill, one.certificate, one.ends_on, "yes" if one.holds else "ended")
            for one in page.items
        ]
        names = ("account", "skill", "certificate", "ends on", "holds")
        context.show(page, lambda: show_table(names, rows))

    @command(skills)
    @click.argument("account")
    @click.argument("skill")
    @click.option("--certificate", help="Its number.")
    @click.option("--ends", "ends_on", help="The last day on which it holds, 2027-03-31.")
    def add(
        context: Context, account: str, skill: str, certificate: str | None, ends_on: str | None
    ) -> None:
        """Note that somebody can do something, or until when."""
        body: dict[str, Any] = {"account": account, "skill": skill, "ends_on": ends_on}
        made = context.relay.post("/skills", Skill, body | {"certificate": certificate or ""})
        context.show(made, lambda: line(f"{made.account}  {made.skill}"))

    @command(skills)
    @click.argument("account")
    @click.argument("skill")
    def remove(context: Context, account: str, skill: str) -> None:
        """Note that somebody can do something no more."""
        body = {"account": account, "skill": skill}
        context.relay.post("/skills/remove", Nothing, body)
        context.show(body, lambda: line(f"{account}  {skill}  removed"))


def _register_notices(notices: click.Group) -> None:
    @command(notices, "list")
    @click.option("--all", "everything", is_flag=True, help="Drafts and ended ones as well.")
    @paged
    def list_notices(context: Context, everything: bool, limit: int, cursor: str | None) -> None:
        """List what is shown now."""
        page = context.relay.get(
            "/notices",
            Page[Notice],
            everything="true" if everything else None,
            limit=limit,
            cursor=cursor,
        )
        rows = [
            (one.id, one.audience, one.target, one.title, one.published_at, one.until_at)
            for one in page.items
        ]
        names = ("id", "audience", "target", "title", "published", "until")
        context.show(page, lambda: show_table(names, rows))

    @command(notices)
    @click.option("--title", required=True)
    @click.option("--body", required=True, help="What they should know.")
    @click.option("--link", help="Where more is written, https://...")
    @click.option("--group", "of_group", help="Only people who asked for help with its devices.")
    @click.option("--organisation", help="Only its people.")
    @click.option("--until", help="Until when it is shown, 2026-12-01T09:00:00Z.")
    @click.option("--publish", is_flag=True, help="At once; else it is a draft.")
    def new(
        context: Context,
        title: str,
        body: str,
        link: str | None,
        of_group: str | None,
        organisation: str | None,
        until: str | None,
        publish: bool,
    ) -> None:
        """Write a notice for everybody, a group's people, or an organisation's."""
        if of_group is not None and organisation is not None:
            raise click.UsageError("give one of --group and --organisation")
        given: dict[str, Any] = {"title": title, "body": body, "link": link or "", "until": until}
        if of_group is not None:
            given |= {"audience": "group", "target": of_group}
        elif organisation is not None:
            given |= {"audience": "organisation", "target": organisation}
        made = context.relay.post("/notices", Notice, given)
        if publish:
            made = context.relay.post(segments("notices", made.id, "publish"), Notice, {})
        context.show(made, lambda: line(made.id))

    @command(notices, "publish")
    @click.argument("notice")
    def publish_notice(context: Context, notice: str) -> None:
        """Show a draft, and mail it to whom it is for, once each."""
        _step(context, notice, "publish")

    @command(notices)
    @click.argument("notice")
    def end(context: Context, notice: str) -> None:
        """Show a notice no more; mails that did not go yet do not go."""
        _step(context, notice, "end")


def _step(context: Context, notice: str, step: str) -> None:
    made = context.relay.post(segments("notices", notice, step), Notice, {})
    shown = {"id": made.id, "published": made.published_at, "until": made.until_at}
    context.show(made, lambda: show_fields(shown))
