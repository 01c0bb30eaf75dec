"""campaign create, preview, start, pause, resume, abort, list, show, report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged, parse_pairs
from farhand_console.cli.run import published_script
from farhand_console.orders import (
    UNSIGNED_STATES,
    OrderDraft,
    parse_parameters,
    sign_order,
    verify_result,
)
from farhand_console.output import line, show_fields, show_table, warn
from farhand_console.relay import segments
from farhand_console.relay.answers import (
    Campaign,
    CampaignReport,
    FilledOrders,
    OrderView,
    Page,
    Target,
)
from farhand_console.scripts import approved
from farhand_console.trust.devices import (
    DeviceCheck,
    VerifiedDevice,
    check_pin,
    pin_all,
    pins,
)
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.orders import FINAL_STATES, ORDER_STATES

__all__ = ["create_campaign", "follow", "register", "report_of", "start_campaign"]

_BATCH = 500
# The relay takes 8 MiB in one request, of which base64 makes a quarter.
_BATCH_BYTES = 4 * 1024 * 1024
# Codes of single orders, which are also the whole answer where every order has one.
_REFUSED_ONE_BY_ONE = ("order-exists", "order-final")
_ENDED = ("finished", "aborted")
# What a target and a device answer have in common.
_PROOF = ("key", "name", "group", "host_name", "enrolment", "token_envelope", "confirmation")


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
    @paged
    def preview(context: Context, campaign: str, limit: int, cursor: str | None) -> None:
        """Show the frozen set of devices."""
        page = context.relay.get(
            segments("campaigns", campaign, "targets"), Page[Target], limit=limit, cursor=cursor
        )
        answer = {
            "campaign": campaign,
            "items": [
                {"id": t.device, "name": t.name, "group": t.group, "ring": t.ring}
                for t in page.items
            ],
            "next": page.next,
        }
        context.show(
            answer,
            lambda: show_table(
                ("name", "id", "group", "ring"),
                [(t.name, t.device, t.group, t.ring) for t in page.items],
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
            told = context.relay.post(segments("campaigns", campaign, name), Campaign)
            answer = {"campaign": told.campaign, "state": told.state}
            context.show(answer, lambda: show_fields(answer))

    steering("pause", "Offer no more orders until resumed.")
    steering("resume", "Go on.")
    steering("abort", "Cancel everything that has not started.")


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
        UsageError: `query-invalid` for an empty query: an unset variable must not mean everybody.
    """
    if not query.strip():
        raise UsageError("query-invalid", "the query is empty; `*` means every device")
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
        },
        wait_s=60,
    )
    return {"campaign": made.campaign, "state": made.state, "targets": made.targets}


def start_campaign(context: Context, campaign: str) -> dict[str, Any]:
    """Verify every target, sign its order, hand all over and start.

    Page after page: while the relay stores one batch of orders, the next one is verified and
    signed.  A target that cannot be verified is left out with a warning, its order is never signed;
    one that the relay does not take is named too.  A start that was cut short goes on where it was.

    Raises:
        FarhandError: `script-changed` when the relay's campaign is not the script it names,
            `no-targets` when no target could be verified.
    """
    trust = context.trust()
    path = segments("campaigns", campaign)
    plan = context.relay.get(path, Campaign)
    envelope = trust.manifest(plan.script, plan.version)
    if manifest_digest(envelope) != plan.digest:
        raise FarhandError("script-changed", "the campaign names another text of the script")
    now = datetime.now(UTC).replace(microsecond=0)
    draft = OrderDraft(trust, envelope, plan.parameters, operator=context.settings.account, now=now)
    signer = context.signer()
    check = DeviceCheck(trust, context.home)
    handed: list[_Handed] = []
    skipped: list[dict[str, str]] = []
    before = 0
    targets = context.relay.pages(f"{path}/targets", Target, limit=_BATCH)
    with ThreadPoolExecutor(max_workers=1) as pool:
        posting: Future[list[_Handed]] | None = None
        for page in _in_batches(targets):
            planned = [target for target in page if target.state == "planned"]
            before += len(page) - len(planned)
            signed = []
            for target, device in _verified(context, check, planned, skipped):
                order, sealed = sign_order(
                    draft,
                    device,
                    signer,
                    now=now,
                    ttl_s=plan.ttl_s,
                    campaign=campaign,
                    ring=target.ring,
                    order_id=target.order,
                )
                signed.append(_Signed(order, target, sealed))
            if posting is not None:
                handed += posting.result()
            posting = pool.submit(_hand_over, context, path, signed)
        if posting is not None:
            handed += posting.result()
    check.save()
    for one in handed:
        if one.code is not None:
            warn(f"{one.target.name[:80]}: {one.code}: the relay did not take its order")
            skipped.append({"device": one.target.device, "code": one.code})
    taken = sum(one.code is None for one in handed)
    if not taken and not before:
        raise FarhandError("no-targets", "no device of the campaign can be verified")
    started = context.relay.post(f"{path}/start", Campaign, {"skipped": skipped}, wait_s=120)
    return {
        "campaign": campaign,
        "state": started.state,
        "signed": taken,
        "signed_before": before,
        "skipped": skipped,
    }


class _Signed(NamedTuple):
    order: str
    target: Target
    sealed: bytes


class _Handed(NamedTuple):
    """What became of one signed order at the relay: taken, or not for the reason in `code`."""

    target: Target
    code: str | None


def _in_batches(targets: Iterator[Target]) -> Iterator[list[Target]]:
    while page := list(islice(targets, _BATCH)):
        yield page


