"""Script drafts and the catalogue for people: submitted, approved, published, revoked.

    submitted --published--> published --revoked--> revoked      (submitted --revoked--> revoked)

Devices never look here: they trust TUF targets only, and check author and approvals by themselves.
These rows are where authors and approvers meet.  Approving adds a signature over the very same
payload; where a roster is stored, signatures of keys that it does not hold are turned away, so that
nobody can block an approver by squatting her key id.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_payload,
    signers,
)
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.identity import key_id
from farhand_protocol.manifest import SHIPPED_AUTHOR, Manifest, check_manifest, manifest_digest
from farhand_protocol.trust import Roster
from farhand_server.errors import not_found
from farhand_server.fleet.roster import current_roster
from farhand_server.relay import Relay
from farhand_server.store.schema import scripts

__all__ = [
    "Script",
    "ScriptDetail",
    "add_approval",
    "get_script",
    "list_scripts",
    "mark_script",
    "submit_script",
]

MAX_MANIFEST_BYTES: Final = 128 * 1024

ScriptState = Literal["submitted", "published", "revoked"]
_STEPS: Final[frozenset[tuple[str, str]]] = frozenset(
    {
        ("submitted", "published"),
        ("submitted", "revoked"),
        ("published", "published"),
        ("published", "revoked"),
        ("revoked", "revoked"),
    }
)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a script in a list."""

    id: str
    version: int
    state: str
    risk: str
    digest: str
    title: str
    author: str
    created_at: str


class ScriptDetail(Script, frozen=True, kw_only=True):
    """With the sealed manifest and the body, both to be verified by whoever uses them.

    `signed_by` names roster people whose signatures are valid, as the relay sees it.
    """

    envelope: bytes
    body: bytes
    signed_by: list[str]


def _open(blob: bytes) -> tuple[Envelope, Manifest]:
    if len(blob) > MAX_MANIFEST_BYTES:
        raise FarhandError("manifest-invalid", "the manifest is too large")
    sealed = decode_envelope(blob)
    return sealed, open_payload(sealed, Manifest)


def _check_signatures(sealed: Envelope, roster: Roster | None) -> None:
    """Check that every signature is valid and of a roster key, where there is a roster."""
    if roster is None:
        return
    valid = {key_id(key) for key in signers(sealed, roster.all_keys())}
    if any(signature.keyid not in valid for signature in sealed.signatures):
        raise FarhandError(
            "script-signature", "a signature is not valid, or not of anybody in the roster"
        )


async def submit_script(
    c: AsyncConnection,
    relay: Relay,
    *,
    envelope: bytes,
    body: bytes,
    actor: str,
    is_admin: bool,
) -> Script:
    """Take in a version of a script by its author; the same again does no harm.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        envelope: the manifest, signed by its author.
        body: the script.
        actor: name of the signed-in account.
        is_admin: admins also bring in what ships with Farhand, which nobody here has written.

    Raises:
        FarhandError: `envelope-malformed`, `manifest-invalid`, `script-changed`,
            `script-author-unknown`, `script-signature`; `script-exists` when that version, or a
            later one, is there with another content.
    """
    sealed, manifest = _open(envelope)
    if manifest.tenant != relay.tenant and manifest.author != SHIPPED_AUTHOR:
        raise FarhandError("manifest-invalid", "the manifest is of another organisation")
    check_manifest(manifest, body)
    for text in (manifest.title, manifest.author):
        if not text.isprintable():
            raise FarhandError("manifest-invalid", "the manifest holds control characters")
    if manifest.author != actor and not (manifest.author == SHIPPED_AUTHOR and is_admin):
        raise RefusedError("script-author-unknown", "the manifest names another author than you")
    roster = await current_roster(c, relay)
    _check_signatures(sealed, roster)
    if manifest.author != SHIPPED_AUTHOR:
        author = roster.find(manifest.author) if roster else None
        if not sealed.signatures or (author and not signers(sealed, author.keys)):
            raise FarhandError("script-signature", "the author did not sign the manifest")
    await relay.audit.append(
        c,
        actor=actor,
        action="script.submit",
        subject=f"{manifest.id} {manifest.version}",
        detail={"digest": manifest_digest(sealed), "risk": manifest.risk},
    )
    found = await _row(c, relay.tenant, manifest.id, manifest.version)
    if found is not None:
        if found["digest"] != manifest_digest(sealed):
            raise FarhandError(
                "script-exists",
                f"{manifest.id} version {manifest.version} is there already",
                hint="give the change a new version",
            )
        return _script(found)
    highest = await c.scalar(
        select(func.max(scripts.c.version)).where(
            scripts.c.tenant == relay.tenant, scripts.c.id == manifest.id
        )
    )
    if highest is not None and highest > manifest.version:
        raise FarhandError("script-exists", f"{manifest.id} is at version {highest} already")
    made = Script(
        id=manifest.id,
        version=manifest.version,
        state="submitted",
        risk=manifest.risk,
        digest=manifest_digest(sealed),
        title=manifest.title,
        author=manifest.author,
        created_at=relay.stamp(),
    )
    values = msgspec.structs.asdict(made)
    await c.execute(
        insert(scripts).values(tenant=relay.tenant, envelope=envelope, body=body, **values)
    )
    return made


