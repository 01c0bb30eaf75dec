"""device list, show, inventory, diff, tag, confirm, retire."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import printable, show_fields, show_table
from farhand_console.trust.signing import check_may_sign
from farhand_protocol.envelopes import decode_envelope, encode_envelope, open_payload, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id, key_fingerprint
from farhand_protocol.instants import format_instant
from farhand_protocol.tokens import Confirmation, Enrolment

__all__ = ["register"]

_LISTED = ("id", "name", "group", "tags", "online", "confirmed", "os", "last_seen")


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    devices = group(root, "device", "The fleet.")
    _register_reading(devices)
    _register_writing(devices)


def _register_reading(devices: click.Group) -> None:
    @command(devices, "list")
    @click.argument("query", default="*")
    @paged
    def list_devices(context: Context, query: str, limit: int, cursor: str | None) -> None:
        """List devices, such as `os:debian group:lab online:true`."""
        page = context.relay.get("/devices", q=query, limit=limit, cursor=cursor)
        context.show(
            page,
            lambda: show_table(
                ("name", "id", "group", "online", "confirmed", "os", "last seen"),
                [
                    (
                        d["name"],
                        d["id"],
                        d["group"],
                        "yes" if d["online"] else "no",
                        "yes" if d["confirmed"] else "no",
                        d["os"],
                        d.get("last_seen"),
                    )
                    for d in page["items"]
                ],
            ),
        )

    @command(devices)
    @click.argument("device")
    def show(context: Context, device: str) -> None:
        """Show one device."""
        answer = context.relay.get(f"/devices/{device}")
        context.show(answer, lambda: show_fields({name: answer.get(name) for name in _LISTED}))

    @command(devices)
    @click.argument("device")
    @click.option("--section")
    def inventory(context: Context, device: str, section: str | None) -> None:
        """Show what the device last reported of its hardware and software."""
        found = context.relay.get(f"/devices/{device}")["id"]
        if section:
            names = [section]
        else:
            page = context.relay.get(f"/devices/{found}/sections", limit=500)
            names = [one["name"] for one in page["items"]]
        sections = {name: context.relay.get(f"/devices/{found}/sections/{name}") for name in names}
        answer = {"device": found, "sections": sections}
        context.show(answer, lambda: _show_sections(sections))

    @command(devices)
    @click.argument("device")
    @click.option("--since", default="7d", show_default=True, help="A time, or like 7d or 12h.")
    def diff(context: Context, device: str, since: str) -> None:
        """Show what changed on the device."""
        answer = context.relay.get(f"/devices/{device}/diff", since=since)
        context.show(
            answer,
            lambda: show_table(
                ("section", "change", "item"),
                [(c["section"], c["change"], _brief(c)) for c in answer["items"]],
            ),
        )


def _brief(change: dict[str, Any]) -> str:
    before, after = change.get("before"), change.get("after")
    if before is not None and after is not None and isinstance(before, dict):
        differing = [k for k in after if before.get(k) != after[k]]
        return ", ".join(f"{k}: {before.get(k)} -> {after[k]}" for k in differing)
    return str(after if after is not None else before)


def _show_sections(sections: dict[str, dict[str, Any]]) -> None:
    for name, section in sections.items():
        click.echo(f"\n{printable(name)}  [{section['status']}]  {section['collected_at']}")
        if section.get("reason"):
            click.echo(f"  {printable(section['reason'])}")
        for item in section["items"][:50]:
            values = "  ".join(f"{k}={v}" for k, v in item.items() if v is not None)
            click.echo("  " + printable(values, 500))
        if len(section["items"]) > 50:
            click.echo(f"  ... and {len(section['items']) - 50} more (--json shows all)")


def _register_writing(devices: click.Group) -> None:
    @command(devices)
    @click.argument("device")
    @click.argument("tags", nargs=-1, required=True)
    def tag(context: Context, device: str, tags: tuple[str, ...]) -> None:
        """Add tags, or remove those written as -TAG (after --)."""
        body = {
            "add": [one for one in tags if not one.startswith("-")],
            "remove": [one[1:] for one in tags if one.startswith("-")],
        }
        answer = context.relay.post(f"/devices/{device}/tags", body)
        context.show(answer, lambda: show_fields({"tags": answer["tags"]}))

    @command(devices)
    @click.argument("device")
    @click.option("--key", "fingerprint", help="The fingerprint read off the device itself.")
    @click.option("--group", "device_group", help="Also move it to this group.")
    def confirm(
        context: Context, device: str, fingerprint: str | None, device_group: str | None
    ) -> None:
        """Vouch for a device's key; needed after enrolment with a token of the relay."""
        trust = context.trust()
        check_may_sign(trust, context.signer().public_key, "targets")
        told = context.relay.get(f"/devices/{device}")
        enrolment = open_payload(decode_envelope(base64.b64decode(told["enrolment"])), Enrolment)
        key = enrolment.device_key
        if device_id(key) != told["id"]:
            raise FarhandError("device-unverified", "the device's key does not belong to its id")
        seen = key_fingerprint(key)
        if fingerprint is None and not context.as_json:
            click.confirm(f"does the device itself show {seen}?", abort=True, err=True)
        elif fingerprint is not None and fingerprint not in (seen, told["id"]):
            raise FarhandError("device-unverified", f"the device's key is {seen}")
        statement = Confirmation(
            tenant=context.settings.tenant,
            device=told["id"],
            device_key=key,
            group=device_group or told["group"],
            at=format_instant(datetime.now(UTC).replace(microsecond=0)),
        )
        sealed = encode_envelope(seal(statement, context.signer()))
        context.relay.post(f"/devices/{told['id']}/confirm", {"envelope": sealed})
        answer = {"device": told["id"], "confirmed": True, "fingerprint": seen}
        context.show(answer, lambda: show_fields(answer))

    @command(devices)
    @click.argument("device")
    @click.option("--reason", default="")
    def retire(context: Context, device: str, reason: str) -> None:
        """Retire a device: it may not connect any more."""
        answer = context.relay.post(f"/devices/{device}/retire", {"reason": reason})
        context.show(answer, lambda: show_fields({"device": device, "retired": True}))
