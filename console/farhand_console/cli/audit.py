"""audit export, verify: the relay's hash-chained record of what was done, and the devices' logs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from farhand_console.audit import (
    AuditRecord,
    check_chain,
    keep_head,
    kept_heads,
    read_heads_file,
)
from farhand_console.cli.base import Context, command, group
from farhand_console.device_log import check_log_file, check_shown, receipt_marks
from farhand_console.output import json_bytes, show_fields
from farhand_console.relay import segments
from farhand_console.trust.devices import pins, verify_device
from farhand_protocol.audit import AuditHead
from farhand_protocol.errors import UsageError

__all__ = ["register"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


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
            _show_items(_checked(context))
        else:
            for record in _checked(context):
                click.echo(json_bytes(record))

    @command(audits)
    @click.option("--heads", type=_FILE, help="Also demand these heads, kept elsewhere.")
    @click.option("--device", metavar="D", help="Check what a device showed of its own log.")
    @click.option("--log", "log", type=_FILE, help="With --device: the log it exported.")
    def verify(context: Context, heads: Path | None, device: str | None, log: Path | None) -> None:
        """Recompute every hash and demand every head this console was ever shown."""
        if (device is None and log is not None) or (device is not None and heads is not None):
            raise UsageError("usage", "--log goes with --device, --heads without it")
        answer = _verify(context, heads) if device is None else _verify_log(context, device, log)
        context.show(answer, lambda: show_fields(answer))


def _verify(context: Context, file: Path | None) -> dict[str, object]:
    """Check the relay's chain and return what was found."""
    relay_key = bytes.fromhex(context.settings.relay_key)
    elsewhere = read_heads_file(file, relay_key) if file is not None else []
    count, last = 0, ""
    for record in _checked(context, elsewhere):
        count, last = count + 1, record.hash
    return {
        "valid": True,
        "records": count,
        "head": last,
        "kept_heads": len(kept_heads(context.home)),
        "heads_elsewhere": len(elsewhere),
    }


def _verify_log(context: Context, asked: str, log: Path | None) -> dict[str, object]:
    """Check what a device showed of its log, and the log itself where there is a file."""
    device, key = _device(context, asked)
    heads = list(context.relay.pages(segments("audit", "devices", device), AuditHead))
    marks = receipt_marks(context.home, device, key)
    wanted = check_shown(device, key, heads, marks)
    return {
        "valid": True,
        "device": device,
        "heads": len(heads),
        "receipts": len(marks),
        "newest": max(wanted, default=0),
        "records": check_log_file(log, device, wanted) if log is not None else None,
    }


def _device(context: Context, asked: str) -> tuple[str, bytes]:
    """Return id and key of a device; of one that is retired by now the key is pinned still."""
    known = pins(context.home)
    if (pinned := known.get(asked.lower())) is not None:
        return asked.lower(), bytes.fromhex(pinned)
    told = context.relay.get(segments("devices", asked), dict)
    found = verify_device(context.home, context.trust(), told, asked=asked)
    return found.id, found.key


def _show_items(records: Iterator[AuditRecord]) -> None:
    """Print the list as `--json` lists are, a record at a time: an audit may be long."""
    before = '{"items":['
    for record in records:
        click.echo(before + json_bytes(record).decode(), nl=False)
        before = ","
    click.echo(("" if before == "," else before) + '],"next":null}')


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


def _checked(context: Context, elsewhere: Sequence[AuditHead] = ()) -> Iterator[AuditRecord]:
    relay_key = bytes.fromhex(context.settings.relay_key)
    head = keep_head(context.home, context.relay.get("/audit/head", dict), relay_key)

    def records() -> Iterator[AuditRecord]:
        # Reading is audited too, so the chain goes on growing behind the head asked for.
        for record in context.relay.pages("/audit", AuditRecord):
            if record.seq > head.seq:
                return
            yield record

    demanded = [*kept_heads(context.home), *elsewhere]
    yield from check_chain(context.settings.tenant, records(), head, demanded)
    # This reading is a record as well; its head is kept, so that cutting it off shows too.
    keep_head(context.home, context.relay.get("/audit/head", dict), relay_key)
