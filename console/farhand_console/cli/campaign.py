"""campaign create, preview, start, pause, resume, abort, list, show, report."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from farhand_console.cli.base import Context, command, group, paged, parse_pairs
from farhand_console.orders import OrderDraft, parse_parameters, sign_order, verify_result
from farhand_console.output import printable, say, show_fields, show_table, warn
from farhand_console.trust.devices import verify_device
from farhand_protocol.errors import FarhandError
from farhand_protocol.manifest import check_approved, manifest_digest
from farhand_protocol.orders import FINAL_STATES

__all__ = ["create_campaign", "follow", "register", "report_of", "start_campaign"]

_BATCH = 200
_ENDED = ("finished", "aborted")


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
    @click.option("--ttl", type=click.IntRange(10, 7 * 86_400), default=86_400, help="Seconds.")
    def create(
        context: Context,
        script: str,
        query: str,
        name: str | None,
        pairs: tuple[str, ...],
        version: int | None,
        ttl: int,
    ) -> None:
        """Freeze the set of devices; nothing runs yet."""
        answer = create_campaign(
            context, script, query, name=name, pairs=pairs, version=version, ttl_s=ttl
        )
        context.show(answer, lambda: show_fields(answer))

    @command(campaigns)
    @click.argument("campaign")
    def preview(context: Context, campaign: str) -> None:
        """Show the frozen set of devices."""
        items = list(context.relay.pages(f"/campaigns/{campaign}/targets", limit=500))
        answer = {
            "campaign": campaign,
            "items": [
                {"id": t["id"], "name": t["name"], "group": t["group"], "ring": t.get("ring", 0)}
                for t in items
            ],
            "next": None,
        }
        context.show(
            answer,
            lambda: show_table(
                ("name", "id", "group"), [(t["name"], t["id"], t["group"]) for t in items]
            ),
        )

    @command(campaigns)
    @click.argument("campaign")
    @click.option("--wait", is_flag=True, help="Stay and show progress until it ends.")
    def start(context: Context, campaign: str, wait: bool) -> None:
        """Sign one order for each device and let the relay deliver them."""
        answer = start_campaign(context, campaign)
        if wait:
            follow(context, campaign)
            answer = report_of(context, campaign)
            context.show(answer, lambda: _show_report(answer))
        else:
            context.show(answer, lambda: show_fields(answer))


def _register_steering(campaigns: click.Group) -> None:
    def steering(name: str, words: str) -> None:
        @command(campaigns, name, help=words)
        @click.argument("campaign")
        def steer(context: Context, campaign: str) -> None:
            answer = context.relay.post(f"/campaigns/{campaign}/{name}")
            context.show(answer, lambda: show_fields(answer))

    steering("pause", "Offer no more orders until resumed.")
    steering("resume", "Go on.")
    steering("abort", "Cancel everything that has not started.")


def _register_reading(campaigns: click.Group) -> None:
    @command(campaigns, "list")
    @paged
    def list_campaigns(context: Context, limit: int, cursor: str | None) -> None:
        """List campaigns, newest first."""
        page = context.relay.get("/campaigns", limit=limit, cursor=cursor)
        context.show(
            page,
            lambda: show_table(
                ("campaign", "name", "script", "state"),
                [(c["campaign"], c["name"], c["script"], c["state"]) for c in page["items"]],
            ),
        )

    @command(campaigns)
    @click.argument("campaign")
    def show(context: Context, campaign: str) -> None:
        """Show a campaign."""
        answer = context.relay.get(f"/campaigns/{campaign}")
        context.show(answer, lambda: show_fields(answer))

    @command(campaigns)
    @click.argument("campaign")
    def report(context: Context, campaign: str) -> None:
        """Count the states, group the failures by cause; results are verified first."""
        answer = report_of(context, campaign)
        context.show(answer, lambda: _show_report(answer))


def create_campaign(
    context: Context,
    script: str,
    query: str,
    *,
    name: str | None,
    pairs: tuple[str, ...],
    version: int | None,
    ttl_s: int,
) -> dict[str, Any]:
    """Check the script and its parameters here, then freeze the set at the relay.

    Raises:
        FarhandError: `no-targets` when the query matches nothing; script and parameter codes.
    """
    trust = context.trust()
    envelope = trust.manifest(script, version)
    manifest = check_approved(envelope, trust.roster, trust.policy)
    draft = OrderDraft(
        trust,
        envelope,
        parse_parameters(manifest, parse_pairs(pairs)),
        operator=context.settings.account,
        now=datetime.now(UTC),
    )
    made = context.relay.post(
        "/campaigns",
        {
            "script": manifest.id,
            "version": manifest.version,
            "digest": draft.digest,
            "risk": manifest.risk,
            "query": query,
            "name": name or f"{manifest.id} on {query}",
            "parameters": draft.parameters,
            "ttl_s": ttl_s,
        },
        wait_s=60,
    )
    return {"campaign": made["campaign"], "state": made["state"], "targets": made["targets"]}


def start_campaign(context: Context, campaign: str) -> dict[str, Any]:
    """Verify every target, sign its order, hand all over and start.

    A target that cannot be verified is left out with a warning: its order stays planned and the
    relay closes it as `refused` with the code at start.
    """
    trust = context.trust()
    plan = context.relay.get(f"/campaigns/{campaign}")
    envelope = trust.manifest(plan["script"], plan["version"])
    if manifest_digest(envelope) != plan["digest"]:
        raise FarhandError("script-changed", "the campaign names another text of the script")
    now = datetime.now(UTC).replace(microsecond=0)
    parameters = plan["parameters"]
    if isinstance(parameters, str):
        parameters = msgspec.json.decode(parameters)
    draft = OrderDraft(trust, envelope, parameters, operator=context.settings.account, now=now)
    signer = context.signer()
    batch: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    signed = 0
    for target in context.relay.pages(f"/campaigns/{campaign}/targets", limit=500):
        try:
            device = verify_device(context.home, trust, target)
        except FarhandError as error:
            warn(f"{printable(target.get('name'))}: {error.code}: {error.message}")
            skipped.append({"device": str(target.get("id")), "code": error.code})
            continue
        _, sealed = sign_order(
            draft,
            device,
            signer,
            now=now,
            ttl_s=int(plan["ttl_s"]),
            campaign=campaign,
            ring=int(target.get("ring") or 0),
            order_id=target.get("order"),
        )
        batch.append({"envelope": sealed})
        signed += 1
        if len(batch) == _BATCH:
            context.relay.post(f"/campaigns/{campaign}/orders", {"items": batch}, wait_s=120)
            batch = []
    if batch:
        context.relay.post(f"/campaigns/{campaign}/orders", {"items": batch}, wait_s=120)
    answer = context.relay.post(f"/campaigns/{campaign}/start", {"skipped": skipped}, wait_s=120)
    return {
        "campaign": campaign,
        "state": answer["state"],
        "signed": signed,
        "skipped": skipped,
    }


def follow(context: Context, campaign: str) -> None:
    """Show progress on the terminal until the campaign ends."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(campaign, total=None, words="")
        while True:
            report = context.relay.get(f"/campaigns/{campaign}/report")
            counts: dict[str, int] = report["counts"]
            total = sum(counts.values())
            done = sum(count for state, count in counts.items() if state in FINAL_STATES)
            words = "  ".join(f"{state} {count}" for state, count in sorted(counts.items()))
            progress.update(task, total=total or None, completed=done, words=words)
            if report["state"] in _ENDED:
                return
            time.sleep(0.5)


