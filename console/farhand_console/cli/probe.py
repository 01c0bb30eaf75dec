"""device probe: what the relay itself looks at of a device without an agent."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.cli.maintenance import parse_span
from farhand_console.output import show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_protocol.errors import UsageError

__all__ = ["register"]


class _Probe(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    device: str
    kind: str
    port: int | None
    every_s: int
    next_at: str
    state: str
    summary: str
    value: float | None
    unit: str | None
    since: str


def register(devices: click.Group) -> None:
    """Add the command of this file to `farhand device`."""

    @command(devices)
    @click.argument("device")
    @click.option("--add", "kind", type=click.Choice(("ping", "dns", "tls", "http")))
    @click.option("--port", type=click.IntRange(1, 65_535), help="Where it is not the usual one.")
    @click.option("--every", default="5m", show_default=True, help="Such as 5m, 1h or 1d.")
    @click.option("--remove", "gone", metavar="ID")
    def probe(
        context: Context,
        device: str,
        kind: str | None,
        port: int | None,
        every: str,
        gone: str | None,
    ) -> None:
        """Show, add or remove what the relay looks at of a device without an agent."""
        path = segments("devices", device, "probes")
        if kind is not None and gone is not None:
            raise UsageError("usage", "give one of --add and --remove")
        if kind is not None:
            body: dict[str, Any] = {"kind": kind, "port": port, "every_s": parse_span(every)}
            found = context.relay.post(path, Page[_Probe], body)
        elif gone is not None:
            found = context.relay.post(path + segments(gone, "remove"), Page[_Probe])
        else:
            found = context.relay.get(path, Page[_Probe])
        context.show(found, lambda: _show(found))


def _show(found: Page[_Probe]) -> None:
    show_table(
        ("id", "probe", "port", "every", "state", "since", "summary"),
        [
            (
                one.id,
                one.kind,
                "" if one.port is None else str(one.port),
                f"{one.every_s // 60} min",
                one.state or "not yet",
                one.since[:16],
                one.summary,
            )
            for one in found.items
        ],
    )
