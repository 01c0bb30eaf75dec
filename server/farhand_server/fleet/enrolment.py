"""Enrolment at the relay: a device shows a token and becomes known.

    token exists -> same tenant -> sealed by token key and device key -> for the key of this link ->
    group is the token's -> not expired -> a use is left -> device known by its key

All of it happens in one transaction, and the last use is taken by one guarded UPDATE, so that two
devices cannot both have it.  A device that asks again with the token it enrolled with (its Ack was
lost) gets the same answer and takes no further use.  With another token a known key keeps its id
and takes that token's group; a retired key stays retired.

Confirmed means: the token was signed by an admin of the organisation.  A token that the relay made
by itself makes unconfirmed devices, until an admin confirms each.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id
from farhand_protocol.placements import PLACEMENTS_PATH, Placements
from farhand_protocol.tokens import Enrolment
from farhand_server.clock import stamp
from farhand_server.fleet.devices import lock_device
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, enrolment_tokens
from farhand_server.trust.service import make_trust

__all__ = ["MAX_ENROLMENT_BYTES", "enrol", "open_enrolment"]

MAX_ENROLMENT_BYTES: Final = 16 * 1024
MAX_NAME_CHARS: Final = 64


def _malformed(words: str) -> FarhandError:
    return FarhandError("enrolment-malformed", words)


def open_enrolment(blob: bytes, link_key: bytes) -> tuple[Envelope, Enrolment]:
    """Read an enrolment and check what needs no database.

    Args:
        blob: from the device.
        link_key: raw key that the device proved when it opened the link.

    Raises:
        FarhandError: `enrolment-malformed`.
    """
    if len(blob) > MAX_ENROLMENT_BYTES:
        raise _malformed("the enrolment is too large")
    try:
        sealed = decode_envelope(blob)
        said = open_payload(sealed, Enrolment)
    except FarhandError as error:
        raise _malformed("the enrolment cannot be read") from error
    name = said.name
    if name != name.strip() or not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise _malformed(f"the name must be 1 to {MAX_NAME_CHARS} printable characters")
    if len(said.device_key) != PUBLIC_KEY_BYTES or said.device_key != link_key:
        raise _malformed("the enrolment is for another key than the link's")
    if said.device != device_id(said.device_key):
        raise _malformed("the device id is not that of the key")
    return sealed, said


async def enrol(
    c: AsyncConnection, relay: Relay, *, sealed: Envelope, said: Enrolment, blob: bytes
) -> None:
    """Make the device known, or known again, inside the caller's write transaction.

    Args:
        c: connection of a write transaction, which must end on any error.
        relay: the wiring.
        sealed: from `open_enrolment`.
        said: from `open_enrolment`.
        blob: the exact bytes that are kept for consoles to verify.

    Raises:
        FarhandError: `tenant-mismatch`, `token-unknown`, `token-expired`, `token-used-up`,
            `enrolment-malformed`, `device-retired`.
    """
    if said.tenant != relay.tenant:
        raise FarhandError("tenant-mismatch", "the token is for another organisation")
    token = await _token(c, relay.tenant, said.token)
    if len(signers(sealed, {token["key"], said.device_key})) != 2:
        raise _malformed("token key and device key must both have signed the enrolment")
    if said.group != token["device_group"]:
        raise _malformed("the enrolment names another group than its token")
    # The audit's lock comes first, so that two enrolments never wait for each other in a circle.
    await relay.audit.append(
        c,
        actor=f"device:{said.device}",
        action="device.enrol",
        subject=said.device,
        detail={"token": token["id"], "group": said.group, "name": said.name},
    )
    known = await lock_device(c, relay.tenant, said.device)
    if known is not None and known["retired_at"] is not None:
        raise FarhandError(
            "device-retired",
            "this device key was retired",
            hint="enrol again from a fresh agent home, which makes a new key",
        )
    if known is not None and known["token"] == token["id"]:
        if known["name"] != said.name:
            await _update(c, relay.tenant, said.device, name=said.name, enrolment=blob)
        return
    await _take_use(c, relay, token)
    confirmed = token["signed_by"] == "admin"
    if known is None:
        await c.execute(
            insert(devices).values(
                tenant=relay.tenant,
                id=said.device,
                key=said.device_key,
                name=said.name,
                device_group=said.group,
                token=token["id"],
                enrolment=blob,
                confirmed=confirmed,
                confirmation=None,
                os="",
                host_name="",
                agent_version="",
                enrolled_at=relay.stamp(),
            )
        )
        return
    # A move stands, whatever group another token names.
    moves = await relay.service(make_trust).document(c, PLACEMENTS_PATH, Placements)
    group = moves.group_of(said.device, said.group) if moves else said.group
    # An admin's confirmation speaks of key and group; it stands as long as both do.
    stands = known["confirmation"] is not None and known["device_group"] == group
    await _update(
        c,
        relay.tenant,
        said.device,
        name=said.name,
        device_group=group,
        token=token["id"],
        enrolment=blob,
        confirmed=confirmed or stands,
        confirmation=known["confirmation"] if stands else None,
        enrolled_at=relay.stamp(),
    )


async def _token(c: AsyncConnection, tenant: str, token: str) -> RowMapping:
    row = None
    if "\0" not in token:
        query = select(enrolment_tokens).where(
            enrolment_tokens.c.tenant == tenant, enrolment_tokens.c.id == token
        )
        row = (await c.execute(query)).mappings().first()
    if row is None:
        raise FarhandError("token-unknown", "the relay does not know this token")
    return row


async def _take_use(c: AsyncConnection, relay: Relay, token: RowMapping) -> None:
    if token["expires_at"] <= stamp(relay.now()):
        raise FarhandError("token-expired", "the token has expired")
    taken = await c.execute(
        update(enrolment_tokens)
        .where(
            enrolment_tokens.c.tenant == relay.tenant,
            enrolment_tokens.c.id == token["id"],
            enrolment_tokens.c.uses_left > 0,
        )
        .values(uses_left=enrolment_tokens.c.uses_left - 1)
    )
    if taken.rowcount != 1:
        raise FarhandError("token-used-up", "the token has been used as often as it may be")


async def _update(c: AsyncConnection, tenant: str, device: str, **values: object) -> None:
    await c.execute(
        update(devices).where(devices.c.tenant == tenant, devices.c.id == device).values(**values)
    )
