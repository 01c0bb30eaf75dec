"""Whether an address is whose it is said to be: a token goes there by mail and comes back once.

    asked     a token was mailed; the address is the person's when it comes back within a day
    proven    it came back; the token is forgotten
    lapsed    it did not

Only the token's SHA-256 is kept.  Reading the link changes nothing, because scanners of mail
follow links; a POST proves.  An address that somebody else claims without proof changes hands, and
who was known by nothing else is the same person from then on.  One that somebody has proven does
not.  Who became protected since (`people.protection`) is given an address by an admin only.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.errors import RateLimited
from farhand_server.people.letters import PROOF_KEY, PROOF_WORDS, language_of, post_letter
from farhand_server.people.merging import check_not_erased, merge_people, survivor_of
from farhand_server.people.people import (
    AddressKind,
    Person,
    add_address,
    addresses_of,
    find_person,
    get_person,
    normalise_address,
    remove_address,
    verify_address,
)
from farhand_server.people.protection import is_protected
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, address_proofs
from farhand_server.wording import check_line

__all__ = ["PROOF_TTL", "Proof", "ask_proof", "confirm_address", "prove", "read_proof"]

PROOF_TTL: Final = timedelta(days=1)
_TOKEN_BYTES: Final = 32
_AN_HOUR: Final = timedelta(hours=1)
# To one person or one address within an hour.
_MAX_ASKED: Final = 5
_MAIL: Final[AddressKind] = "mail"


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a token proves; the address is shown to whoever was sent it, and to nobody else."""

    address: str
    expires_at: str


def _invalid() -> FarhandError:
    return FarhandError(
        "proof-invalid",
        "this link has been used, is too old, or is none of ours",
        hint="ask for another",
    )


async def ask_proof(
    c: AsyncConnection, relay: Relay, *, person: Person, address: str, actor: str
) -> Proof:
    """Mail a token to an address that is said to be a person's.

    Raises:
        FarhandError: `invalid`, `person-erased`; `address-taken` when somebody has proven that it
            is hers; `address-verified` when this person has; `rate-limited`.
    """
    tenant, now = relay.tenant, relay.now()
    value = normalise_address(_MAIL, address)
    await check_not_erased(c, tenant, person)
    owner = await find_person(c, tenant, _MAIL, value)
    if owner is not None and await _is_proven(c, tenant, owner.id, value):
        if owner.id == person.id:
            raise FarhandError("address-verified", f"{value} is verified already")
        raise FarhandError("address-taken", f"{value} is somebody's already")
    await _check_rate(c, relay, person.id, value)
    if owner is None:
        await add_address(c, relay, person=person.id, kind=_MAIL, value=value, actor=actor)
    token = base64.urlsafe_b64encode(relay.random(_TOKEN_BYTES)).decode().rstrip("=")
    digest = _digest(token)
    expires_at = stamp(now + PROOF_TTL)
    await relay.audit.append(c, actor=actor, action="address.ask", subject=person.id)
    await c.execute(
        insert(address_proofs).values(
            tenant=tenant,
            token_sha256=digest,
            kind=_MAIL,
            value=value,
            person=person.id,
            asked_by=actor,
            created_at=stamp(now),
            expires_at=expires_at,
        )
    )
    language = await language_of(c, tenant, person)
    subject, text = PROOF_WORDS[language]
    link = f"{relay.settings.url}/verify/{token}"
    await post_letter(
        c,
        relay,
        to=value,
        subject=subject,
        text=text.format(org=relay.settings.org, link=link),
        language=language,
        key=PROOF_KEY + digest,
    )
    return Proof(address=value, expires_at=expires_at)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def _is_proven(c: AsyncConnection, tenant: str, person: str, value: str) -> bool:
    known = await addresses_of(c, tenant, person)
    return any(one.kind == _MAIL and one.value == value and one.verified_at for one in known)


async def _check_rate(c: AsyncConnection, relay: Relay, person: str, value: str) -> None:
    """Forget what has lapsed, and refuse to write to the same place again and again."""
    mine = address_proofs.c.tenant == relay.tenant
    since = stamp(relay.now() - _AN_HOUR)
    await c.execute(delete(address_proofs).where(mine, address_proofs.c.expires_at < relay.stamp()))
    asked = await c.scalar(
        select(func.count())
        .select_from(address_proofs)
        .where(
            mine,
            address_proofs.c.created_at > since,
            or_(address_proofs.c.person == person, address_proofs.c.value == value),
        )
    )
    if int(asked or 0) >= _MAX_ASKED:
        wait = int(_AN_HOUR.total_seconds())
        raise RateLimited("this address was written to often enough", retry_after_s=wait)


