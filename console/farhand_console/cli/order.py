"""order import: a device's signed result that came back by file."""

from __future__ import annotations

from pathlib import Path

import click

from farhand_console.cli.base import Context, command, group
from farhand_console.orders import verify_result
from farhand_console.output import line, say
from farhand_console.relay import segments
from farhand_console.relay.answers import OrderView
from farhand_console.trust.devices import verify_device
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import Result

__all__ = ["register"]

_MAX_RESULT_BYTES = 4 * 1024 * 1024


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    orders = group(root, "order", "Orders that travel by file.")

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
        answer = {
            "order": result.order,
            "device": device.id,
            "state": view.state,
            "exit_code": result.exit_code,
            "stdout": result.stdout.decode(errors="replace"),
            "stderr": result.stderr.decode(errors="replace"),
            "refusal": result.refusal,
            "signed": True,
        }

        def readable() -> None:
            for words in str(answer["stdout"]).splitlines():
                line(words)
            for words in str(answer["stderr"]).splitlines():
                say(words)
            say(f"{result.script} on {device.name}: {view.state}")

        context.show(answer, readable)
