"""Releases of the agent on the relay's shelf: their files in pieces, and the role's next version.

A release's file is too large for one request and one row, so it lies in pieces of the size in which
devices ask for them: rows of the targets table under `PATH#NUMBER`.  The next version of the role
`releases` is a draft until enough people have signed it; it lies beside the metadata as the role
`releases-draft`.  Devices and consoles verify all of it again by themselves.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import verify
from farhand_protocol.messages import TRUST_CHUNK_BYTES
from farhand_protocol.releases import (
    MAX_RELEASE_BYTES,
    MAX_RELEASES,
    RELEASES_PATTERN,
    RELEASES_ROLE,
    is_by_its_author,
    split_release_path,
)
from farhand_protocol.trust import Roster
from farhand_server.clock import stamp
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import trust_metadata, trust_targets
from farhand_server.trust.publication import conflict, invalid, read_metadata

__all__ = [
    "DRAFT_ROLE",
    "MAX_PIECE_BYTES",
    "audit_releases",
    "check_published",
    "check_releases",
    "draft_of",
    "forget_draft",
    "keep_draft",
    "release_piece",
    "sign_draft",
    "store_piece",
]

DRAFT_ROLE: Final = "releases-draft"
# Of one request; whole pieces, of which the body in base64 fits the bound of all requests.
MAX_PIECE_BYTES: Final = 4 * TRUST_CHUNK_BYTES
_NAME: Final = re.compile(r"(releases/[^/]+)/([0-9a-f]{64})\.([0-9.]{5,11})\Z")
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")


def _mine(relay: Relay, path: str, sha256: str) -> ColumnElement[bool]:
    rows = trust_targets.c
    is_piece = rows.path.startswith(f"{path}#", autoescape=True)
    return (rows.tenant == relay.tenant) & (rows.sha256 == sha256) & is_piece


def _row(path: str, number: int) -> str:
    return f"{path}#{number:04d}"


async def release_piece(relay: Relay, name: str, offset: int) -> tuple[int, bytes]:
    """Return the whole length of a release's file and the piece at `offset`; (-1, b"") for none."""
    match = _NAME.match(name)
    if match is None or not 0 <= offset < MAX_RELEASE_BYTES:
        return -1, b""
    path, sha256 = f"{match[1]}/{match[3]}", match[2]
    number, within = divmod(offset, TRUST_CHUNK_BYTES)
    async with relay.db.read() as c:
        total = await _length(c, relay, path, sha256)
        body = await c.scalar(
            select(trust_targets.c.body).where(
                _mine(relay, path, sha256), trust_targets.c.path == _row(path, number)
            )
        )
    if not total:
        return -1, b""
    return total, bytes(body or b"")[within:]


async def _length(c: AsyncConnection, relay: Relay, path: str, sha256: str) -> int:
    lengths = func.sum(func.length(trust_targets.c.body))
    return int(await c.scalar(select(lengths).where(_mine(relay, path, sha256))) or 0)


