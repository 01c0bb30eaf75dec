"""device holder: who works with a device, and so sees it on her own page of the relay."""

from __future__ import annotations

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.output import show_fields
from farhand_console.relay import segments
from farhand_protocol.errors import UsageError

__all__ = ["register"]


class _Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who works with a device; all but the device null where nobody was named."""

    device: str
    person: str | None = None
    name: str | None = None
    given_by: str | None = None
    given_at: str | None = None


def register(devices: click.Group) -> None:
    """Add the command of this file to `farhand device`."""

    @command(devices)
    @click.argument("device")
    @click.option("--person", help="Her id, account or mail address.")
    @click.option("--nobody", is_flag=True, help="Nobody in particular, from now on.")
    def holder(context: Context, device: str, person: str | None, nobody: bool) -> None:
        """Show or say who works with a device; it gives her no right to it."""
        if person and nobody:
            raise UsageError("usage", "--person and --nobody do not go together")
        path = segments("devices", device, "holder")
        if person or nobody:
            found = context.relay.post(path, _Holder, {"person": person})
        else:
            found = context.relay.get(path, _Holder)
        context.show(found, lambda: show_fields(msgspec.to_builtins(found)))
