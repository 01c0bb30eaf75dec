"""audit export, verify: the relay's hash-chained record of what was done."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from farhand_console.audit import AuditRecord, check_chain, keep_head, kept_heads
from farhand_console.cli.base import Context, command, group
from farhand_console.output import show_fields

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    audits = group(root, "audit", "The relay's record of what was done.")

    @command(audits)
    @click.option("--out", type=click.Path(dir_okay=False), help="A file instead of stdout.")
    def export(context: Context, out: str | None) -> None:
        """Write the whole checked chain, one JSON record per line."""
        count = 0
        with click.open_file(out or "-", "wb") as file:
            for record in _checked(context):
                file.write(msgspec.json.encode(record) + b"\n")
                count += 1
        if out:
            answer = {"records": count, "path": out}
            context.show(answer, lambda: show_fields(answer))

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


def _checked(context: Context) -> Iterator[AuditRecord]:
    relay_key = bytes.fromhex(context.settings.relay_key)
    head = keep_head(context.home, context.relay.get("/audit/head"), relay_key)

    def records() -> Iterator[dict[str, object]]:
        # Reading is audited too, so the chain goes on growing behind the head asked for.
        for record in context.relay.pages("/audit", limit=500):
            if record["seq"] > head.seq:
                return
            yield record

    yield from check_chain(context.settings.tenant, records(), head, kept_heads(context.home))
