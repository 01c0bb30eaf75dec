"""device set, add-agentless, duplicates, merge, unmerge: what people keep of devices."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from farhand_console.cli.base import Context, command, paged
from farhand_console.cli.contract import write_file
from farhand_console.output import hint, line, printable, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Device, Page
from farhand_console.relay.records import Dismissal, Duplicate, Merge, Product, Proof
from farhand_protocol.errors import UsageError

__all__ = ["product_fields", "register"]

# What the relay takes and one more, so that it can say that it is too much.
_MAX_PROOF_BYTES: Final = 4 * 1024 * 1024

_FIELDS = {
    "make": "Who made it.",
    "model": "Which of them it is.",
    "serial": "Its serial number.",
    "purchased_on": "The day it was bought, such as 2024-03-31.",
    "warranty_ends_on": "The day the warranty ends.",
    "vendor_contract": "The contract with its vendor.",
    "asset_number": "Its number in your books.",
    "notes": "Anything else.",
}
_OPTIONS = {"purchased_on": "--purchased", "warranty_ends_on": "--warranty-end"}


def register(devices: click.Group) -> None:
    """Add the commands of this file to `farhand device`."""
    _register_product(devices)
    _register_proofs(devices)
    _register_agentless(devices)
    _register_merging(devices)


def product_fields(product: Product) -> dict[str, Any]:
    """Return what people know of a device, for `device show`; the device's own word is marked."""
    fields: dict[str, Any] = {}
    for name in _FIELDS:
        value = getattr(product, name)
        if value is not None:
            fields[name] = f"{value} (as reported)" if name in product.reported else value
    fields["warranty"] = {"ends-soon": "ends soon"}.get(product.warranty, product.warranty)
    return fields


def _options(function: Any) -> Any:
    for name, words in reversed(_FIELDS.items()):
        option = _OPTIONS.get(name, "--" + name.replace("_", "-"))
        function = click.option(option, name, help=words)(function)
    return function


def _register_product(devices: click.Group) -> None:
    @command(devices, "set")
    @click.argument("device")
    @_options
    @click.option(
        "--clear",
        multiple=True,
        type=click.Choice([name.replace("_", "-") for name in _FIELDS]),
        help="Empty a field; may be given several times.",
    )
    def set_product(
        context: Context, device: str, clear: tuple[str, ...], **fields: str | None
    ) -> None:
        """Record what was bought: make, serial number, warranty, contract."""
        change: dict[str, str | None] = {
            name: value for name, value in fields.items() if value is not None
        }
        change |= {name.replace("-", "_"): None for name in clear}
        if not change:
            raise UsageError("usage", "name at least one field to set or to --clear")
        path = segments("devices", device, "product")
        known = context.relay.get(path, Product)
        changed = context.relay.post(path, Product, change, if_match=known.revision)
        context.show(
            changed, lambda: show_fields({"device": changed.device, **product_fields(changed)})
        )


def _register_proofs(devices: click.Group) -> None:
    @command(devices)
    @click.argument("device")
    @click.argument(
        "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
    )
    @click.option(
        "--get", "wanted", type=click.IntRange(1), metavar="PLACE", help="Fetch this one."
    )
    @click.option(
        "--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to; stdout without."
    )
    @click.option("--remove", type=click.IntRange(1), metavar="PLACE", help="Take this one away.")
    def proof(
        context: Context,
        device: str,
        file: Path | None,
        wanted: int | None,
        out: Path | None,
        remove: int | None,
    ) -> None:
        """Keep a proof of purchase or warranty with a device; without a file, list them."""
        if sum(one is not None for one in (file, wanted, remove)) > 1:
            raise UsageError("usage", "one of FILE, --get and --remove at a time")
        path = segments("devices", device, "proofs")
        if wanted is not None:
            content = context.relay.get_bytes(segments("devices", device, "proofs", str(wanted)))
            write_file(context, content, out)
            return
        if file is not None:
            with file.open("rb") as opened:
                content = opened.read(_MAX_PROOF_BYTES + 1)
            body = {"name": file.name, "content": base64.b64encode(content).decode()}
            made = context.relay.post(path, Proof, body)
            context.show(made, lambda: line(f"{made.place}  {made.name}"))
            return
        if remove is not None:
            there = segments("devices", device, "proofs", str(remove), "remove")
            page = context.relay.post(there, Page[Proof])
        else:
            page = context.relay.get(path, Page[Proof])
        names = ("place", "name", "bytes", "added by", "at")
        rows = [(one.place, one.name, one.size, one.added_by, one.added_at) for one in page.items]
        context.show(page, lambda: show_table(names, rows))


