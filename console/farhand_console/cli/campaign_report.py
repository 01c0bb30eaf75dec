"""What became of a campaign, verified here, and as a document that an auditor can keep.

Every result is checked against its device's key first, and against the campaign's script; what no
device signed is named as such.  The document says who wrote and who approved the script, who signed
each order by the roster, and what each device answered, with the hash of the sealed answer.  Who
made the campaign, when, who let its rings begin, counts and causes are the relay's word, and are
marked so.  Words of devices and of the relay are data in it: escaped in HTML, and kept from being
formulas in CSV.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_console.cli.base import Context
from farhand_console.cli.campaign_request import order_id
from farhand_console.cli.campaign_signing import device_answer
from farhand_console.cli.patch_results import advisories, device_row
from farhand_console.orders import UNSIGNED_STATES, ordered_by, verify_result
from farhand_console.output import line, say, show_fields, show_file, show_table, warn
from farhand_console.relay import segments
from farhand_console.relay.answers import OrderView
from farhand_console.relay.campaign_answers import Campaign, CampaignReport, Target
from farhand_console.trust.devices import DeviceCheck, VerifiedDevice
from farhand_protocol.cells import plain_cell
from farhand_protocol.envelopes import open_payload, signers
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import format_instant
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.orders import FINAL_STATES

__all__ = [
    "FORMATS",
    "audit_document",
    "report_of",
    "show_report",
    "to_csv",
    "to_html",
    "write_report",
]

FORMATS: Final = ("html", "csv", "json")
_COLUMNS: Final = (
    "device", "name", "ring", "state", "signed", "exit_code", "refusal", "ended_at", "order",
    "operator", "result_sha256",
)  # fmt: skip
# Nobody but the relay signs for these.
_RELAYS_WORD: Final = (
    "name", "state", "reason", "query", "exclude", "parameters", "target_set", "created_by",
    "created_at", "started_at", "ended_at", "counts", "rings", "causes",
)  # fmt: skip


def _campaign(context: Context, campaign: str) -> Campaign:
    plan = context.relay.get(segments("campaigns", campaign), Campaign)
    if plan.campaign != campaign:
        raise RefusedError("campaign-changed", "the relay answered with another campaign")
    return plan


def report_of(context: Context, campaign: str) -> dict[str, Any]:
    """Return the report; `unverified` counts final results that no device signature backs."""
    plan = _campaign(context, campaign)
    report = context.relay.get(segments("campaigns", campaign, "report"), CampaignReport)
    check = DeviceCheck(context.trust(), context.home)
    devices: dict[str, VerifiedDevice] = {}
    targets: dict[str, Target] = {}
    for target in context.relay.pages(segments("campaigns", campaign, "targets"), Target):
        targets[target.device] = target
        try:
            devices[target.device] = check.check(device_answer(target))
        except FarhandError:
            continue  # counted as unverified below if the relay claims a result for it
    check.save()
    results = []
    for order in context.relay.pages("/orders", OrderView, campaign=campaign, results="true"):
        known = targets.get(order.device)
        ring = known.ring if known else None
        row = _checked_row(context, plan, ring, order, devices.get(order.device))
        about = {"name": known and known.name, "ring": known and known.ring}
        results.append(row | about)
    return {
        "campaign": campaign,
        "state": report.state,
        "reason": report.reason,
        "counts": report.counts,
        "rings": report.rings,
        "causes": report.causes,
        "results": results,
        "unverified": sum(bool(row.get("unverified")) for row in results),
    }


def _checked_row(
    context: Context,
    plan: Campaign,
    ring: int | None,
    order: OrderView,
    device: VerifiedDevice | None,
) -> dict[str, Any]:
    """Return what became of one order, by its device's word where there must be one."""
    operator = _signer(context, plan, ring, order)
    row: dict[str, Any] = {
        "order": order.order,
        "device": order.device,
        "state": order.state,
        "exit_code": order.exit_code,
        "refusal": order.refusal,
        "operator": operator,
    }
    if order.state not in FINAL_STATES - UNSIGNED_STATES and order.result is None:
        return row
    try:
        if order.result is None:  # an older relay's lists leave results out
            order = context.relay.get(segments("orders", row["order"]), OrderView)
            row["operator"] = operator = _signer(context, plan, ring, order)
        if device is None and order.result is None and order.state == "refused":
            return row  # left out by a console that could not verify the device, as this one
        if device is None or order.result is None:
            raise FarhandError("result-forged", "no signature")
        if operator is None and row["order"] != order_id(plan.campaign, device.id):
            raise FarhandError("result-forged", "nobody signed such an order in this campaign")
        result = verify_result(
            order.result,
            tenant=context.settings.tenant,
            order=row["order"],
            device=device.id,
            device_key=device.key,
            script=(plan.script, plan.version, plan.digest),
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
        "ended_at": result.ended_at,
        "result_sha256": hashlib.sha256(order.result).hexdigest(),
    }


