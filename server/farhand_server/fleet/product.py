"""What a person knows of a device: what was bought, when, under which contract, until when.

Her word, not the device's.  A field that nobody filled in is shown as the device reports it
(make, model, serial number), where it does.  The warranty badge:

    ok          ends later than in `SOON_DAYS`
    ends-soon   ends within `SOON_DAYS`, today included
    over        ended before today
    unknown     nobody said when it ends

A maker gives a serial number once: what is recorded for one device is for no other, however it is
written (`folded`, unique in the store).  A retired device keeps its number until another takes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import and_, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.desk.search_index import index_device
from farhand_server.fleet.devices import lock_device
from farhand_server.fleet.sections import read_section
from farhand_server.relay import Relay
from farhand_server.store.schema import device_products, devices
from farhand_server.wording import check_body, check_line

__all__ = [
    "Product",
    "ProductChange",
    "change_product",
    "get_product",
    "warranties_of",
    "warranty_badge",
]

SOON_DAYS: Final = 60
MAX_NOTES_CHARS: Final = 4_000
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LINES: Final = ("make", "model", "serial", "vendor_contract", "asset_number")
_DAYS: Final = ("purchased_on", "warranty_ends_on")
_REPORTED: Final = {"make": "manufacturer", "model": "model", "serial": "serial"}


class ProductChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; a field that is not named stays, null empties it."""

    make: str | msgspec.UnsetType | None = msgspec.UNSET
    model: str | msgspec.UnsetType | None = msgspec.UNSET
    serial: str | msgspec.UnsetType | None = msgspec.UNSET
    purchased_on: str | msgspec.UnsetType | None = msgspec.UNSET
    warranty_ends_on: str | msgspec.UnsetType | None = msgspec.UNSET
    vendor_contract: str | msgspec.UnsetType | None = msgspec.UNSET
    asset_number: str | msgspec.UnsetType | None = msgspec.UNSET
    notes: str | msgspec.UnsetType | None = msgspec.UNSET


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A device as it was bought; `reported` names the fields that are only the device's word."""

    device: str
    make: str | None = None
    model: str | None = None
    serial: str | None = None
    purchased_on: str | None = None
    warranty_ends_on: str | None = None
    vendor_contract: str | None = None
    asset_number: str | None = None
    notes: str | None = None
    warranty: str = "unknown"
    reported: list[str] = []
    revision: int = 0
    updated_by: str | None = None
    updated_at: str | None = None


def warranty_badge(ends_on: str | None, today: date) -> str:
    """Return the badge of a warranty that ends on this day."""
    if ends_on is None:
        return "unknown"
    end = date.fromisoformat(ends_on)
    if end < today:
        return "over"
    return "ends-soon" if end <= today + timedelta(days=SOON_DAYS) else "ok"


async def warranties_of(
    c: AsyncConnection, tenant: str, ids: Sequence[str], today: date
) -> dict[str, str]:
    """Return the badges of those devices of which somebody said when the warranty ends."""
    query = select(device_products.c.device, device_products.c.warranty_ends_on).where(
        device_products.c.tenant == tenant, device_products.c.device.in_(ids)
    )
    return {device: warranty_badge(ends, today) for device, ends in await c.execute(query)}


async def get_product(c: AsyncConnection, relay: Relay, device: str) -> Product:
    """Return what is known of a device as a product; revision 0 where nobody said anything."""
    query = select(device_products).where(
        device_products.c.tenant == relay.tenant, device_products.c.device == device
    )
    row = (await c.execute(query)).mappings().first()
    values: dict[str, Any] = {"device": device}
    if row is not None:
        values = {name: row[name] for name in Product.__struct_fields__ if name in row}
    reported = await _reported(c, relay.tenant, device)
    used = sorted(name for name in reported if values.get(name) is None)
    values |= {name: reported[name] for name in used}
    badge = warranty_badge(values.get("warranty_ends_on"), relay.now().date())
    return Product(**values, warranty=badge, reported=used)


