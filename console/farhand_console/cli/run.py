"""run: one approved script on one device, and its signed result."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command, parse_pairs
from farhand_console.cli.script_finding import warn_of_deprecated
from farhand_console.order_files import carried_order, write_new
from farhand_console.orders import (
    UNSIGNED_STATES,
    OrderDraft,
    parse_parameters,
    sign_order,
    verify_result,
)
from farhand_console.output import line, printable, say, show_fields
from farhand_console.relay import segments
from farhand_console.relay.answers import OrderStates, OrderView, ScriptDetail
from farhand_console.results import result_fields
from farhand_console.scripts import approved
from farhand_console.trust.devices import verify_device
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.orders import FINAL_STATES

__all__ = ["published_script", "register", "result_of", "show_result", "wait_for_result"]

# The relay notices an order's end a little later than its clock says.
_AFTER_EXPIRY_S = 60


def register(root: click.Group) -> None:
    """Add the commands of this file."""

    @command(root)
    @click.argument("script")
    @click.option("--device", required=True, help="Id or unique name.")
    @click.option("--param", "pairs", multiple=True, help="NAME=VALUE, once per parameter.")
    @click.option("--ticket")
    @click.option("--version", type=click.IntRange(1))
    @click.option("--digest", help="Of the script that was read; nothing else is signed.")
    @click.option("--ttl", type=click.IntRange(1, 7 * 86_400), default=3600, help="Seconds.")
    @click.option(
        "--out-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Also write the order into a file, for a device without a network.",
    )
    @click.option("--wait", is_flag=True, help="Wait for the device's signed result.")
    def run(
        context: Context,
        script: str,
        device: str,
        pairs: tuple[str, ...],
        ticket: str | None,
        version: int | None,
        digest: str | None,
        ttl: int,
        out_file: Path | None,
        wait: bool,
    ) -> None:
        """Run an approved script on one device."""
        if out_file is not None and out_file.exists():
            raise UsageError("file-exists", f"there is a file {out_file} already")
        trust = context.trust()
        envelope = published_script(context, script, version)
        if digest is not None and digest != manifest_digest(envelope):
            raise RefusedError("script-changed", "this is not the script that was read")
        manifest = approved(envelope, trust)
        now = datetime.now(UTC).replace(microsecond=0)
        draft = OrderDraft(
            trust,
            envelope,
            parse_parameters(manifest, parse_pairs(pairs)),
            operator=context.settings.account,
            now=now,
        )
        told = context.relay.get(segments("devices", device), dict)
        verified = verify_device(context.home, trust, told, asked=device)
        order, sealed = sign_order(
            draft, verified, context.signer(), now=now, ttl_s=ttl, ticket=ticket
        )
        made = context.relay.post("/orders", OrderStates, {"items": [{"envelope": sealed}]})
        if out_file is not None:
            folder = context.home.folder / "trust"
            write_new(out_file, carried_order(sealed, trust, context.relay, folder))
        if not wait:
            state = made.items[0].state if made.items else "unknown"
            answer = {"order": order, "device": verified.id, "state": state}
            if out_file is not None:
                answer["path"] = str(out_file)
            context.show(answer, lambda: show_fields(answer))
            return
        if not context.as_json:
            say(f"{manifest.id} on {printable(verified.name)}: waiting")
        result = wait_for_result(context, order, verified.id, verified.key, ttl_s=ttl)
        context.show(result, lambda: show_result(result))
        if result["state"] == "refused":
            raise RefusedError(result["refusal"] or "refused", "the device refused the order")
        if result["state"] not in ("succeeded", "no_change"):
            raise FarhandError("run-failed", f"the order ended as {result['state']}")


def published_script(context: Context, script: str, version: int | None) -> Envelope:
    """Return the sealed manifest of a script that may run; warn where it is deprecated.

    Raises:
        RefusedError: `script-revoked`; `script-not-approved` when it was only handed in.
        FarhandError: `script-unknown`.
    """
    trust = context.trust()
    try:
        envelope = trust.manifest(script, version)
        warn_of_deprecated(trust, open_payload(envelope, Manifest))
        return envelope
    except FarhandError as error:
        if error.code != "script-unknown":
            raise
        unknown = error
    _refuse_revoked(trust, script, {script})
    try:
        handed_in = context.relay.get(segments("scripts", script), ScriptDetail, version=version)
    except FarhandError:
        raise unknown from None  # the relay does not know it either
    _refuse_revoked(trust, script, {manifest_digest(decode_envelope(handed_in.envelope))})
    raise RefusedError(
        "script-not-approved",
        f"{script} is handed in, but not approved and published",
        hint=f"farhand script show {script}",
    )


def _refuse_revoked(trust: VerifiedTrust, script: str, subjects: set[str]) -> None:
    for one in trust.revocations.revoked:
        if one.kind == "script" and one.subject in subjects:
            raise RefusedError("script-revoked", f"{script} is revoked: {one.reason}")


def wait_for_result(
    context: Context, order: str, device: str, device_key: bytes, *, ttl_s: int
) -> dict[str, Any]:
    """Wait until an order is final and return its verified result as the command shows it.

    Raises:
        FarhandError: `run-timeout`, `result-forged`.
    """
    path = segments("orders", order)
    deadline = time.monotonic() + ttl_s + _AFTER_EXPIRY_S
    while (left_s := deadline - time.monotonic()) > 0:
        asked = time.monotonic()
        wait_s = max(1, min(20, int(left_s)))
        answer = context.relay.get(path, OrderView, wait=wait_s, wait_s=wait_s + 20)
        if answer.state in FINAL_STATES:
            return result_of(context, answer, order, device, device_key)
        # A relay that does not wait is asked at most twice a second.
        time.sleep(max(0.0, 0.5 - (time.monotonic() - asked)))
    raise FarhandError("run-timeout", "the device did not answer in time", hint=f"order {order}")


def result_of(
    context: Context, answer: OrderView, order: str, device: str, device_key: bytes
) -> dict[str, Any]:
    """Return what the relay says of an order, verified where the device said it.

    Raises:
        FarhandError: `result-forged`.
    """
    shown: dict[str, Any] = {
        "order": order,
        "device": device,
        "state": answer.state,
        "exit_code": None,
        "stdout": "",
        "stderr": "",
        "refusal": answer.refusal,
        "signed": False,
    }
    if answer.result is None:
        if answer.state in FINAL_STATES and answer.state not in UNSIGNED_STATES:
            raise FarhandError("result-forged", "the relay gave a result without a signature")
        return shown
    tenant = context.settings.tenant
    result = verify_result(
        answer.result, tenant=tenant, order=order, device=device, device_key=device_key
    )
    return shown | result_fields(context.home, result)


def show_result(result: dict[str, Any]) -> None:
    """Show a result as the command gave it: output, then how it ended."""
    for words in result["stdout"].splitlines():
        line(words)
    for words in result["stderr"].splitlines():
        say(words)
    found = [f"{name} {result[name]}" for name in ("before", "after") if result.get(name)]
    if result["exit_code"] is not None:
        found.insert(0, f"exit {result['exit_code']}")
    say(", ".join((result["state"], *found)))
    if result.get("words"):
        say(printable(result["words"]))
