"""What `script try` and `break-glass sign` share: hand an exempt order in, and show its result."""

from __future__ import annotations

from farhand_console.cli.base import Context
from farhand_console.cli.run import show_result, wait_for_result
from farhand_console.output import printable, say
from farhand_console.relay.answers import OrderStates
from farhand_console.trust.devices import VerifiedDevice
from farhand_protocol.errors import FarhandError, RefusedError

__all__ = ["send_exempt"]


def send_exempt(
    context: Context,
    order: str,
    sealed: bytes,
    device: VerifiedDevice,
    *,
    ttl_s: int,
    kind: str,
) -> None:
    """Give an exempt order to the relay, wait for the device's signed result, and show it.

    Raises:
        RefusedError: the device's code where it refused.
        FarhandError: `run-failed`, and what the relay and `wait_for_result` raise.
    """
    context.relay.post("/orders", OrderStates, {"items": [{"envelope": sealed}]})
    if not context.as_json:
        say(f"{kind} on {printable(device.name)}: waiting")
    result = wait_for_result(context, order, device.id, device.key, ttl_s=ttl_s)
    result["exemption"] = kind
    context.show(result, lambda: show_result(result))
    if result["state"] == "refused":
        raise RefusedError(result["refusal"] or "refused", "the device refused the order")
    if result["state"] not in ("succeeded", "no_change"):
        raise FarhandError("run-failed", f"the order ended as {result['state']}")