def _signer(context: Context, plan: Campaign, ring: int | None, order: OrderView) -> str | None:
    """Return who signed an order of this campaign, by the roster; None where nobody is known."""
    if order.envelope is None:
        return None
    try:
        said, operator = ordered_by(order.envelope, context.trust().roster)
    except FarhandError:
        return None  # the column stays empty: no name is better than the relay's
    fits = (
        (said.id, said.device, said.campaign, said.ring)
        == (order.order, order.device, plan.campaign, ring)
    ) and (said.script, said.version, said.digest) == (plan.script, plan.version, plan.digest)
    return operator if fits else None


def show_report(report: dict[str, Any]) -> None:
    """Show a report on the terminal."""
    head = {"campaign": report["campaign"], "state": report["state"]}
    if report.get("reason"):
        head["reason"] = report["reason"]
    show_fields(head | report["counts"])
    if len(report["rings"]) > 1:
        line("")
        show_table(
            ("ring", "name", "targets", "held"),
            [(r.ring, r.name, r.targets, r.held or "") for r in report["rings"]],
        )
    if report["causes"]:
        line("")
        show_table(
            ("count", "cause", "example"),
            [(c.count, c.signature, c.example) for c in report["causes"]],
        )
    if report.get("unverified"):
        warn(f"{report['unverified']} results carry no signature of their device")


def write_report(context: Context, campaign: str, form: str, out: Path | None) -> None:
    """Write the document for an auditor to a file, or to stdout.

    Raises:
        FarhandError: `file-unwritable`.
    """
    document = audit_document(context, campaign)
    if form == "json":
        text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
    else:
        text = to_csv(document["results"]) if form == "csv" else to_html(document)
    if out is None:
        show_file(text.encode())
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FarhandError("file-unwritable", f"{out} cannot be written: {error}") from error
    say(f"written to {out}")


def audit_document(context: Context, campaign: str) -> dict[str, Any]:
    """Return everything about a campaign: who did what, and what each device answered.

    Raises:
        FarhandError: `script-changed` when the relay's campaign is not the script it names.
    """
    plan = _campaign(context, campaign)
    report = report_of(context, campaign)
    results = [_audit_row(row) for row in report["results"]]
    rows = [device_row(row) for row in report["results"]]
    return {
        "campaign": campaign,
        "name": plan.name,
        "state": plan.state,
        "reason": plan.reason,
        "script": _script(context, plan),
        "query": plan.query,
        "exclude": plan.plan.exclude,
        "parameters": plan.parameters,
        "target_set": plan.target_set,
        "created_by": plan.created_by,
        "created_at": plan.created_at,
        "started_at": plan.started_at,
        "ended_at": plan.ended_at,
        "counts": report["counts"],
        "rings": msgspec.to_builtins(report["rings"]),
        "causes": msgspec.to_builtins(report["causes"]),
        "results": sorted(results, key=lambda row: (row["ring"] or 0, str(row["name"]))),
        "unverified": report["unverified"],
        "advisories": advisories(rows),
        "restarts_due": sorted(str(row["name"]) for row in rows if row["reboot"]),
        "relays_word": _RELAYS_WORD,
        "verified_by": context.settings.account,
        "verified_at": format_instant(datetime.now(UTC)),
    }


