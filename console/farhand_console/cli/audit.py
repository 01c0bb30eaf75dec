"""audit export, verify: the relay's hash-chained record of what was done."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from farhand_console.audit import AuditRecord, check_chain, keep_head, kept_heads
from farhand_console.cli.base import Context, command, group
from farhand_console.output import json_bytes, show_fields, show_json

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    audits = group(root, "audit", "The relay's record of what was done.")

    @command(audits)
    @click.option("--out", type=click.Path(dir_okay=False), help="A file instead of stdout.")
    def export(context: Context, out: str | None) -> None:
        """Write the whole checked chain, one JSON record per line."""
        if out:
            answer = {"records": _export(context, Path(out)), "path": out}
            context.show(answer, lambda: show_fields(answer))
        elif context.as_json:
            show_json({"items": list(_checked(context)), "next": None})
        else:
            for record in _checked(context):
                click.echo(json_bytes(record))

    @command(audits)
    def verify(context: Context) -> None:
        """Recompute every hash and demand every head this console was ever shown."""
        count, last = 0, ""
        for record in _checked(context):
            count, last = count + 1, record.hash
        answer = {
            "valid": True,
            "records": count,
            "head": last,
            "kept_heads": len(kept_heads(context.home)),
        }
        context.show(answer, lambda: show_fields(answer))


def _export(context: Context, path: Path) -> int:
    """Write the chain to a file, which is there only if the whole chain was good."""
    count = 0
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with beside.open("xb") as file:
            for record in _checked(context):
                file.write(msgspec.json.encode(record) + b"\n")
                count += 1
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return count


def _checked(context: Context) -> Iterator[AuditRecord]:
    relay_key = bytes.fromhex(context.settings.relay_key)
    head = keep_head(context.home, context.relay.get("/audit/head", dict), relay_key)

    def records() -> Iterator[AuditRecord]:
        # Reading is audited too, so the chain goes on growing behind the head asked for.
        for record in context.relay.pages("/audit", AuditRecord):
            if record.seq > head.seq:
                return
            yield record

    yield from check_chain(context.settings.tenant, records(), head, kept_heads(context.home))
    # This reading is a record as well; its head is kept, so that cutting it off shows too.
    keep_head(context.home, context.relay.get("/audit/head", dict), relay_key)
