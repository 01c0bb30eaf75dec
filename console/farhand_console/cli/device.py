"""device list, show, tag, confirm, move; what it reported, records and its end stand beside it."""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
import msgspec

from farhand_console.cli import allowing, holder, inventory, maintenance, probe, records, retirement
from farhand_console.cli.base import Context, command, group, paged
from farhand_console.cli.records import product_fields
from farhand_console.output import hint, show_fields, show_table, warn
from farhand_console.relay import segments
from farhand_console.relay.answers import (
    Device,
    Nothing,
    Page,
    Tags,
)
from farhand_console.relay.records import Product
from farhand_console.trust.ceremonies import placed
from farhand_console.trust.devices import pin, pins, verify_device
from farhand_console.trust.signing import check_may_sign, publish
from farhand_protocol.envelopes import (
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
    signers,
)
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id, key_fingerprint
from farhand_protocol.instants import format_instant
from farhand_protocol.placements import is_group
from farhand_protocol.tokens import Confirmation, Enrolment

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    devices = group(root, "device", "The fleet.")
    _register_reading(devices)
    _register_writing(devices)
    inventory.register(devices)
    records.register(devices)
    holder.register(devices)
    allowing.register(devices)
    maintenance.register(devices)
    probe.register(devices)
    retirement.register(devices)


def _register_reading(devices: click.Group) -> None:
    @command(devices, "list")
    @click.argument("query", default="*")
    @paged
    def list_devices(context: Context, query: str, limit: int, cursor: str | None) -> None:
        """List devices, such as `os:debian "software:openssl<3.0.17" check:disk.space=critical`."""
        page = context.relay.get("/devices", Page[Device], q=query, limit=limit, cursor=cursor)

        def readable() -> None:
            show_table(
                ("name", "id", "group", "online", "confirmed", "os", "last seen", "warning"),
                [_row(one) for one in page.items],
            )
            if page.next:
                hint(f"there is more: --cursor {page.next}")

        context.show(page, readable)

    @command(devices)
    @click.argument("device")
    def show(context: Context, device: str) -> None:
        """Show one device, and whether its key can be verified here."""
        told = context.relay.get(segments("devices", device), dict[str, Any])
        found = _device(told)
        product = context.relay.get(segments("devices", found.id, "product"), Product)
        answer = msgspec.to_builtins(found) | _verified(context, told, device)
        shown = {**answer, **product_fields(product)}
        context.show(answer | {"product": product}, lambda: show_fields(shown))


def _row(one: Device) -> tuple[object, ...]:
    if one.kind != "agent":
        return one.name, one.id, one.group, "-", "-", f"{one.kind} at {one.address}", None, ""
    online, confirmed = ("yes" if true else "no" for true in (one.online, one.confirmed))
    warning = one.warning or ""
    # What the relay keeps of one that is online is when it came.
    seen = "now" if one.online else one.last_seen
    return one.name, one.id, one.group, online, confirmed, one.os, seen, warning


def _device(told: dict[str, Any]) -> Device:
    try:
        return msgspec.convert(told, Device)
    except msgspec.ValidationError as error:
        raise FarhandError("relay-answer", "the relay's device answer cannot be read") from error


