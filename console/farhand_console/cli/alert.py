"""alert list, show, acknowledge: what the devices' own checks found wrong."""

from __future__ import annotations

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page

__all__ = ["register"]


class _Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert; what was found is the device's word."""

    id: str
    fingerprint: str
    device: str
    device_name: str
    check: str
    subject: str
    state: str
    severity: str
    told: str
    summary: str
    value: float | None
    unit: str | None
    opened_at: str
    changed_at: str
    closed_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str | None
    ticket: str | None
    withheld: str
    flaps: int
    flapping: bool


class _DigestLine(msgspec.Struct, frozen=True, kw_only=True):
    check: str
    came: int
    went: int
    warning: int
    critical: int
    devices: int


class _Digest(msgspec.Struct, frozen=True, kw_only=True):
    since: str
    until: str
    lines: list[_DigestLine]


class _DigestTerms(msgspec.Struct, frozen=True, kw_only=True):
    addresses: list[str]
    every: str
    hour: int
    zone: str
    language: str


class _Counts(msgspec.Struct, frozen=True, kw_only=True):
    warning: int
    critical: int
    blind_spots: int
    acknowledged: int
    in_maintenance: int


_HEAD = ("id", "severity", "state", "device", "check", "since", "ticket", "summary")
_WITHHELD = {
    "maintenance": "in maintenance",
    "policy": "not severe enough for one",
    "limit": "too many of this device today",
}


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    alerts = group(root, "alert", "What the devices' own checks found wrong.")

    @command(alerts, "list")
    @click.option(
        "--state",
        type=click.Choice(
            ("live", "open", "acknowledged", "blind", "recovered", "withdrawn", "all")
        ),
        default="live",
        show_default=True,
        help="live: open and acknowledged; blind: checks of which nothing is known.",
    )
    @click.option("--device", help="Id or unique name.")
    @click.option("--severity", type=click.Choice(("warning", "critical", "unknown")))
    @paged
    def list_alerts(
        context: Context,
        state: str,
        device: str | None,
        severity: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List alerts, newest first."""
        page = context.relay.get(
            "/alerts",
            Page[_Alert],
            state=state,
            device=device,
            severity=severity,
            limit=limit,
            cursor=cursor,
        )
        context.show(page, lambda: _show_page(context, page))

    @command(alerts)
    @click.argument("alert")
    def show(context: Context, alert: str) -> None:
        """Show one alert."""
        found = context.relay.get(segments("alerts", alert), _Alert)
        context.show(found, lambda: _show_alert(found))

    @command(alerts)
    @click.argument("alert")
    @click.option("--note", default="", help="For its ticket.")
    def acknowledge(context: Context, alert: str, note: str) -> None:
        """Say that you have seen it; it stays until the device is well again."""
        path = segments("alerts", alert, "acknowledge")
        found = context.relay.post(path, _Alert, {"note": note})
        context.show(found, lambda: line(f"{found.id}  {found.state}"))

    @command(alerts)
    @click.option("--days", type=click.IntRange(1, 92), default=7, show_default=True)
    def digest(context: Context, days: int) -> None:
        """Show what checks found in the last days: what came, what went, what stays."""
        found = context.relay.get("/check-digest", _Digest, days=days)
        rows = [
            (one.check, one.critical, one.warning, one.devices, one.came, one.went)
            for one in found.lines
        ]
        names = ("check", "critical", "warning", "devices", "came", "went")
        context.show(found, lambda: show_table(names, rows))

    @command(alerts, "digest-mail")
    @click.option("--to", "addresses", multiple=True, help="An address; may be given again.")
    @click.option("--every", type=click.Choice(["day", "week"]), default="week", show_default=True)
    @click.option("--hour", type=click.IntRange(0, 23), default=7, show_default=True)
    @click.option("--zone", default="UTC", show_default=True, help="Europe/Lisbon, for one.")
    @click.option("--language", type=click.Choice(["en", "pt", "de", "ro", "ru"]), default="en")
    def digest_mail(
        context: Context,
        addresses: tuple[str, ...],
        every: str,
        hour: int,
        zone: str,
        language: str,
    ) -> None:
        """Say who is mailed the digest, each day or each Monday; nobody without --to."""
        body = {
            "addresses": list(addresses),
            "every": every,
            "hour": hour,
            "zone": zone,
            "language": language,
        }
        kept = context.relay.post("/check-digest/terms", _DigestTerms, body)
        context.show(kept, lambda: line(", ".join(kept.addresses) or "nobody"))


def _what(alert: _Alert) -> str:
    return f"{alert.check} {alert.subject}".strip()


def _state(alert: _Alert) -> str:
    words = [alert.state]
    if alert.flapping:
        words.append("comes and goes")
    if alert.told == "unknown" and alert.state != "blind":
        words.append("not known any more")
    return ", ".join(words)


def _show_page(context: Context, page: Page[_Alert]) -> None:
    rows = [
        (
            one.id,
            one.severity,
            _state(one),
            one.device_name or one.device,
            _what(one),
            one.opened_at[:16],
            one.ticket or "",
            one.summary,
        )
        for one in page.items
    ]
    show_table(_HEAD, rows)
    counts = context.relay.get("/alerts/counts", _Counts)
    say(
        f"{counts.critical} critical, {counts.warning} warning,"
        f" {counts.blind_spots} blind spots (--state blind)"
    )


def _show_alert(alert: _Alert) -> None:
    fields = msgspec.to_builtins(alert)
    fields["ticket"] = alert.ticket or _WITHHELD.get(alert.withheld, "none")
    del fields["fingerprint"], fields["withheld"]
    show_fields(fields)
