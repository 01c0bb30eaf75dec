"""ticket check: approved checks on a ticket's device, their results written into its thread.

Each check is the approved script `check.ID`, ordered and signed as `farhand run` does it; what the
device found counts with its signature, and is said on the ticket as a note of the desk.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import click
import msgspec

from farhand_console.cli.base import Context, command, parse_pairs
from farhand_console.cli.run import published_script, wait_for_result
from farhand_console.orders import OrderDraft, parse_parameters, sign_order
from farhand_console.output import line, printable, say, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import OrderStates
from farhand_console.relay.desk import Ticket, TicketMessage
from farhand_console.trust.devices import VerifiedDevice, verify_device
from farhand_protocol.envelopes import Envelope, open_payload
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.manifest import Manifest

__all__ = ["PACKS", "differences_between", "register"]

_PREFIX: Final = "check."
_MAX_CHECKS: Final = 100
# What a technician looks at first; of these, whatever the organisation has approved.
PACKS: Final[dict[str, tuple[str, ...]]] = {
    "first": (
        "disk.space",
        "disk.read-only",
        "memory.pressure",
        "cpu.load",
        "services.failed",
        "network.default-route",
        "dns.resolve",
        "clock.offset",
        "updates.security",
        "reboot.required",
    ),
}


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a check script prints; more fields are left out."""

    id: str
    state: str
    summary: str
    plain: str = ""
    value: float | None = None
    unit: str | None = None


class _Ordered(NamedTuple):
    check: str
    order: str


def register(tickets: click.Group) -> None:
    """Add the command of this file to `farhand ticket`."""

    @command(tickets)
    @click.argument("number")
    @click.argument("checks", nargs=-1)
    @click.option(
        "--pack", help="first (unless checks are named), all, or a word such as disk or updates."
    )
    @click.option("--device", help="Id or unique name, where the ticket names none.")
    @click.option(
        "--param",
        "pairs",
        multiple=True,
        help="NAME=VALUE for those checks that take it, such as target=192.0.2.9.",
    )
    @click.option("--twice", is_flag=True, help="Run them again, and tell what is different.")
    @click.option("--ttl", type=click.IntRange(60, 86_400), default=900, show_default=True)
    def check(
        context: Context,
        number: str,
        checks: tuple[str, ...],
        pack: str | None,
        device: str | None,
        pairs: tuple[str, ...],
        twice: bool,
        ttl: int,
    ) -> None:
        """Run approved checks on the ticket's device and write what they found into its thread.

        A device with an agent can look at another machine: `check.probe.tls --device D --param
        target=HOST`, where policy lets it.

        With --twice a fault that comes and goes shows as what differs between two runs.
        """
        ticket = context.relay.get(segments("tickets", number), Ticket)
        where = device or ticket.device
        if where is None:
            raise UsageError("usage", f"{ticket.number} names no device", hint="--device D")
        wanted = _chosen(context, checks, pack)
        told = context.relay.get(segments("devices", where), dict)
        verified = verify_device(context.home, context.trust(), told, asked=where)
        given = parse_pairs(pairs)
        items = _run(context, wanted, given, verified, ticket.number, ttl)
        body = _note(verified, items)
        differences: list[dict[str, Any]] | None = None
        if twice:
            first, items = items, _run(context, wanted, given, verified, ticket.number, ttl)
            differences = differences_between(first, items)
            body = f"{_note(verified, items)}\n\n{_told(differences)}"
        said = context.relay.post(
            segments("tickets", ticket.id, "messages"),
            TicketMessage,
            {"kind": "note", "body": body},
        )
        answer: dict[str, Any] = {
            "ticket": ticket.number,
            "device": verified.id,
            "message": said.seq,
            "items": items,
            "next": None,
        }
        if differences is not None:
            answer["differences"] = differences
        context.show(answer, lambda: _show(items, differences))
        failed = [one["id"] for one in items if one["outcome"] not in ("succeeded", "no_change")]
        if failed:
            raise FarhandError("run-failed", f"without a result: {', '.join(failed)}")


def _chosen(context: Context, checks: tuple[str, ...], pack: str | None) -> list[str]:
    """Return the scripts to order."""
    trust = context.trust()
    revoked = {one.subject for one in trust.revocations.revoked}
    published = sorted({script for script, _ in trust.published()} - revoked)
    published = [script for script in published if script.startswith(_PREFIX)]
    chosen = [one if one.startswith(_PREFIX) else _PREFIX + one for one in checks]
    if pack is not None or not checks:
        name = pack or "first"
        if name == "all":
            chosen += published
        elif name in PACKS:
            chosen += [_PREFIX + one for one in PACKS[name] if _PREFIX + one in published]
        else:
            chosen += [one for one in published if one.startswith(f"{_PREFIX}{name}.")]
    chosen = list(dict.fromkeys(chosen))
    if not chosen:
        raise FarhandError(
            "script-unknown",
            "the organisation has published no check of that pack",
            hint="farhand trust init --with-library, or farhand script publish",
        )
    if len(chosen) > _MAX_CHECKS:
        raise UsageError("usage", f"at most {_MAX_CHECKS} checks at once")
    return chosen


