"""order: the signed result of one, from the relay or from a file that a device wrote."""

from __future__ import annotations

from pathlib import Path

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.cli.run import result_of, show_result
from farhand_console.orders import verify_result
from farhand_console.output import say
from farhand_console.relay import segments
from farhand_console.relay.answers import OrderView
from farhand_console.results import result_fields
from farhand_console.trust.devices import verify_device
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import Result

__all__ = ["register"]

_MAX_RESULT_BYTES = 4 * 1024 * 1024


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    orders = group(root, "order", "Orders and their results.")

    @command(orders)
    @click.argument("order")
    def show(context: Context, order: str) -> None:
        """Show what became of an order, and what its script printed.

        What a sensitive script printed is opened with your key, if you ordered it.
        """
        view = context.relay.get(segments("orders", order), OrderView)
        told = context.relay.get(segments("devices", view.device), dict)
        device = verify_device(context.home, context.trust(), told, asked=view.device)
        answer = result_of(context, view, order, device.id, device.key)
        context.show(answer, lambda: show_result(answer))

    @command(orders, "import")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    def bring(context: Context, file: Path) -> None:
        """Check the result that a device wrote, and give it to the relay.

        The file comes from `farhand-agent order`.
        """
        with file.open("rb") as opened:
            data = opened.read(_MAX_RESULT_BYTES + 1)
        try:
            named = open_payload(decode_envelope(data), Result)
        except FarhandError as error:
            raise FarhandError(
                "result-forged", f"{file} holds no device's result", detail=str(error)
            ) from error
        told = context.relay.get(segments("devices", named.device), dict)
        device = verify_device(context.home, context.trust(), told, asked=named.device)
        result = verify_result(
            data,
            tenant=context.settings.tenant,
            order=named.order,
            device=device.id,
            device_key=device.key,
        )
        view = context.relay.post(
            segments("orders", result.order, "result"), OrderView, {"result": data}
        )
        answer = result_fields(context.home, result) | {"state": view.state}

        def readable() -> None:
            show_result(answer)
            say(f"{result.script} on {device.name}: {view.state}")

        context.show(answer, readable)