def _register_agentless(devices: click.Group) -> None:
    @command(devices, "add-agentless")
    @click.option("--name", required=True)
    @click.option("--kind", required=True, help="printer, switch, router, server, ...")
    @click.option("--address", required=True, help="A host name or IP address.")
    @click.option("--group", "device_group", default="default", show_default=True)
    def add_agentless(
        context: Context, name: str, kind: str, address: str, device_group: str
    ) -> None:
        """Add a device that runs no agent, such as a printer."""
        body = {"name": name, "kind": kind, "address": address, "group": device_group}
        made = context.relay.post("/devices", Device, body)
        fields = {"id": made.id, "name": made.name, "kind": made.kind, "address": made.address}
        context.show(made, lambda: show_fields(fields))


def _register_merging(devices: click.Group) -> None:
    @command(devices)
    @click.option(
        "--dismiss", type=(str, str), metavar="ONE OTHER",
        help="Say that these are two; they come back when they have more in common.",
    )  # fmt: skip
    @click.option("--recall", type=(str, str), metavar="ONE OTHER", help="Take a dismissal back.")
    @click.option("--dismissed", is_flag=True, help="List what was dismissed.")
    @paged
    def duplicates(
        context: Context,
        dismiss: tuple[str, str] | None,
        recall: tuple[str, str] | None,
        dismissed: bool,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List devices that may be one machine, for a person to judge."""
        if dismiss and recall:
            raise UsageError("usage", "--dismiss and --recall do not go together")
        if pair := dismiss or recall:
            path = segments("duplicates", "dismiss" if dismiss else "recall")
            done = context.relay.post(path, Dismissal, {"one": pair[0], "other": pair[1]})
            context.show(done, lambda: show_fields(msgspec.to_builtins(done)))
            return
        page = context.relay.get(
            "/duplicates",
            Page[Duplicate],
            limit=limit,
            cursor=cursor,
            dismissed="true" if dismissed else None,
        )

        def readable() -> None:
            show_table(
                ("keep", "seen", "other", "seen", "hint", "in common")
                + (("dismissed by", "at") if dismissed else ()),
                [
                    (
                        f"{one.keep.name} {one.keep.id}",
                        one.keep.last_seen or "never",
                        f"{one.other.name} {one.other.id}",
                        one.other.last_seen or "never",
                        one.strength,
                        ", ".join(f"{shared.kind} {shared.value}" for shared in one.shared),
                        *_dismissed(one),
                    )
                    for one in page.items
                ],
            )
            if page.items and not dismissed:
                hint("if two are one machine: farhand device merge KEEP OTHER")
                hint("if they are two: farhand device duplicates --dismiss KEEP OTHER")
            if page.next:
                hint(f"there is more: --cursor {page.next}")

        context.show(page, readable)

    @command(devices)
    @click.argument("keep")
    @click.argument("other")
    @click.option("--yes", is_flag=True, help="Do not show both and ask.")
    def merge(context: Context, keep: str, other: str, yes: bool) -> None:
        """Say that OTHER is KEEP: OTHER is retired, and what was its own is found at KEEP."""
        if not yes and sys.stdin.isatty():
            kept, gone = (
                context.relay.get(segments("devices", one), Device) for one in (keep, other)
            )
            question = f"retire {_named(gone)} and show what was its own at {_named(kept)}?"
            click.confirm(question, abort=True, err=True)
        path = segments("devices", keep, "merge")
        done = context.relay.post(path, Merge, {"other": other})
        context.show(done, lambda: _show_merge(done))

    @command(devices)
    @click.argument("other")
    def unmerge(context: Context, other: str) -> None:
        """Take a merge back: OTHER (its id) is again a device of its own."""
        done = context.relay.post(segments("devices", other, "unmerge"), Merge)
        context.show(done, lambda: _show_merge(done))


def _dismissed(one: Duplicate) -> tuple[str, ...]:
    return (one.dismissed.dismissed_by, one.dismissed.dismissed_at) if one.dismissed else ()


def _named(device: Device) -> str:
    return f"{printable(device.name, 80)} ({device.kind}, {device.id})"


def _show_merge(done: Merge) -> None:
    fields: dict[str, Any] = {"kept": done.kept, "other": done.other, "merged at": done.merged_at}
    if done.undone_at:
        fields["undone at"] = done.undone_at
    show_fields(fields)