async def store_piece(
    c: AsyncConnection,
    relay: Relay,
    *,
    published: bytes | None,
    path: str,
    sha256: str,
    offset: int,
    body: bytes,
) -> None:
    """Keep a part of a release's file; the same part again changes nothing.

    Args:
        c: a writing connection.
        relay: for tenant and clock.
        published: the role as it is published; the files that it names are whole, and stay so.
        path: of the release.
        sha256: of the whole file.
        offset: where this part begins, a multiple of the piece size.
        body: whole pieces, but for the last part.

    Raises:
        UsageError: `trust-invalid`.
    """
    end = offset + len(body)
    if split_release_path(path) is None or not _SHA256.match(sha256):
        raise invalid("this is no release's path or SHA-256")
    if offset % TRUST_CHUNK_BYTES or not 0 < len(body) <= MAX_PIECE_BYTES:
        raise invalid("a part of a release begins at a piece and holds some")
    if not 0 <= offset < end <= MAX_RELEASE_BYTES:
        raise invalid("the release is too large")
    known = _known(published).get(path)
    if known is not None and known.hashes.get("sha256") == sha256:
        raise invalid("this release is published already")
    for start in range(0, len(body), TRUST_CHUNK_BYTES):
        name = _row(path, (offset + start) // TRUST_CHUNK_BYTES)
        piece = body[start : start + TRUST_CHUNK_BYTES]
        here = _mine(relay, path, sha256) & (trust_targets.c.path == name)
        await c.execute(delete(trust_targets).where(here))
        await c.execute(
            insert(trust_targets).values(
                tenant=relay.tenant,
                sha256=sha256,
                path=name,
                body=piece,
                created_at=relay.stamp(),
            )
        )


async def _is_whole(c: AsyncConnection, relay: Relay, path: str, sha256: str, length: int) -> bool:
    digest, total = hashlib.sha256(), 0
    names = await c.scalars(
        select(trust_targets.c.path)
        .where(_mine(relay, path, sha256))
        .order_by(trust_targets.c.path)
    )
    for name in names.all():
        piece = await c.scalar(
            select(trust_targets.c.body).where(
                _mine(relay, path, sha256), trust_targets.c.path == name
            )
        )
        total += len(piece or b"")
        digest.update(bytes(piece or b""))
    return total == length and digest.hexdigest() == sha256


# The role.


def _known(published: bytes | None) -> dict[str, TargetFile]:
    return read_metadata(published, Targets).signed.targets if published else {}


def _check_role(metadata: Metadata[Targets], version: int, published: bytes | None) -> None:
    role = metadata.signed
    if role.version != version:
        raise conflict(RELEASES_ROLE, version, role.version)
    if role.delegations is not None or len(role.targets) > MAX_RELEASES:
        raise invalid("the releases delegate further, or are too many")
    for path, info in role.targets.items():
        is_bounded = 0 < info.length <= MAX_RELEASE_BYTES
        if split_release_path(path) is None or not is_bounded or "sha256" not in info.hashes:
            raise invalid(f"{path[:80]!r} is no release that devices take")
    for path, info in _known(published).items():
        if role.targets.get(path) != info:
            raise invalid(f"{path[:80]!r} is published, and is left out or changed here")


def check_releases(
    body: bytes, targets: Targets, published: tuple[int, bytes | None]
) -> Metadata[Targets]:
    """Check the role's next version, signed as the targets delegate it.

    Args:
        body: the role's metadata.
        targets: the newest.
        published: version and body of the role as it is published; 0 and None before the first.

    Raises:
        FarhandError: `trust-conflict`, `trust-invalid`.
    """
    metadata = read_metadata(body, Targets)
    _check_role(metadata, published[0] + 1, published[1])
    roles = (targets.delegations.roles or {}) if targets.delegations else {}
    role = roles.get(RELEASES_ROLE)
    if role is None or role.paths != [RELEASES_PATTERN]:
        raise invalid("the targets do not delegate the releases, or delegate more than them")
    try:
        targets.verify_delegate(RELEASES_ROLE, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise invalid("the releases are not signed by enough people", str(error)) from error
    return metadata


async def check_published(
    c: AsyncConnection, relay: Relay, metadata: Metadata[Targets], published: bytes | None
) -> None:
    """See that the file of each release is here that was not looked at before.

    Raises:
        FarhandError: `trust-invalid`.
    """
    known = _known(published)
    for path, info in metadata.signed.targets.items():
        if path in known and known[path].hashes == info.hashes:
            continue
        if not await _is_whole(c, relay, path, info.hashes["sha256"], info.length):
            raise invalid(f"the file of {path} is not here, or is another one")


async def draft_of(c: AsyncConnection, relay: Relay) -> bytes | None:
    """Return the draft of the role's next version, None where there is none."""
    return await c.scalar(
        select(trust_metadata.c.body).where(
            trust_metadata.c.tenant == relay.tenant, trust_metadata.c.role == DRAFT_ROLE
        )
    )


async def forget_draft(c: AsyncConnection, relay: Relay) -> None:
    """Remove the draft: it was published, or another one takes its place."""
    await c.execute(
        delete(trust_metadata).where(
            trust_metadata.c.tenant == relay.tenant, trust_metadata.c.role == DRAFT_ROLE
        )
    )


async def keep_draft(
    c: AsyncConnection,
    relay: Relay,
    body: bytes,
    *,
    published: tuple[int, bytes | None],
    roster: Roster,
    actor: str,
) -> None:
    """Keep a draft in the place of the one there was, and forget files that it does not name.

    It names everything that is published, and each release that it adds is signed by its author.

    Args:
        c: a writing connection.
        relay: for tenant, clock and audit.
        body: the role's metadata, signed by who hands it in.
        published: version and body of the role as it is published; 0 and None before the first.
        roster: of now.
        actor: the account.

    Raises:
        FarhandError: `trust-conflict`, `trust-invalid`.
    """
    metadata = read_metadata(body, Targets)
    _check_role(metadata, published[0] + 1, published[1])
    known = _known(published[1])
    for path, info in metadata.signed.targets.items():
        sha256 = info.hashes["sha256"]
        if path not in known and not is_by_its_author(
            roster, info.custom, path=path, sha256=sha256, size_bytes=info.length
        ):
            raise invalid(f"{path} is not signed by its author")
    if not _signed_by(metadata, roster, actor):
        raise invalid("the draft is not signed by a key that the roster gives you")
    await check_published(c, relay, metadata, published[1])
    await forget_draft(c, relay)
    await c.execute(
        insert(trust_metadata).values(
            tenant=relay.tenant,
            role=DRAFT_ROLE,
            version=metadata.signed.version,
            body=body,
            sha256=hashlib.sha256(body).hexdigest(),
            expires_at=stamp(metadata.signed.expires.replace(tzinfo=UTC)),
            created_at=relay.stamp(),
        )
    )
    await _forget_files(c, relay, metadata.signed)
    await audit_releases(c, relay, metadata, actor, "release.add")


async def sign_draft(
    c: AsyncConnection, relay: Relay, body: bytes, *, roster: Roster, actor: str
) -> None:
    """Add somebody's signature to the draft.

    Raises:
        FarhandError: `not-found` without a draft; `trust-conflict` when this is another one;
            `trust-invalid`.
    """
    kept = await draft_of(c, relay)
    if kept is None:
        raise not_found("draft of releases", "draft")
    draft, given = read_metadata(kept, Targets), read_metadata(body, Targets)
    if given.signed_bytes != draft.signed_bytes:
        raise FarhandError(
            "trust-conflict",
            "the draft is another one by now",
            hint="look at it again: farhand release list",
        )
    own = _signed_by(given, roster, actor)
    if not own:
        raise invalid("this is not signed by a key that the roster gives you")
    draft.signatures.update({keyid: given.signatures[keyid] for keyid in own})
    merged = draft.to_bytes(JSONSerializer(compact=True))
    await c.execute(
        update(trust_metadata)
        .where(trust_metadata.c.tenant == relay.tenant, trust_metadata.c.role == DRAFT_ROLE)
        .values(body=merged, sha256=hashlib.sha256(merged).hexdigest())
    )
    await audit_releases(c, relay, draft, actor, "release.approve")


def _signed_by(metadata: Metadata[Any], roster: Roster, name: str) -> list[str]:
    """Return the ids of the good signatures by keys of this person."""
    person = roster.find(name)
    good = []
    for keyid, signature in metadata.signatures.items():
        try:
            raw = bytes.fromhex(signature.signature)
        except ValueError as error:
            raise invalid("a signature cannot be read", str(error)) from error
        if any(verify(key, raw, metadata.signed_bytes) for key in (person.keys if person else [])):
            good.append(keyid)
    return good


async def _forget_files(c: AsyncConnection, relay: Relay, draft: Targets) -> None:
    """Remove pieces that the draft does not name; it names all that is published as well."""
    named = {(path, info.hashes["sha256"]) for path, info in draft.targets.items()}
    rows = await c.execute(
        select(trust_targets.c.path, trust_targets.c.sha256).where(
            trust_targets.c.tenant == relay.tenant, trust_targets.c.path.like("releases/%#%")
        )
    )
    held = {(row.path.rpartition("#")[0], row.sha256) for row in rows}
    for path, sha256 in held - named:
        await c.execute(delete(trust_targets).where(_mine(relay, path, sha256)))


async def audit_releases(
    c: AsyncConnection, relay: Relay, metadata: Metadata[Targets], actor: str, action: str
) -> None:
    """Write down what was done with the releases."""
    await relay.audit.append(
        c,
        actor=actor,
        action=action,
        subject=f"releases {metadata.signed.version}",
        detail={"releases": sorted(metadata.signed.targets)[-20:]},
    )