def _verified(context: Context, told: dict[str, Any], asked: str) -> dict[str, Any]:
    """Return what this console can say about the device's key without the relay's word."""
    try:
        device = verify_device(context.home, context.trust(), told, asked=asked)
    except FarhandError as error:
        return {"confirmed": False, "fingerprint": None, "reason": error.code}
    return {"confirmed": True, "fingerprint": key_fingerprint(device.key), "reason": None}


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
        answer = context.relay.post(segments("devices", device, "tags"), Tags, body)
        context.show(answer, lambda: show_fields({"tags": answer.tags}))

    @command(devices)
    @click.argument("device")
    @click.option("--key", "fingerprint", help="The fingerprint read off the device itself.")
    @click.option("--group", "device_group", help="Also move it to this group.")
    @click.option("--show", is_flag=True, help="Compare it and show what would be signed, no more.")
    @click.option("--digest", help="Of what --show showed; nothing else is signed.")
    def confirm(
        context: Context,
        device: str,
        fingerprint: str | None,
        device_group: str | None,
        show: bool,
        digest: str | None,
    ) -> None:
        """Vouch for a device's key; needed after enrolment with a token of the relay."""
        _check_group(device_group)
        trust = context.trust()
        if not show:
            check_may_sign(trust, context.signer().public_key, "targets")
        told = context.relay.get(segments("devices", device), _Unconfirmed)
        key, enrolled_group = _claimed(context, told, device)
        seen = key_fingerprint(key)
        if fingerprint is not None and fingerprint not in (seen, told.id):
            raise FarhandError("device-unverified", f"the device's key is {seen}")
        group = trust.placements.group_of(told.id, enrolled_group)
        vouched = _Vouched(told.id, told.name, key, device_group or group)
        if show:
            shown = vouched.words(seen)
            read = {"device": told.id, "digest": vouched.sha256, "shown": shown}
            context.show(read, lambda: show_fields(dict(shown)))
            return
        if digest is not None and digest != vouched.sha256:
            raise RefusedError("device-unverified", "this is not what was read of the device")
        if fingerprint is None and sys.stdin.isatty():
            click.confirm(f"does the device itself show {seen}?", abort=True, err=True)
        elif fingerprint is None:
            warn(f"confirming {told.id} uncompared; --key {seen} is what it should show")
        if device_group is not None and device_group != group:
            group = _move(context, told.id, device_group)
        statement = Confirmation(
            tenant=context.settings.tenant,
            device=told.id,
            device_key=key,
            group=group,
            at=format_instant(datetime.now(UTC).replace(microsecond=0)),
        )
        sealed = encode_envelope(seal(statement, context.signer()))
        path = segments("devices", told.id, "confirm")
        context.relay.post(path, Nothing, {"envelope": sealed})
        pin(context.home, told.id, key)
        answer = {"device": told.id, "confirmed": True, "fingerprint": seen, "group": group}
        context.show(answer, lambda: show_fields(answer))

    @command(devices)
    @click.argument("device")
    @click.argument("group")
    def move(context: Context, device: str, group: str) -> None:
        """Sign a device into another group; it takes the move over and checks orders by it."""
        _check_group(group)
        told = context.relay.get(segments("devices", device), dict[str, Any])
        found = verify_device(context.home, context.trust(), told, asked=device)
        if found.group != group:
            _move(context, found.id, group)
        answer = {"device": found.id, "group": group, "before": found.group}
        context.show(answer, lambda: show_fields(answer))


class _Unconfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the relay's device answer that an admin vouches for."""

    id: str
    name: str
    enrolment: bytes


class _Vouched(NamedTuple):
    """What a confirmation says of a device, and the name that its enrolment gave it."""

    device: str
    name: str
    key: bytes
    group: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(msgspec.json.encode(tuple(self))).hexdigest()

    def words(self, fingerprint: str) -> list[tuple[str, str]]:
        return [
            ("device", f"{self.name} ({self.device})"),
            ("fingerprint", fingerprint),
            ("group", self.group),
            ("digest", self.sha256),
        ]


def _check_group(group: str | None) -> None:
    if group is not None and not is_group(group):
        raise UsageError(
            "usage", f"{group[:80]!r} is not a group's name: small letters, digits, ._-"
        )


def _move(context: Context, device: str, group: str) -> str:
    """Sign a device into a group and return that."""
    publish(
        context.relay,
        context.fresh_trust,
        context.signer(),
        lambda verified: placed(verified, {device: group}),
    )
    return group


def _claimed(context: Context, told: _Unconfirmed, asked: str) -> tuple[bytes, str]:
    """Return key and group that a device enrolled with; its own signature proves the key."""
    envelope = decode_envelope(told.enrolment)
    enrolment = open_payload(envelope, Enrolment)
    key = enrolment.device_key
    fits = (
        len(key) == PUBLIC_KEY_BYTES
        and device_id(key) == told.id == enrolment.device
        and enrolment.name == told.name
        and asked.strip() in (told.id, told.id.upper(), told.name)
    )
    if not fits or not signers(envelope, [key]):
        raise FarhandError("device-unverified", "the device's enrolment does not verify")
    if pins(context.home).get(told.id, key.hex()) != key.hex():
        raise RefusedError("device-key-changed", f"{told.id} has another key than is pinned here")
    return key, enrolment.group
