"""campaign create, preview, start, watch, approve, pause, resume, abort, retry, report, ..."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged, parse_pairs
from farhand_console.cli.campaign_plan import plan_options
from farhand_console.cli.campaign_report import FORMATS, report_of, show_report, write_report
from farhand_console.cli.campaign_request import (
    Request,
    asked_for,
    check_gates,
    is_kept,
    keep_request,
    show_request,
)
from farhand_console.cli.campaign_signing import approve_ring, start_campaign
from farhand_console.cli.campaign_watch import follow
from farhand_console.cli.run import published_script
from farhand_console.orders import OrderDraft, parse_parameters
from farhand_console.output import show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.campaign_answers import Campaign, CampaignReport, Target
from farhand_console.relay.desk import Ticket, TicketCampaign
from farhand_console.scripts import approved
from farhand_protocol.campaigns import CampaignPlan
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.orders import MAX_ORDER_LIFETIME_S

__all__ = ["again", "agreeing", "create_campaign", "inverse_of", "register"]

_INVERSE = "patch.revert"

agreeing = click.option(
    "--yes", is_flag=True, help="Agree to a campaign of another console without being asked."
)
_agreed = click.option(
    "--agreed", metavar="SHA256", help="Of what `campaign request` showed; nothing else is signed."
)
_unread = click.option(
    "--unread",
    is_flag=True,
    help="Agree to nothing of another console: whoever starts what is made reads it first.",
)


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    campaigns = group(root, "campaign", "One approved script on many devices.")
    _register_making(campaigns)
    _register_steering(campaigns)
    _register_reading(campaigns)


def _register_making(campaigns: click.Group) -> None:
    @command(campaigns)
    @click.option("--script", required=True)
    @click.option("--query", required=True, help="Which devices; * is every one not retired.")
    @click.option("--name")
    @click.option("--param", "pairs", multiple=True, help="NAME=VALUE, once per parameter.")
    @click.option("--version", type=click.IntRange(1))
    @click.option("--ttl", type=click.IntRange(1, 7 * 86_400), default=86_400, help="Seconds.")
    @click.option("--ticket", help="One ticket for all of it: farhand ticket campaign shows it.")
    @plan_options
    def create(
        context: Context,
        script: str,
        query: str,
        name: str | None,
        pairs: tuple[str, ...],
        version: int | None,
        ttl: int,
        ticket: str | None,
        plan: CampaignPlan,
    ) -> None:
        """Freeze the set of devices and their rings; nothing runs yet."""
        if ticket is not None:  # before there is a campaign that it would not take
            context.relay.get(segments("tickets", ticket), Ticket)
        answer = create_campaign(
            context, script, query, name=name, pairs=pairs, version=version, ttl_s=ttl, plan=plan
        )
        if ticket is not None:
            path = segments("tickets", ticket, "campaigns")
            context.relay.post(path, Page[TicketCampaign], {"campaign": answer["campaign"]})
        context.show(answer, lambda: show_fields(answer))

    @command(campaigns)
    @click.argument("campaign")
    @paged
    def preview(context: Context, campaign: str, limit: int, cursor: str | None) -> None:
        """Show the frozen set of devices, and how many each ring has."""
        report = context.relay.get(segments("campaigns", campaign, "report"), CampaignReport)
        page = context.relay.get(
            segments("campaigns", campaign, "targets"), Page[Target], limit=limit, cursor=cursor
        )
        answer = {
            "campaign": campaign,
            "targets": sum(report.counts.values()),
            "rings": [{"ring": r.ring, "name": r.name, "targets": r.targets} for r in report.rings],
            "items": [
                {"id": t.device, "name": t.name, "group": t.group, "ring": t.ring}
                for t in page.items
            ],
            "next": page.next,
        }

        def show() -> None:
            show_table(
                ("ring", "name", "targets"), [(r.ring, r.name, r.targets) for r in report.rings]
            )
            show_table(
                ("name", "id", "group", "ring"),
                [(t.name, t.device, t.group, t.ring) for t in page.items],
            )

        context.show(answer, show)

    @command(campaigns)
    @click.argument("campaign")
    @click.option("--wait", is_flag=True, help="Stay until it ends or stands still.")
    @agreeing
    @_agreed
    def start(context: Context, campaign: str, wait: bool, yes: bool, agreed: str | None) -> None:
        """Sign one order for each device whose ring may be signed, and let the relay deliver."""
        answer = start_campaign(context, campaign, yes=yes, agreed=agreed)
        if wait:
            _watch(context, campaign, stay=False)
        else:
            context.show(answer, lambda: show_fields(answer))

    @command(campaigns)
    @click.argument("campaign")
    @agreeing
    @_agreed
    def watch(context: Context, campaign: str, yes: bool, agreed: str | None) -> None:
        """Show progress until it ends, and sign each ring when its turn comes."""
        _watch(context, campaign, yes=yes, agreed=agreed)

    @command(campaigns)
    @click.argument("campaign")
    @click.argument("ring", type=click.IntRange(1))
    @agreeing
    @_agreed
    def approve(context: Context, campaign: str, ring: int, yes: bool, agreed: str | None) -> None:
        """Say that a ring may begin that waits for somebody to."""
        answer = approve_ring(context, campaign, ring, yes=yes, agreed=agreed)
        context.show(answer, lambda: show_fields(answer))


def _watch(
    context: Context,
    campaign: str,
    *,
    stay: bool = True,
    yes: bool = False,
    agreed: str | None = None,
) -> None:
    follow(context, campaign, stay=stay, yes=yes, agreed=agreed)
    answer = report_of(context, campaign)
    context.show(answer, lambda: show_report(answer))


def _register_steering(campaigns: click.Group) -> None:
    def steering(name: str, words: str) -> None:
        @command(campaigns, name, help=words)
        @click.argument("campaign")
        def steer(context: Context, campaign: str) -> None:
            told = context.relay.post(segments("campaigns", campaign, name), Campaign)
            answer = {"campaign": told.campaign, "state": told.state}
            context.show(answer, lambda: show_fields(answer))

    steering("pause", "Offer no more orders until resumed.")
    steering("resume", "Go on.")
    steering("abort", "Cancel everything that has not started.")

    @command(campaigns)
    @click.argument("campaign")
    @click.option("--ttl", type=click.IntRange(1, 7 * 86_400), help="Seconds; as before.")
    @agreeing
    @_unread
    def retry(context: Context, campaign: str, ttl: int | None, yes: bool, unread: bool) -> None:
        """Make the same campaign again, for every target that did not succeed."""
        old = asked_for(context, campaign, yes=yes, unread=unread)
        answer = again(context, old, use="retry", ttl_s=ttl)
        context.show(answer, lambda: show_fields(answer))

    @command(campaigns)
    @click.argument("campaign")
    @click.option("--script", help="What takes it back; for patch.*.apply it is known.")
    @click.option("--param", "pairs", multiple=True, help="NAME=VALUE for that script.")
    @click.option("--ttl", type=click.IntRange(1, 7 * 86_400), help="Seconds; as before.")
    @agreeing
    @_unread
    def rollback(
        context: Context,
        campaign: str,
        script: str | None,
        pairs: tuple[str, ...],
        ttl: int | None,
        yes: bool,
        unread: bool,
    ) -> None:
        """Make the inverse campaign, for every target that it changed."""
        old = asked_for(context, campaign, yes=yes, unread=unread)
        inverse, more = inverse_of(old, script)
        answer = again(
            context, old, use="rollback", script=inverse, pairs=(*more, *pairs), ttl_s=ttl
        )
        context.show(answer, lambda: show_fields(answer))


def _register_reading(campaigns: click.Group) -> None:
    @command(campaigns, "list")
    @paged
    def list_campaigns(context: Context, limit: int, cursor: str | None) -> None:
        """List campaigns, newest first."""
        page = context.relay.get("/campaigns", Page[Campaign], limit=limit, cursor=cursor)
        context.show(
            page,
            lambda: show_table(
                ("campaign", "name", "script", "state"),
                [(c.campaign, c.name, c.script, c.state) for c in page.items],
            ),
        )

    @command(campaigns)
    @click.argument("campaign")
    def show(context: Context, campaign: str) -> None:
        """Show a campaign."""
        answer = context.relay.get(segments("campaigns", campaign), Campaign)
        context.show(answer, lambda: show_fields(msgspec.to_builtins(answer)))

    @command(campaigns, "request")
    @click.argument("campaign")
    def show_asked(context: Context, campaign: str) -> None:
        """Show all that would be signed for, verified, and the hash that --agreed names."""
        answer = show_request(context, campaign)
        context.show(answer, lambda: show_fields(dict(answer["shown"])))

    @command(campaigns)
    @click.argument("campaign")
    @click.option("--format", "form", type=click.Choice(FORMATS), help="For an auditor.")
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Into this file.")
    def report(context: Context, campaign: str, form: str | None, out: Path | None) -> None:
        """Count the states, group the failures by cause; results are verified first."""
        if form is not None or out is not None:
            write_report(context, campaign, form or "html", out)
            return
        answer = report_of(context, campaign)
        context.show(answer, lambda: show_report(answer))


def create_campaign(
    context: Context,
    script: str,
    query: str,
    *,
    name: str | None,
    pairs: tuple[str, ...],
    version: int | None,
    ttl_s: int,
    plan: CampaignPlan | None = None,
    source: tuple[str, str] | None = None,
    keep: bool = True,
) -> dict[str, Any]:
    """Check the script and its parameters here, freeze the set at the relay, remember what for.

    Args:
        plan: its rings, limits and terms; one ring without limits unless given.
        source: an earlier campaign whose targets these are, and `retry` or `rollback`.
        keep: remember it as asked for; without that it is read and agreed to before it starts.

    Raises:
        FarhandError: `no-targets` when the query matches nothing; `order-lifetime`,
            `plan-malformed`, `terms-malformed`; script and parameter codes.
        UsageError: `query-invalid` for an empty query: an unset variable must not mean everybody.
    """
    if not query.strip():
        raise UsageError("query-invalid", "the query is empty; `*` means every device")
    plan = plan or CampaignPlan()
    if ttl_s + plan.splay_s > MAX_ORDER_LIFETIME_S:
        raise FarhandError("order-lifetime", "lifetime and splay are seven days together at most")
    if plan.terms.defer_days * 86_400 > ttl_s:
        raise FarhandError(
            "terms-malformed",
            "the orders end before they have been put off for so many days",
            hint=f"--ttl {plan.terms.defer_days * 86_400}",
        )
    trust = context.trust()
    envelope = published_script(context, script, version)
    manifest = approved(envelope, trust)
    draft = OrderDraft(
        trust,
        envelope,
        parse_parameters(manifest, parse_pairs(pairs)),
        operator=context.settings.account,
        now=datetime.now(UTC),
    )
    check_gates(plan, manifest.risk)
    made = context.relay.post(
        "/campaigns",
        Campaign,
        {
            "script": manifest.id,
            "version": manifest.version,
            "digest": draft.digest,
            "risk": manifest.risk,
            "query": query,
            "name": name or f"{manifest.id} on {query}"[:200],
            "parameters": draft.parameters,
            "ttl_s": ttl_s,
            "plan": plan,
        }
        | ({"source": source[0], "source_use": source[1]} if source is not None else {}),
        wait_s=60,
    )
    asked = Request(
        campaign=made.campaign,
        script=manifest.id,
        version=manifest.version,
        digest=draft.digest,
        parameters=draft.parameters,
        ttl_s=ttl_s,
        plan=plan,
        target_set=made.target_set,
    )
    if keep:
        keep_request(context.home, asked)
    return {"campaign": made.campaign, "state": made.state, "targets": made.targets}


def again(
    context: Context,
    old: Campaign,
    *,
    use: str,
    script: str | None = None,
    pairs: Sequence[str] = (),
    ttl_s: int | None = None,
) -> dict[str, Any]:
    """Make a campaign out of an earlier one's targets: `retry` of the rest, `rollback` of the done.

    Rings by tag and query stay who they are; those by count and percent are counted anew.
    """
    if script is None:
        pairs = [f"{name}={_text(value)}" for name, value in old.parameters.items()]
    return create_campaign(
        context,
        script or old.script,
        "*",
        name=f"{use} of {old.name}"[:200],
        pairs=tuple(pairs),
        version=old.version if script is None else None,
        ttl_s=ttl_s or old.ttl_s,
        plan=old.plan,
        source=(old.campaign, use),
        keep=is_kept(context.home, old.campaign),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def inverse_of(old: Campaign, script: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the script that takes a campaign back, and its parameters.

    Each device knows the versions from before: it wrote them down before it changed anything.  One
    that failed before that has nothing to bring back, and leaves older changes alone.

    Raises:
        FarhandError: `campaign-no-inverse` where none is known.
    """
    if script is not None:
        return script, ()
    parts = old.script.split(".")
    if len(parts) == 3 and parts[0] == "patch" and parts[2] == "apply":
        since = (f"since={old.created_at[:19]}Z",) if old.created_at else ()
        return _INVERSE, (f"provider={parts[1]}", *since)
    raise FarhandError(
        "campaign-no-inverse",
        f"nothing is known that takes {old.script} back",
        hint="name it with --script",
    )