def report_of(context: Context, campaign: str) -> dict[str, Any]:
    """Return the report; `unverified` counts final results that no device signature backs."""
    report = context.relay.get(f"/campaigns/{campaign}/report")
    trust = context.trust()
    devices = {}
    for target in context.relay.pages(f"/campaigns/{campaign}/targets", limit=500):
        try:
            device = verify_device(context.home, trust, target)
        except FarhandError:
            continue  # counted as unverified below if the relay claims a result for it
        devices[device.id] = device
    results = []
    unverified = 0
    for order in context.relay.pages("/orders", campaign=campaign, limit=500):
        row = {
            "order": order["order"],
            "device": order["device"],
            "state": order["state"],
            "exit_code": order.get("exit_code"),
            "refusal": order.get("refusal"),
        }
        if order["state"] in FINAL_STATES and order["state"] not in (
            "cancelled",
            "expired",
            "gone",
        ):
            device_or_none = devices.get(order["device"])
            try:
                if device_or_none is None or not order.get("result"):
                    raise FarhandError("result-forged", "no signature")
                result = verify_result(
                    base64.b64decode(order["result"]),
                    order=order["order"],
                    device=device_or_none.id,
                    device_key=device_or_none.key,
                )
                row["state"], row["exit_code"] = result.state, result.exit_code
                row["stdout"] = result.stdout.decode(errors="replace")
                row["stderr"] = result.stderr.decode(errors="replace")
            except FarhandError:
                row["unverified"] = True
                unverified += 1
        results.append(row)
    return {
        "campaign": campaign,
        "state": report["state"],
        "counts": report["counts"],
        "rings": report["rings"],
        "causes": report["causes"],
        "results": results,
        "unverified": unverified,
    }


def _show_report(report: dict[str, Any]) -> None:
    show_fields({"campaign": report["campaign"], "state": report["state"]} | report["counts"])
    if report["causes"]:
        click.echo()
        show_table(
            ("count", "cause", "example"),
            [(c["count"], c["signature"], c["example"]) for c in report["causes"]],
        )
    if report.get("unverified"):
        warn(f"{report['unverified']} results carry no signature of their device")
    if report["state"] == "finished":
        say("finished")