def _run(
    context: Context,
    wanted: list[str],
    given: dict[str, str],
    device: VerifiedDevice,
    ticket: str,
    ttl_s: int,
) -> list[dict[str, Any]]:
    """Order the checks, wait for all of them, and return what they found."""
    ordered = _order(context, wanted, given, device, ticket, ttl_s)
    if not context.as_json:
        say(f"{len(ordered)} checks on {printable(device.name)}: waiting")
    return [_result(context, one, device, ttl_s) for one in ordered]


def differences_between(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the checks that did not find the same twice; a value alone is no difference.

    Returns: `{"id", "first", "second"}` of each, with its outcome, state and summary.
    """
    names = ("outcome", "state", "summary")
    found = []
    for one, other in zip(first, second, strict=True):
        before, after = ({name: run[name] for name in names} for run in (one, other))
        if (before["outcome"], before["state"]) != (after["outcome"], after["state"]):
            found.append({"id": one["id"], "first": before, "second": after})
    return found


def _told(differences: list[dict[str, Any]]) -> str:
    if not differences:
        return "Run twice: both times the same."
    lines = ["Run twice, and different:"]
    for one in differences:
        first, second = (
            f"{printable(one[run]['state'], 20)} ({printable(one[run]['summary'], 200)})"
            for run in ("first", "second")
        )
        lines.append(f"- {one['id']}: {first}, then {second}")
    return "\n".join(lines)


def _order(
    context: Context,
    scripts: list[str],
    given: dict[str, str],
    device: VerifiedDevice,
    ticket: str,
    ttl_s: int,
) -> list[_Ordered]:
    """Sign one order for each check and hand all of them to the relay at once."""
    now = datetime.now(UTC).replace(microsecond=0)
    envelopes = [published_script(context, script, None) for script in scripts]
    drafts = [
        OrderDraft(
            context.trust(),
            envelope,
            parameters,
            operator=context.settings.account,
            now=now,
        )
        for envelope, parameters in zip(envelopes, _shared_out(envelopes, given), strict=True)
    ]
    sealed = [
        sign_order(draft, device, context.signer(), now=now, ttl_s=ttl_s, ticket=ticket)
        for draft in drafts
    ]
    body = {"items": [{"envelope": envelope} for _, envelope in sealed]}
    context.relay.post("/orders", OrderStates, body)
    return [_Ordered(script, order) for script, (order, _) in zip(scripts, sealed, strict=True)]


def _shared_out(envelopes: list[Envelope], given: dict[str, str]) -> list[dict[str, Any]]:
    """Return for each check what it takes of the parameters.

    Raises:
        UsageError: `usage` for one that none of them takes.
    """
    shared, taken = [], set[str]()
    for envelope in envelopes:
        manifest = open_payload(envelope, Manifest)
        its = {n: v for n, v in given.items() if n in manifest.parameters.get("properties", {})}
        shared.append(parse_parameters(manifest, its))
        taken |= its.keys()
    if unknown := sorted(given.keys() - taken):
        raise UsageError("usage", f"none of these checks takes {unknown[0][:40]!r}")
    return shared


def _result(
    context: Context, ordered: _Ordered, device: VerifiedDevice, ttl_s: int
) -> dict[str, Any]:
    """Wait for one order and return what the device found."""
    result = wait_for_result(context, ordered.order, device.id, device.key, ttl_s=ttl_s)
    item = {
        "id": ordered.check.removeprefix(_PREFIX),
        "order": ordered.order,
        "outcome": result["state"],
        "signed": result["signed"],
        "state": "unknown",
        "summary": result["refusal"] or f"the order ended as {result['state']}",
        "plain": "",
        "value": None,
        "unit": None,
    }
    try:
        found = msgspec.json.decode(result["stdout"], type=_Found)
    except msgspec.MsgspecError:
        return item
    shown = {name: getattr(found, name) for name in ("state", "summary", "plain", "value", "unit")}
    return item | shown


def _note(device: VerifiedDevice, items: list[dict[str, Any]]) -> str:
    lines = [f"Checks on {printable(device.name, 80)} ({device.id}):"]
    for one in items:
        signed = "" if one["signed"] else " (not signed by the device)"
        state, summary = printable(one["state"], 20), printable(one["summary"], 200)
        # The order has the whole output, as the device signed it: farhand order show.
        lines.append(f"- {state}: {one['id']}: {summary}{signed} [{one['order']}]")
        if one["plain"]:
            lines.append(f"  {printable(one['plain'], 300)}")
    return "\n".join(lines)


def _show(items: list[dict[str, Any]], differences: list[dict[str, Any]] | None) -> None:
    show_table(
        ("state", "check", "summary", "in plain words"),
        [(one["state"], one["id"], one["summary"], one["plain"]) for one in items],
    )
    if differences is not None:
        for words in _told(differences).splitlines():
            line(words, 1000)