def _verified(
    context: Context,
    check: DeviceCheck,
    targets: Iterable[Target],
    skipped: list[dict[str, str]],
) -> list[tuple[Target, VerifiedDevice]]:
    """Return the targets that this console can verify, pinned; adds the others to `skipped`."""
    known = pins(context.home)
    found: list[tuple[Target, VerifiedDevice]] = []
    for target in targets:
        try:
            device = check.check(_device_answer(target))
            check_pin(known, device.id, device.key)
            found.append((target, device))
        except FarhandError as error:
            warn(f"{target.name[:80]}: {error.code}: {error.message}")
            skipped.append({"device": target.device, "code": error.code})
    pin_all(context.home, {device.id: device.key for _, device in found})
    return found


def _hand_over(context: Context, path: str, signed: Sequence[_Signed]) -> list[_Handed]:
    """Send signed orders to the relay, in requests of bounded size.

    Raises:
        FarhandError: `relay-answer` when the answer leaves an order out; a refusal of the campaign.
    """
    handed: list[_Handed] = []
    first = 0
    while first < len(signed):
        last, size = first, 0
        while last < len(signed) and (last == first or size < _BATCH_BYTES):
            size += len(signed[last].sealed)
            last += 1
        batch = signed[first:last]
        handed += _post(context, path, batch)
        first = last
    return handed


def _post(context: Context, path: str, batch: Sequence[_Signed]) -> list[_Handed]:
    body = {"items": [{"envelope": one.sealed} for one in batch]}
    try:
        answer = context.relay.post(f"{path}/orders", FilledOrders, body, wait_s=120)
    except FarhandError as error:
        if error.code not in _REFUSED_ONE_BY_ONE:
            raise
        # Not one of them was taken; the others may fare better.
        return [_Handed(one.target, error.code) for one in batch]
    told = [item.order for item in answer.items if item.code is None]
    asked = [one.order for one, item in zip(batch, answer.items, strict=False) if not item.code]
    if len(answer.items) != len(batch) or told != asked:
        raise FarhandError("relay-answer", "the relay did not say what became of every order")
    return [_Handed(one.target, item.code) for one, item in zip(batch, answer.items, strict=True)]


def _device_answer(target: Target) -> dict[str, object]:
    """Return a target in the words of a device answer."""
    return {name: getattr(target, name) for name in _PROOF} | {"id": target.device}


def follow(context: Context, campaign: str) -> None:
    """Show progress on the terminal until the campaign ends."""
    # Late: it takes as long to load as the rest of a short command.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.fields[words]}"), BarColumn())
    path = segments("campaigns", campaign, "report")
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("campaign", total=None, words="")
        while True:
            report = context.relay.get(path, CampaignReport)
            total = sum(report.counts.values())
            done = sum(count for state, count in report.counts.items() if state in FINAL_STATES)
            known = [state for state in ORDER_STATES if state in report.counts]
            words = "  ".join(f"{state} {report.counts[state]}" for state in known)
            progress.update(task, total=total or None, completed=done, words=words)
            if report.state in _ENDED:
                return
            time.sleep(0.5)


def report_of(context: Context, campaign: str) -> dict[str, Any]:
    """Return the report; `unverified` counts final results that no device signature backs."""
    report = context.relay.get(segments("campaigns", campaign, "report"), CampaignReport)
    check = DeviceCheck(context.trust(), context.home)
    devices: dict[str, VerifiedDevice] = {}
    names: dict[str, str] = {}
    for target in context.relay.pages(segments("campaigns", campaign, "targets"), Target):
        names[target.device] = target.name
        try:
            devices[target.device] = check.check(_device_answer(target))
        except FarhandError:
            continue  # counted as unverified below if the relay claims a result for it
    check.save()
    results = []
    for order in context.relay.pages("/orders", OrderView, campaign=campaign, results="true"):
        row = _checked_row(context, order, devices.get(order.device))
        results.append(row | {"name": names.get(order.device)})
    return {
        "campaign": campaign,
        "state": report.state,
        "counts": report.counts,
        "rings": report.rings,
        "causes": report.causes,
        "results": results,
        "unverified": sum(bool(row.get("unverified")) for row in results),
    }


def _checked_row(
    context: Context, order: OrderView, device: VerifiedDevice | None
) -> dict[str, Any]:
    """Return what became of one order, by its device's word where there must be one."""
    row: dict[str, Any] = {
        "order": order.order,
        "device": order.device,
        "state": order.state,
        "exit_code": order.exit_code,
        "refusal": order.refusal,
    }
    if order.state not in FINAL_STATES - UNSIGNED_STATES:
        return row
    try:
        if order.result is None:  # an older relay's lists leave results out
            order = context.relay.get(segments("orders", order.order), OrderView)
        if device is None and order.result is None and order.state == "refused":
            return row  # left out by a console that could not verify the device, as this one
        if device is None or order.result is None:
            raise FarhandError("result-forged", "no signature")
        result = verify_result(
            order.result,
            tenant=context.settings.tenant,
            order=row["order"],
            device=device.id,
            device_key=device.key,
        )
    except FarhandError as error:
        if error.code != "result-forged":
            raise
        return row | {"unverified": True}
    return row | {
        "state": result.state,
        "exit_code": result.exit_code,
        "refusal": result.refusal,
        "stdout": result.stdout.decode(errors="replace"),
        "stderr": result.stderr.decode(errors="replace"),
    }


def _show_report(report: dict[str, Any]) -> None:
    show_fields({"campaign": report["campaign"], "state": report["state"]} | report["counts"])
    if report["causes"]:
        line("")
        show_table(
            ("count", "cause", "example"),
            [(c.count, c.signature, c.example) for c in report["causes"]],
        )
    if report.get("unverified"):
        warn(f"{report['unverified']} results carry no signature of their device")
