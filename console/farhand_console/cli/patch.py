"""Patch campaigns: check, plan, apply, compliance, verify, rollback, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group
from farhand_console.cli.campaign import again, agreeing, create_campaign, inverse_of
from farhand_console.cli.campaign_plan import plan_options
from farhand_console.cli.campaign_report import FORMATS, report_of, write_report
from farhand_console.cli.campaign_request import asked_for
from farhand_console.cli.campaign_signing import start_campaign
from farhand_console.cli.campaign_watch import follow
from farhand_console.cli.patch_results import advisories, device_row
from farhand_console.output import line, show_table
from farhand_protocol.campaigns import CampaignPlan

__all__ = ["register"]

_CHECK = "patch.check"
_PROVIDERS = (
    "apt", "dnf", "yum", "zypper", "pacman", "apk", "flatpak", "snap", "brew", "winget",
    "windows-update",
)  # fmt: skip


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    patches = group(root, "patch", "Updates across the fleet.")

    @command(patches)
    @click.option("--query", required=True, help="Which devices.")
    @click.option("--ttl", type=click.IntRange(1, 7 * 86_400), default=86_400, help="Seconds.")
    @click.option("--no-wait", is_flag=True, help="Start it and return at once.")
    def check(context: Context, query: str, ttl: int, no_wait: bool) -> None:
        """Ask devices which updates they lack."""
        _campaign(context, _CHECK, query, (), ttl, wait=not no_wait)

    @command(patches)
    @click.option("--query", required=True, help="Which devices.")
    @click.option("--ttl", type=click.IntRange(1, 7 * 86_400), default=86_400, help="Seconds.")
    def plan(context: Context, query: str, ttl: int) -> None:
        """Ask devices what an apply would change; changes nothing."""
        _campaign(context, _CHECK, query, (), ttl, wait=True)

    @command(patches)
    @click.option("--query", required=True, help="Which devices.")
    @click.option(
        "--provider",
        type=click.Choice(_PROVIDERS),
        default="apt",
        show_default=True,
        help="Which package manager's script.",
    )
    @click.option("--param", "pairs", multiple=True, help="NAME=VALUE for the script.")
    @click.option("--ttl", type=click.IntRange(1, 7 * 86_400), default=86_400, help="Seconds.")
    @click.option("--no-wait", is_flag=True, help="Start it and return at once.")
    @plan_options
    def apply(
        context: Context,
        query: str,
        provider: str,
        pairs: tuple[str, ...],
        ttl: int,
        no_wait: bool,
        plan: CampaignPlan,
    ) -> None:
        """Install updates; the script needs its approvals first."""
        script = f"patch.{provider}.apply"
        _campaign(context, script, query, pairs, ttl, wait=not no_wait, plan=plan)

    @command(patches)
    @click.argument("campaign")
    def compliance(context: Context, campaign: str) -> None:
        """Show what the devices of a campaign lacked, by device and by advisory; asks nobody."""
        _show_devices(context, campaign)

    @command(patches)
    @click.argument("campaign")
    @agreeing
    def verify(context: Context, campaign: str, yes: bool) -> None:
        """Ask the devices that took updates in a campaign what they still lack."""
        old = asked_for(context, campaign, yes=yes)
        old = msgspec.structs.replace(old, plan=CampaignPlan())
        made = again(context, old, use="rollback", script=_CHECK)
        _carry_out(context, made["campaign"], wait=True)

    @command(patches)
    @click.argument("campaign")
    @agreeing
    def rollback(context: Context, campaign: str, yes: bool) -> None:
        """Bring back the versions from before a campaign, on every device that took updates."""
        old = asked_for(context, campaign, yes=yes)
        script, pairs = inverse_of(old, None)
        made = again(context, old, use="rollback", script=script, pairs=pairs)
        _carry_out(context, made["campaign"], wait=True)

    @command(patches)
    @click.argument("campaign")
    @click.option("--format", "form", type=click.Choice(FORMATS), default="html")
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Into this file.")
    def report(context: Context, campaign: str, form: str, out: Path | None) -> None:
        """Write what an auditor asks for: who approved what, and what each device answered."""
        write_report(context, campaign, form, out)


def _campaign(
    context: Context,
    script: str,
    query: str,
    pairs: tuple[str, ...],
    ttl_s: int,
    *,
    wait: bool,
    plan: CampaignPlan | None = None,
) -> None:
    made = create_campaign(
        context, script, query, name=None, pairs=pairs, version=None, ttl_s=ttl_s, plan=plan
    )
    _carry_out(context, made["campaign"], wait=wait)


def _carry_out(context: Context, campaign: str, *, wait: bool) -> None:
    started = start_campaign(context, campaign)
    if not wait:
        context.show(started, lambda: line(started["campaign"]))
        return
    follow(context, campaign, stay=False)
    _show_devices(context, campaign, whole=True)


def _show_devices(context: Context, campaign: str, *, whole: bool = False) -> None:
    """Show a line for each device and each advisory; as JSON with every result where `whole`."""
    report = report_of(context, campaign)
    rows = [device_row(result) for result in report["results"]]
    lacking = advisories(rows)
    if not whole:
        del report["results"]
    answer: dict[str, Any] = report | {"devices": rows, "advisories": lacking}

    def show() -> None:
        columns = ("name", "state", "updates", "security", "failed", "reboot")
        show_table(("device", *columns[1:]), [[row[name] for name in columns] for row in rows])
        if lacking:
            show_table(("advisory", "devices"), [(one["id"], one["count"]) for one in lacking[:20]])

    context.show(answer, show)
