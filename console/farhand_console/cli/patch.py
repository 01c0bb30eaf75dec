"""patch check, plan, apply: campaigns over the shipped patch scripts."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group
from farhand_console.cli.campaign import create_campaign, follow, report_of, start_campaign
from farhand_console.output import line, show_table

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
    def apply(
        context: Context, query: str, provider: str, pairs: tuple[str, ...], ttl: int, no_wait: bool
    ) -> None:
        """Install updates; the script needs its approvals first."""
        _campaign(context, f"patch.{provider}.apply", query, pairs, ttl, wait=not no_wait)


def _campaign(
    context: Context, script: str, query: str, pairs: tuple[str, ...], ttl_s: int, *, wait: bool
) -> None:
    made = create_campaign(
        context, script, query, name=None, pairs=pairs, version=None, ttl_s=ttl_s
    )
    started = start_campaign(context, made["campaign"])
    if not wait:
        context.show(started, lambda: line(started["campaign"]))
        return
    follow(context, made["campaign"])
    report = report_of(context, made["campaign"])
    rows = [_row(result) for result in report["results"]]
    context.show(
        report | {"devices": rows},
        lambda: show_table(
            ("device", "state", "updates", "security", "reboot"),
            [(r["name"], r["state"], r["updates"], r["security"], r["reboot"]) for r in rows],
        ),
    )


def _row(result: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "device": result["device"],
        "name": result["name"],
        "state": result["state"],
        "updates": None,
        "security": None,
        "reboot": None,
    }
    try:
        found = msgspec.json.decode(result.get("stdout", ""), type=dict[str, Any])
        providers = found.get("items", [])
        updates = [update for provider in providers for update in provider.get("updates", [])]
        row["updates"] = len(updates)
        row["security"] = sum(update.get("kind") == "security" for update in updates)
        row["reboot"] = any(p.get("reboot", {}).get("required") for p in providers)
    except (msgspec.MsgspecError, AttributeError, TypeError, RecursionError):
        row["state"] = row["state"] if row["state"] != "succeeded" else "unreadable"
    return row