async def read_proof(c: AsyncConnection, relay: Relay, token: str) -> Proof:
    """Return what a token would prove, changing nothing.

    Raises:
        FarhandError: `proof-invalid`.
    """
    row = await _row_of(c, relay, token)
    return Proof(address=row["value"], expires_at=row["expires_at"])


async def _row_of(c: AsyncConnection, relay: Relay, token: str) -> RowMapping:
    query = select(address_proofs).where(
        address_proofs.c.tenant == relay.tenant,
        address_proofs.c.token_sha256 == _digest(token[:200]),
    )
    row = (await c.execute(query)).mappings().first()
    if row is None or parse_instant(row["expires_at"]) < relay.now():
        raise _invalid()
    return row


async def prove(c: AsyncConnection, relay: Relay, token: str) -> Proof:
    """Use a token up: the address is the person's from now on, verified.

    Raises:
        FarhandError: `proof-invalid`; `address-taken` when somebody else proved it meanwhile.
    """
    tenant = relay.tenant
    row = await _row_of(c, relay, token)
    used = await c.execute(
        delete(address_proofs).where(
            address_proofs.c.tenant == tenant,
            address_proofs.c.token_sha256 == row["token_sha256"],
        )
    )
    if not used.rowcount:
        raise _invalid()
    person = await get_person(c, tenant, await survivor_of(c, tenant, row["person"]))
    await check_not_erased(c, tenant, person)
    value = row["value"]
    if not await _is_proven(c, tenant, person.id, value):
        await _check_asker(c, tenant, person, row["asked_by"])
    owner = await find_person(c, tenant, _MAIL, value)
    if owner is not None and owner.id == person.id:
        await verify_address(c, relay, kind=_MAIL, value=value, actor=person.id)
    else:
        await _take_over(c, relay, person=person, owner=owner, value=value)
    return Proof(address=value, expires_at=row["expires_at"])


async def _check_asker(c: AsyncConnection, tenant: str, person: Person, asked_by: str) -> None:
    """Refuse a link that was asked for before the person had more to lose."""
    if not await is_protected(c, tenant, person):
        return
    query = select(accounts.c.role).where(
        accounts.c.tenant == tenant,
        accounts.c.name == asked_by,
        accounts.c.disabled_at.is_(None),
    )
    if await c.scalar(query) != "admin":
        raise _invalid()


async def _take_over(
    c: AsyncConnection, relay: Relay, *, person: Person, owner: Person | None, value: str
) -> None:
    if owner is not None:
        if await _is_proven(c, relay.tenant, owner.id, value):
            raise FarhandError("address-taken", f"{value} is somebody's already")
        known = await addresses_of(c, relay.tenant, owner.id)
        await remove_address(c, relay, kind=_MAIL, value=value, actor=person.id)
        is_nobody_else = len(known) == 1 and owner.account is None and owner.kind == person.kind
        if is_nobody_else:
            await merge_people(
                c, relay, source=owner, target=person, actor=person.id, is_proven=True
            )
    await add_address(
        c,
        relay,
        person=person.id,
        kind=_MAIL,
        value=value,
        actor=person.id,
        is_verified=True,
    )


async def confirm_address(
    c: AsyncConnection,
    relay: Relay,
    *,
    person: Person,
    kind: AddressKind,
    address: str,
    reason: str,
    actor: str,
) -> None:
    """Note on somebody's own word that an address is a person's: she was seen, or called back.

    Raises:
        FarhandError: `invalid`, `person-erased`; `not-found` for an address that is not hers.
    """
    await check_not_erased(c, relay.tenant, person)
    value = normalise_address(kind, address)
    owner = await find_person(c, relay.tenant, kind, value)
    if owner is None or owner.id != person.id:
        raise FarhandError("not-found", f"{person.id} has no such address")
    why = check_line(reason, "reason")
    await relay.audit.append(
        c, actor=actor, action="address.confirm", subject=person.id, detail={"reason": why}
    )
    await verify_address(c, relay, kind=kind, value=value, actor=actor)
