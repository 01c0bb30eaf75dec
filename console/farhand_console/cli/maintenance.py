"""device maintenance: somebody works on a device, and its alerts open no tickets for a while."""

from __future__ import annotations

import re
from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.output import line
from farhand_console.relay import segments
from farhand_protocol.errors import UsageError

__all__ = ["parse_span", "register"]

_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhd])\Z", re.ASCII)
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


class _Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    until: str | None
    reason: str
    set_by: str | None
    set_at: str | None


def register(devices: click.Group) -> None:
    """Add the command of this file to `farhand device`."""

    @command(devices)
    @click.argument("device")
    @click.option("--for", "span", help="So long from now, such as 90m, 2h or 1d.")
    @click.option("--until", help="A time, such as 2026-12-01T18:00:00Z.")
    @click.option("--reason", default="", help="For whoever looks.")
    @click.option("--end", "is_over", is_flag=True, help="End it now.")
    def maintenance(
        context: Context,
        device: str,
        span: str | None,
        until: str | None,
        reason: str,
        is_over: bool,
    ) -> None:
        """Show, begin or end maintenance: alerts are recorded meanwhile, and open no tickets."""
        path = segments("devices", device, "maintenance")
        if sum((span is not None, until is not None, is_over)) > 1:
            raise UsageError("usage", "give one of --for, --until and --end")
        if is_over:
            found = context.relay.post(path + "/end", _Maintenance)
        elif span is None and until is None:
            found = context.relay.get(path, _Maintenance)
        else:
            body: dict[str, Any] = {"until": until, "reason": reason}
            if span is not None:
                body["for_s"] = parse_span(span)
            found = context.relay.post(path, _Maintenance, body)
        context.show(found, lambda: line(_words(found)))


def parse_span(text: str) -> int:
    """Read `90m`, `2h` or `1d` as seconds.

    Raises:
        UsageError: `usage`.
    """
    found = _SPAN.match(text)
    if found is None:
        raise UsageError("usage", f"{text[:40]!r} is no length of time like 90m, 2h or 1d")
    return int(found[1]) * _UNITS[found[2]]


def _words(found: _Maintenance) -> str:
    if found.until is None:
        return "not in maintenance"
    reason = f": {found.reason}" if found.reason else ""
    return f"in maintenance until {found.until}, set by {found.set_by}{reason}"