def _script(context: Context, plan: Campaign) -> dict[str, Any]:
    trust = context.trust()
    envelope = trust.manifest(plan.script, plan.version)
    if manifest_digest(envelope) != plan.digest:
        raise FarhandError("script-changed", "the campaign names another text of the script")
    manifest = open_payload(envelope, Manifest)
    people = [one.name for one in trust.roster.operators if signers(envelope, one.keys)]
    return {
        "id": plan.script,
        "version": plan.version,
        "risk": manifest.risk,
        "digest": plan.digest,
        "author": manifest.author,
        "approved_by": [name for name in people if name != manifest.author],
    }


def _audit_row(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: row.get(name) for name in _COLUMNS}
    return told | {"signed": "result_sha256" in row}


def to_csv(results: Iterable[dict[str, Any]]) -> str:
    """Return results as CSV; no cell of it is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row in results:
        writer.writerow([_cell(row[name]) for name in _COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    return "" if value is None else plain_cell(str(value))


def to_html(document: dict[str, Any]) -> str:
    """Return the document as one page without scripts, links or pictures."""
    script = document["script"]
    facts = {
        "Campaign": f"{document['name']} ({document['campaign']})",
        "State (the relay's word)": document["state"]
        + (f", {document['reason']}" if document["reason"] else ""),
        "Script": f"{script['id']} version {script['version']}, {script['risk']}",
        "Digest": script["digest"],
        "Author": script["author"],
        "Approved by": ", ".join(script["approved_by"]) or "nobody",
        "Devices (the relay's word)": document["query"]
        + (f", without {document['exclude']}" if document["exclude"] else ""),
        "Frozen set (the relay's word)": document["target_set"],
        "Made (the relay's word)": f"{document['created_by']}, {document['created_at']}",
        "Started (the relay's word)": document["started_at"],
        "Ended (the relay's word)": document["ended_at"],
        "Without a signature": document["unverified"],
        "Verified": f"{document['verified_by']}, {document['verified_at']}",
    }
    rings = [
        (
            r["ring"],
            r["name"],
            r["targets"],
            _counted(r["counts"]),
            r["opened_at"],
            r["approved_by"],
        )
        for r in document["rings"]
    ]
    causes = [(c["count"], c["signature"], c["example"]) for c in document["causes"]]
    lacking = [(a["id"], a["count"], ", ".join(a["devices"][:20])) for a in document["advisories"]]
    results = [[row[name] for name in _COLUMNS] for row in document["results"]]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';',
        " style-src 'unsafe-inline'\">",
        f"<title>{html.escape(str(document['name']))}</title><style>",
        "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}",
        "td,th{border:1px solid #999;padding:.2em .6em;text-align:left}</style></head><body>",
        f"<h1>{html.escape(str(document['name']))}</h1>",
        _table((), facts.items()),
        "<h2>Rings (the relay's word)</h2>",
        _table(("ring", "name", "targets", "states", "opened", "approved by"), rings),
        *(
            ["<h2>Causes (the relay's word)</h2>", _table(("count", "cause", "example"), causes)]
            if causes
            else []
        ),
        *(["<h2>Advisories</h2>", _table(("id", "lack it", "on"), lacking)] if lacking else []),
        "<h2>Devices</h2>",
        _table(_COLUMNS, results),
        "</body></html>\n",
    ]
    return "".join(parts)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{state} {count}" for state, count in sorted(counts.items()))


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape('' if v is None else str(v))}</td>" for v in row)
        + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{top}</tr>' if head else ''}{body}</table>"
