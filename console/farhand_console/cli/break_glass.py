"""break-glass order, sign: a script that was not approved, in an emergency, signed by two people.

    one person   break-glass order SCRIPT --device D --reason TEXT --out-file FILE
    another      break-glass sign FILE      shows all of it, asks, signs, and hands it to the relay

Both hold the permission `break-glass`.  The order is for one device and lives for an hour at most.
The device says so on its log and screen before the script starts, the relay raises an alert.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from farhand_console.cli.base import Context, command, group, parse_pairs
from farhand_console.cli.exempt import send_exempt
from farhand_console.cli.script_finding import check_reason, find_script, is_folder
from farhand_console.exempt_orders import (
    HalfSigned,
    check_addressee,
    check_group,
    draft_exempt,
    read_half_signed,
    sealed_folder,
)
from farhand_console.order_files import write_new
from farhand_console.orders import sign_order
from farhand_console.output import page_through, printable, say_whole, show_fields
from farhand_console.relay import segments
from farhand_console.scripts import read_folder
from farhand_console.trust.devices import verify_device
from farhand_protocol.envelopes import encode_envelope, sign_again
from farhand_protocol.errors import RefusedError, UsageError
from farhand_protocol.exemptions import MAX_EXEMPT_LIFETIME_S, check_exempt_signers
from farhand_protocol.instants import parse_instant

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    glass = group(root, "break-glass", "Emergencies: an unapproved script, signed by two people.")

    @command(glass)
    @click.argument("source", metavar="SCRIPT")
    @click.option("--device", required=True, help="Id or unique name.")
    @click.option("--reason", required=True, help="Shown at the device and on the relay.")
    @click.option("--param", "pairs", multiple=True, help="NAME=VALUE, once per parameter.")
    @click.option("--version", type=click.IntRange(1), help="Of SCRIPT, where it is an id.")
    @click.option("--ticket")
    @click.option(
        "--ttl",
        type=click.IntRange(60, MAX_EXEMPT_LIFETIME_S),
        default=MAX_EXEMPT_LIFETIME_S,
        help="Seconds.",
    )
    @click.option(
        "--out-file",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="For the second person, on a way that you trust.",
    )
    def order(
        context: Context,
        source: str,
        device: str,
        reason: str,
        pairs: tuple[str, ...],
        version: int | None,
        ticket: str | None,
        ttl: int,
        out_file: Path,
    ) -> None:
        """Sign an emergency order as the first of two; SCRIPT is a folder or an id handed in."""
        check_reason(reason)
        if out_file.exists():
            raise UsageError("file-exists", f"there is a file {out_file} already")
        trust = context.trust()
        now = datetime.now(UTC).replace(microsecond=0)
        if is_folder(source):
            table, body = read_folder(Path(source))
            envelope = sealed_folder(context.settings, table, body, context.signer(), now=now)
        else:
            envelope, _, body, _ = find_script(context, source, version)
        told = context.relay.get(segments("devices", device), dict)
        verified = verify_device(context.home, trust, told, asked=device)
        draft = draft_exempt(
            trust,
            envelope,
            body,
            parse_pairs(pairs),
            kind="break-glass",
            reason=reason,
            operator=context.settings.account,
            group=verified.group,
            now=now,
        )
        made, sealed = sign_order(
            draft, verified, context.signer(), now=now, ttl_s=ttl, ticket=ticket
        )
        write_new(out_file, sealed)
        answer = {"order": made, "device": verified.id, "path": str(out_file), "signed": 1}
        context.show(answer, lambda: show_fields(answer))

    @command(glass)
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--yes", is_flag=True, help="Sign without asking once more.")
    def sign(context: Context, file: Path, yes: bool) -> None:
        """Read an emergency order, sign it as the second person, and have it run."""
        trust = context.trust()
        now = datetime.now(UTC).replace(microsecond=0)
        half = read_half_signed(file, trust, now=now)
        told = context.relay.get(segments("devices", half.order.device), dict)
        device = verify_device(context.home, trust, told, asked=half.order.device)
        check_addressee(half.order, device)
        check_group(trust.policy.for_group(device.group), device.group, "break-glass")
        me = trust.roster.holder(context.signer().public_key)
        if me is None or "break-glass" not in me.permissions:
            raise RefusedError("exemption-unsigned", "the roster does not give you break-glass")
        if me.name in half.signed_by:
            raise RefusedError("exemption-unsigned", "the second signature is another person's")
        _show(half, device.name)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    "usage", "there is no terminal to ask on", hint="read it, then add --yes"
                )
            if not click.confirm("Run this, unapproved?", err=True):
                raise RefusedError("approval-refused", "nothing was signed")
        envelope = sign_again(half.envelope, context.signer())
        check_exempt_signers(half.order, envelope, trust.roster)
        left_s = int((parse_instant(half.order.expires) - now).total_seconds())
        send_exempt(
            context,
            half.order.id,
            encode_envelope(envelope),
            device,
            ttl_s=left_s,
            kind="break-glass",
        )


def _show(half: HalfSigned, device_name: str) -> None:
    for label, text in (
        ("signed by", ", ".join(half.signed_by)),
        ("device", f"{device_name} ({half.order.device}), group {half.order.group}"),
        ("reason", half.exemption.reason),
        ("parameters", msgspec.json.encode(half.order.parameters).decode()),
        ("until", half.order.expires),
    ):
        say_whole(f"{label:<12} {printable(text, len(text))}")
    fields = msgspec.json.format(msgspec.json.encode(half.script.manifest), indent=2).decode()
    body = half.script.body.decode(errors="backslashreplace")
    text = f"{fields}\n\n{body}"
    if sys.stdin.isatty():
        page_through(text)
    else:
        say_whole(text)