async def _row(
    c: AsyncConnection, tenant: str, script: str, version: int | None, *, held: bool = False
) -> RowMapping | None:
    query = select(scripts).where(
        scripts.c.tenant == tenant, scripts.c.id == script.replace("\0", "")
    )
    if version is not None:
        query = query.where(scripts.c.version == version)
    query = query.order_by(scripts.c.version.desc()).limit(1)
    return (await c.execute(query.with_for_update() if held else query)).mappings().first()


def _script(row: RowMapping) -> Script:
    return Script(**{name: row[name] for name in Script.__struct_fields__})


async def list_scripts(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None = None,
    after: tuple[str, int] | None = None,
    limit: int = 50,
) -> list[Script]:
    """Return script versions by id and version; `after` the last one already seen."""
    where = [scripts.c.tenant == tenant]
    if state is not None:
        where.append(scripts.c.state == state.replace("\0", ""))
    if after is not None:
        script, version = after
        where.append(
            (scripts.c.id > script) | ((scripts.c.id == script) & (scripts.c.version > version))
        )
    columns = [scripts.c[name] for name in Script.__struct_fields__]
    query = select(*columns).where(*where).order_by(scripts.c.id, scripts.c.version).limit(limit)
    return [_script(row) for row in (await c.execute(query)).mappings()]


async def get_script(
    c: AsyncConnection, relay: Relay, script: str, *, version: int | None = None
) -> ScriptDetail:
    """Return a version of a script, the highest when none is named.

    Raises:
        FarhandError: `not-found`.
    """
    row = await _row(c, relay.tenant, script, version)
    if row is None:
        raise not_found("script", script)
    roster = await current_roster(c, relay)
    names: set[str] = set()
    if roster is not None:
        for key in signers(decode_envelope(row["envelope"]), roster.all_keys()):
            operator = roster.holder(key)
            if operator is not None:
                names.add(operator.name)
    return ScriptDetail(
        **msgspec.structs.asdict(_script(row)),
        envelope=row["envelope"],
        body=row["body"],
        signed_by=sorted(names),
    )


async def add_approval(
    c: AsyncConnection,
    relay: Relay,
    *,
    script: str,
    version: int,
    envelope: bytes,
    actor: str,
) -> ScriptDetail:
    """Merge further signatures over the very same payload into the stored envelope.

    Raises:
        FarhandError: `not-found`, `envelope-malformed`; `script-changed` when the payload is
            another one; `script-signature`; `script-revoked`; `already-signed` when there is
            nothing new in it.
    """
    offered, _ = _open(envelope)
    await relay.audit.append(
        c, actor=actor, action="script.approve", subject=f"{script[:100]} {version}"
    )
    row = await _row(c, relay.tenant, script, version, held=True)
    if row is None:
        raise not_found("script", f"{script} version {version}")
    if row["state"] == "revoked":
        raise FarhandError("script-revoked", "the script was revoked")
    stored = decode_envelope(row["envelope"])
    if (offered.payload, offered.payload_type) != (stored.payload, stored.payload_type):
        raise FarhandError(
            "script-changed", "the approval is for another content than the one submitted"
        )
    _check_signatures(offered, await current_roster(c, relay))
    held = {signature.keyid for signature in stored.signatures}
    new = [signature for signature in offered.signatures if signature.keyid not in held]
    if not new:
        raise FarhandError("already-signed", "there is no new signature in it")
    merged = encode_envelope(msgspec.structs.replace(stored, signatures=[*stored.signatures, *new]))
    decode_envelope(merged)  # the bound on signatures holds for the merged one too
    await c.execute(
        update(scripts)
        .where(
            scripts.c.tenant == relay.tenant,
            scripts.c.id == row["id"],
            scripts.c.version == version,
        )
        .values(envelope=merged)
    )
    return await get_script(c, relay, script, version=version)


async def mark_script(
    c: AsyncConnection,
    relay: Relay,
    *,
    script: str,
    version: int,
    state: Literal["published", "revoked"],
    actor: str,
) -> Script:
    """Note that a version was published among the targets, or revoked; for people only.

    Raises:
        FarhandError: `not-found`; `script-revoked` for publishing what was revoked.
    """
    action = f"script.{state}"
    await relay.audit.append(c, actor=actor, action=action, subject=f"{script[:100]} {version}")
    row = await _row(c, relay.tenant, script, version, held=True)
    if row is None:
        raise not_found("script", f"{script} version {version}")
    if (row["state"], state) not in _STEPS:
        raise FarhandError("script-revoked", "the script was revoked")
    await c.execute(
        update(scripts)
        .where(
            scripts.c.tenant == relay.tenant,
            scripts.c.id == row["id"],
            scripts.c.version == version,
        )
        .values(state=state)
    )
    found = await _row(c, relay.tenant, script, version)
    return _script(found if found is not None else row)