async def _reported(c: AsyncConnection, tenant: str, device: str) -> dict[str, str]:
    try:
        _, items = await read_section(c, tenant, device, "system")
    except FarhandError:
        return {}  # it has reported nothing of the kind; agentless devices never do
    first = items[0] if items else {}
    told = {name: first.get(field) for name, field in _REPORTED.items()}
    return {name: text[:200] for name, text in told.items() if isinstance(text, str) and text}


async def change_product(
    c: AsyncConnection, relay: Relay, *, device: str, change: ProductChange, actor: str
) -> Product:
    """Change what is known of a device; the caller has compared revisions in this transaction.

    Raises:
        UsageError: `invalid` for a field that cannot be that, or a change of nothing.
        FarhandError: `serial-taken` where another device has that maker's number.
    """
    values = {
        name: _checked(name, value)
        for name in ProductChange.__struct_fields__
        if not isinstance(value := getattr(change, name), msgspec.UnsetType)
    }
    if not values:
        raise UsageError("invalid", "there is nothing to change")
    await relay.audit.append(
        c, actor=actor, action="device.describe", subject=device, detail={"fields": sorted(values)}
    )
    await lock_device(c, relay.tenant, device)
    await _take_serial(c, relay.tenant, device, values)
    mine = (device_products.c.tenant == relay.tenant, device_products.c.device == device)
    revision = await c.scalar(select(device_products.c.revision).where(*mine))
    values |= {
        "revision": (revision or 0) + 1,
        "updated_by": actor,
        "updated_at": relay.stamp(),
    }
    try:
        if revision is None:
            row = {"tenant": relay.tenant, "device": device, **values}
            await c.execute(insert(device_products).values(row))
        else:
            await c.execute(update(device_products).where(*mine).values(values))
    except IntegrityError as error:
        # Somebody else was faster, for another device or this one.
        raise FarhandError(
            "serial-taken", "another device has just got that number", hint="look at both"
        ) from error
    await index_device(c, relay.tenant, device)
    return await get_product(c, relay, device)


async def _take_serial(
    c: AsyncConnection, tenant: str, device: str, change: dict[str, Any]
) -> None:
    """Put the folded number into a change; refuse one that another device in use has."""
    if not change.keys() & {"make", "serial"}:
        return
    product = device_products.c
    known = select(product.make, product.serial).where(
        product.tenant == tenant, product.device == device
    )
    row = (await c.execute(known)).mappings().first() or {"make": None, "serial": None}
    make, serial = (change.get(name, row[name]) for name in ("make", "serial"))
    change["folded"] = None
    if not (make and serial):
        return
    # Here and not in SQL: SQLite folds no letters but English ones.
    change["folded"] = folded = f"{make.casefold()}\n{serial.casefold()}"
    other = (
        select(devices.c.id, devices.c.name, devices.c.retired_at)
        .join(
            device_products,
            and_(product.tenant == devices.c.tenant, product.device == devices.c.id),
        )
        .where(devices.c.tenant == tenant, devices.c.id != device, product.folded == folded)
    )
    taken = (await c.execute(other)).first()
    if taken is None:
        return
    if taken.retired_at is None:
        raise FarhandError(
            "serial-taken",
            f"{taken.name} ({taken.id}) has that number of {make[:80]}",
            hint="one machine twice: farhand device merge KEEP OTHER",
        )
    its = (product.tenant == tenant, product.device == taken.id)
    await c.execute(update(device_products).where(*its).values(folded=None))


def _checked(name: str, value: str | None) -> Any:
    if value is None or not value.strip():
        return None
    if name in _DAYS:
        return _day(name, value.strip())
    if name in _LINES:
        return check_line(value, name.replace("_", " "))
    return check_body(value, name, max_chars=MAX_NOTES_CHARS)


def _day(name: str, text: str) -> str:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        date.fromisoformat(text)
    except ValueError as error:
        words = f"{name.replace('_', ' ')} is a day, such as 2027-03-31"
        raise UsageError("invalid", words) from error
    return text
